from collections.abc import Callable

import numpy as np
import pytest
import torch

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.real_mixture import RealMixture


def test_the_base_moved_by_the_difference_of_two_other_prompts(context_of: Callable[..., TargetContext]) -> None:
    pool = torch.eye(6)
    base = torch.full((6,), 10.0)
    result = draw(RealMixture(), [Base(base, sample, 2) for sample in range(3000)], context_of(pool))
    direction = (result.activation - base).round().int()
    assert (direction[:, 2] == 0).all()
    assert (direction.sum(dim=1) == 0).all()
    assert (direction.abs().sum(dim=1) == 2).all()
    # 3000 draws among 5: mean 600, standard deviation 21.9
    counts = (direction == 1).sum(dim=0).numpy()
    assert np.abs(np.delete(counts, 2) - 600).max() < 5 * 21.9
    assert (result.source_row == -1).all()
    plus, minus = result.mixed_row.T
    assert result.mixed_row.shape == (3000, 2)
    np.testing.assert_array_equal(direction[np.arange(3000), plus], 1)
    np.testing.assert_array_equal(direction[np.arange(3000), minus], -1)


def test_the_direction_does_not_depend_on_the_base(context_of: Callable[..., TargetContext]) -> None:
    context = context_of(torch.randn((9, 4), generator=torch.Generator().manual_seed(0)))
    first, second = (draw(RealMixture(), [Base(torch.full((4,), at), 3, 0)], context) for at in (0.0, 5.0))
    torch.testing.assert_close(first.activation, second.activation - 5.0)


def test_equal_activations_are_drawn_again(context_of: Callable[..., TargetContext]) -> None:
    pool = torch.tensor([[9.0], [1.0], [1.0], [3.0]])
    result = draw(RealMixture(), [Base(torch.zeros(1), sample, 0) for sample in range(60)], context_of(pool))
    assert {float(value) for value in result.activation} == {2.0, -2.0}


@pytest.mark.parametrize("pool", [torch.zeros((1, 2)), torch.eye(2), torch.ones((4, 2))])
def test_without_two_others_apart(pool: torch.Tensor, context_of: Callable[..., TargetContext]) -> None:
    with pytest.raises(UsageError, match=rf"'real_mixture', sample 5: no two other of the {len(pool)} prompts"):
        draw(RealMixture(), [Base(torch.ones(2), 5, 0)], context_of(pool))
