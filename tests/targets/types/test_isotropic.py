from collections.abc import Callable

import numpy as np
import pytest
import torch

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.isotropic import Isotropic

DRAWS = 20_000


@pytest.mark.slow
def test_mean_and_total_variance_of_the_pool_in_equal_parts(context_of: Callable[..., TargetContext]) -> None:
    """Every moment within five of its standard errors at 20,000 draws."""
    rng = np.random.default_rng(0)
    pool = rng.standard_normal((50, 4)) * np.array([0.0, 1, 2, 5]) + np.array([3.0, -8, 0, 1])
    context = context_of(torch.tensor(pool, dtype=torch.float32))
    draws = draw(Isotropic(), [Base(torch.zeros(4), sample, 0) for sample in range(DRAWS)], context)
    values = draws.activation.double().numpy()
    variance = pool.var(axis=0).sum() / 4
    assert (np.abs(values.mean(axis=0) - pool.mean(axis=0)) < 5 * np.sqrt(variance / DRAWS)).all()
    error = variance * np.sqrt((1 + np.eye(4)) / DRAWS)
    assert (np.abs(np.cov(values.T) - variance * np.eye(4)) < 5 * error).all()
    assert set(draws.source_row) == {-1}
