from collections.abc import Callable

import torch

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.covariance_mixture import CovarianceMixture


def test_the_base_moved_by_a_draw_of_mean_0_and_twice_the_covariance(context_of: Callable[..., TargetContext]) -> None:
    rng = torch.Generator().manual_seed(1)
    pool = 50.0 + torch.randn((400, 3), generator=rng) @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0, 0, 0.1]])
    context = context_of(pool)
    base = torch.tensor([1.0, -2.0, 3.0])
    result = draw(CovarianceMixture(), [Base(base, sample, 0) for sample in range(4000)], context)
    direction = (result.activation - base).double()
    scale = (2 * context.gaussian.covariance.diagonal()).sqrt()
    # the mean of 4000 draws has a standard error of scale / 63, a covariance one of some 2 %
    assert (direction.mean(dim=0).abs() < 5 * scale / 63).all()
    found = direction.T @ direction / len(direction) / torch.outer(scale, scale)
    expected = 2 * context.gaussian.covariance / torch.outer(scale, scale)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.1)
    assert (result.source_row == -1).all()


def test_the_direction_does_not_depend_on_the_base(context_of: Callable[..., TargetContext]) -> None:
    context = context_of(torch.randn((9, 4), generator=torch.Generator().manual_seed(0)))
    first, second = (draw(CovarianceMixture(), [Base(torch.full((4,), at), 3, 0)], context) for at in (0.0, 5.0))
    torch.testing.assert_close(first.activation, second.activation - 5.0)
