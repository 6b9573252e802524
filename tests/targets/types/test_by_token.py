from collections.abc import Callable

import numpy as np
import pytest
import torch

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.fitting import Tokens
from plateaulens.targets.types.by_token import TokenElliptical, TokenGaussian, TokenMean, WithinTokens

D_MODEL = 6


@pytest.fixture(scope="module")
def context(fitted_to: Callable[..., TargetContext]) -> TargetContext:
    """Tokens 3 and 8, half and a quarter of all, and forty seldom ones; departures of a token have their own scale."""
    rng = np.random.default_rng(0)
    token = np.concatenate([np.full(80, 3), np.full(40, 8), np.arange(100, 140)])
    embedding = rng.standard_normal((200, D_MODEL))
    means = embedding @ rng.standard_normal((D_MODEL, D_MODEL)) + rng.standard_normal((200, D_MODEL))
    scales = np.where(token == 8, 4.0, 1.0)[:, None] * np.arange(1, D_MODEL + 1)
    made = means[token] + scales * rng.standard_normal((160, D_MODEL))
    return fitted_to(
        torch.from_numpy(made).float(), token=token.tolist(), embedding=torch.from_numpy(embedding[token]).float()
    )


def drawn(kind: object, context: TargetContext, count: int) -> torch.Tensor:
    bases = [Base(torch.full((D_MODEL,), 5.0), sample, 0) for sample in range(count)]
    made = draw(kind, bases, context)  # type: ignore[arg-type]
    assert (made.source_row == -1).all()
    return made.activation


def test_a_token_s_mean_as_often_as_it_occurs(context: TargetContext) -> None:
    made, means = drawn(TokenMean(), context, 1600), context.learned(Tokens).mean
    which = (made[:, None] == torch.from_numpy(means)).all(dim=2)
    assert (which.sum(dim=1) == 1).all()
    # ids ascend: 3, 8, then the others; 1600 draws, standard deviations 20, 17 and 3
    counts = which.sum(dim=0).numpy()
    assert abs(counts[0] - 800) < 80
    assert abs(counts[1] - 400) < 70
    assert counts[2:].min() > 0
    assert counts[2:].max() < 30


def test_departures_have_the_moments_of_all_tokens_together(context: TargetContext) -> None:
    """The same samples draw the same tokens only if purposes are the same: so departures are asked for themselves."""
    left = torch.from_numpy(context.learned(Tokens).left).double()
    rng = np.random.default_rng(1)
    for kind in (TokenGaussian(), TokenElliptical()):
        rows = rng.integers(160, size=3000)
        made = torch.stack([kind._departure(int(row), context, rng) for row in rows])
        spread = left.T.cov(correction=0)
        # of 3000 draws, to 5 standard deviations of a mean, and of a variance whose kurtosis may be 3 times the normal
        most = float(spread.diagonal().max())
        torch.testing.assert_close(made.mean(dim=0), left.mean(dim=0), rtol=0, atol=5 * (most / 3000) ** 0.5)
        torch.testing.assert_close(made.T.cov(), spread, rtol=0, atol=5 * most * (8 / 3000) ** 0.5)


def test_a_departure_keeps_the_length_of_its_activation_s(context: TargetContext) -> None:
    """sqrt((x - m)^T S^-1 (x - m)), S^-1 by another way than the type's; directions are drawn."""
    left = context.learned(Tokens).left.astype(np.float64)
    inverse = np.linalg.inv(np.cov(left.T, bias=True))

    def length(x: np.ndarray) -> float:
        about = x - left.mean(axis=0)
        return float(np.sqrt(about @ inverse @ about))

    rng = np.random.default_rng(2)
    for row in (0, 79, 80, 119, 120, 159):
        one, two = (TokenElliptical()._departure(row, context, rng).numpy() for _ in range(2))
        assert length(one) == pytest.approx(length(left[row]), rel=1e-5)
        assert length(two) == pytest.approx(length(left[row]), rel=1e-5)
        assert not np.allclose(one, two, rtol=0.1)
    lengths = context.learned(WithinTokens).length
    assert lengths[80:120].mean() > 2 * lengths[:80].mean()


def test_a_direction_without_variance_gets_none(fitted_to: Callable[..., TargetContext]) -> None:
    made = torch.randn((60, 4), generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2, 3, 0])
    context = fitted_to(made, token=[0, 1, 2] * 20)
    for kind in (TokenGaussian(), TokenElliptical()):
        found = draw(kind, [Base(torch.zeros(4), sample, 0) for sample in range(20)], context).activation
        assert found[:, 3].abs().max() < 1e-6
        assert found[:, :3].std(dim=0).min() > 0.3
        assert found.isfinite().all()


def test_the_total_is_that_of_the_corpus(context: TargetContext) -> None:
    """Mean and variance of token_gaussian are those of real activations: what shrinkage takes, departures give."""
    made, real = drawn(TokenGaussian(), context, 2000).double(), context.corpus.activation.double()
    total = float(real.var(dim=0, correction=0).sum())
    assert float(made.var(dim=0).sum()) == pytest.approx(total, rel=0.1)
    assert float((made.mean(dim=0) - real.mean(dim=0)).norm()) < 0.1 * total**0.5
