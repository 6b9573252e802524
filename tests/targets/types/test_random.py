from collections.abc import Callable

import numpy as np
import pytest
import torch

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.random import Random

DRAWS = 20_000


@pytest.mark.slow
def test_mean_and_covariance_are_those_of_the_pool(context_of: Callable[..., TargetContext]) -> None:
    """Every moment within five of its standard errors at 20,000 draws."""
    rng = np.random.default_rng(0)
    pool = rng.standard_normal((50, 5)) @ rng.standard_normal((5, 5)) + 10 * rng.standard_normal(5)
    context = context_of(torch.tensor(pool, dtype=torch.float32))
    draws = draw(Random(), [Base(torch.zeros(5), sample, 0) for sample in range(DRAWS)], context)
    values = draws.activation.double().numpy()
    covariance = np.cov(pool.T, bias=True)
    variance = np.diag(covariance)
    assert (np.abs(values.mean(axis=0) - pool.mean(axis=0)) < 5 * np.sqrt(variance / DRAWS)).all()
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / DRAWS)
    assert (np.abs(np.cov(values.T) - covariance) < 5 * error).all()
    assert set(draws.source_row) == {-1}


def test_a_singular_covariance_keeps_its_null_direction_flat(context_of: Callable[..., TargetContext]) -> None:
    pool = torch.randn((100, 16), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pool = (pool - pool.mean(dim=1, keepdim=True)).float()
    draws = draw(Random(), [Base(pool[0], sample, 0) for sample in range(200)], context_of(pool)).activation
    assert draws.double().sum(dim=1).abs().max() < 1e-5
    assert draws.std(dim=0).min() > 0.5
