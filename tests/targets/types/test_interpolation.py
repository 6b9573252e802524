from collections.abc import Callable

import numpy as np
import torch

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.interpolation import Interpolation


def drawn(context: TargetContext, count: int = 300) -> list[list[float]]:
    made = draw(Interpolation(), [Base(torch.full((2,), 9.0), sample, 0) for sample in range(count)], context)
    assert (made.source_row == -1).all()
    found: list[list[float]] = made.activation.tolist()
    return found


def test_half_way_to_the_nearest_other_one(fitted_to: Callable[..., TargetContext]) -> None:
    """Activations 0, 2, 8 and 9 on a line: drawn alike, so that two of the three middles come of two draws each."""
    context = fitted_to(torch.tensor([[0.0, 1.0], [2.0, 1.0], [8.0, 1.0], [9.0, 1.0]]))
    found = np.array(drawn(context))
    assert set(map(tuple, found)) == {(1.0, 1.0), (8.5, 1.0)}
    assert abs((found[:, 0] == 1).sum() - 150) < 5 * 300**0.5 / 2


def test_the_same_activation_is_passed_over(fitted_to: Callable[..., TargetContext]) -> None:
    context = fitted_to(torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0]]))
    assert set(map(tuple, drawn(context))) == {(2.0, 0.0)}


def test_where_all_are_the_same_it_is_that(fitted_to: Callable[..., TargetContext]) -> None:
    assert set(map(tuple, drawn(fitted_to(torch.ones((3, 2)))))) == {(1.0, 1.0)}
