from collections.abc import Callable

import numpy as np
import pytest
import torch

from plateaulens.config import TargetConfig
from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, Pool, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.real import Real


def test_uniform_among_the_other_prompts(context_of: Callable[..., TargetContext]) -> None:
    pool = torch.eye(6)
    result = draw(Real(), [Base(pool[2], sample, 2) for sample in range(3000)], context_of(pool))
    counts = np.bincount(result.source_row, minlength=6)
    assert counts[2] == 0
    # 3000 draws among 5: mean 600, standard deviation 21.9
    assert np.abs(np.delete(counts, 2) - 600).max() < 5 * 21.9


def test_target_is_the_activation_of_its_source_row() -> None:
    pool = Pool(torch.tensor([[1.0, 0], [2, 0], [3, 0]]), np.array([10, 40, 7]))
    context = TargetContext(pool, TargetConfig(types=("real",)), seed=0)
    result = draw(Real(), [Base(torch.zeros(2), sample, 40) for sample in range(40)], context)
    assert {(row, float(t[0])) for row, t in zip(result.source_row, result.activation, strict=True)} == {
        (10, 1.0),
        (7, 3.0),
    }


def test_a_base_outside_the_pool_may_get_any_row(context_of: Callable[..., TargetContext]) -> None:
    result = draw(Real(), [Base(torch.zeros(3), sample, 99) for sample in range(60)], context_of(torch.eye(3)))
    assert set(result.source_row) == {0, 1, 2}


def test_activations_equal_to_the_base_are_drawn_again(context_of: Callable[..., TargetContext]) -> None:
    """Redrawn while the distance is at most 1e-3."""
    base = torch.zeros(2)
    pool = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0009, 0.0], [0.0011, 0.0], [0.0, 1.0]])
    result = draw(Real(), [Base(base, sample, 0) for sample in range(200)], context_of(pool))
    assert set(result.source_row) == {3, 4}


@pytest.mark.parametrize("pool", [torch.ones((1, 2)), torch.ones((4, 2))])
def test_no_other_activation_is_an_error(pool: torch.Tensor, context_of: Callable[..., TargetContext]) -> None:
    with pytest.raises(UsageError, match=rf"type 'real', sample 5: no other of the {len(pool)} prompts.*more prompts"):
        draw(Real(), [Base(torch.ones(2), 5, 0)], context_of(pool))
