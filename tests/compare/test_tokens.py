import numpy as np
import pytest
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling, percentile_interval
from plateaulens.compare.tokens import token_share


def resampled(n: int, resamples: int = 200) -> Resampling:
    return Resampling.draw(np.random.default_rng(0), samples=n, resamples=resamples)


def planted(n: int, tokens: int, between: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    rng = np.random.default_rng(seed)
    token = rng.integers(tokens, size=n)
    mean = np.sqrt(between) * rng.normal(size=(tokens, 5))
    return mean[token] + np.sqrt(1 - between) * rng.normal(size=(n, 5)), token


def test_by_mean_squares() -> None:
    points, token = planted(60, 12, 0.5, 0)
    within = sum(((points[token == one] - points[token == one].mean(axis=0)) ** 2).sum() for one in np.unique(token))
    whole = ((points - points.mean(axis=0)) ** 2).sum()
    expected = 1 - within / (60 - len(np.unique(token))) / (whole / 59)
    assert token_share(points, token, resampled(60))[0] == pytest.approx(expected)


@pytest.mark.parametrize("between", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("tokens", [20, 300])
def test_rare_tokens_do_not_pass_for_clouds_of_no_width(between: float, tokens: int) -> None:
    """With 300 tokens among 200 prompts most occur once; R squared would be near 1 whatever was planted."""
    shares = [token_share(*planted(200, tokens, between, seed), resampled(200, 1))[0] for seed in range(40)]
    assert np.mean(shares) == pytest.approx(between, abs=0.05)


def test_a_resample_is_worth_what_its_repeated_prompts_are() -> None:
    """The mean over resamples is the estimate: a prompt drawn twice is no pair at no distance."""
    points, token = planted(150, 80, 0.6, 1)
    draws = token_share(points, token, resampled(150, 600))
    assert draws[1:].mean() == pytest.approx(draws[0], abs=0.02)
    lower, upper = percentile_interval(draws[1:], 0.95)
    assert lower < draws[0] < upper


def test_a_resample_by_its_weights() -> None:
    points, token = planted(30, 6, 0.5, 2)
    resampling = resampled(30, 1)
    w = resampling.rows[1].astype(float)

    def square(own: NDArray[np.bool_]) -> tuple[float, float]:
        weight, here = w[own], points[own]
        if not weight.sum():
            return 0.0, 0.0
        mean = weight @ here / weight.sum()
        return float(weight @ ((here - mean) ** 2).sum(axis=1)), float(weight.sum() - (weight**2).sum() / weight.sum())

    parts = np.array([square(token == one) for one in np.unique(token)]).sum(axis=0)
    whole = square(np.ones(30, dtype=bool))
    assert token_share(points, token, resampling)[1] == pytest.approx(1 - parts[0] / parts[1] / (whole[0] / whole[1]))


def test_tokens_that_are_all_different_say_nothing() -> None:
    assert np.isnan(token_share(np.eye(4), np.arange(4), resampled(4))).all()


def test_without_prompts_or_variance() -> None:
    assert np.isnan(token_share(np.empty((0, 3)), np.empty(0, int), resampled(0))).all()
    assert np.isnan(token_share(np.ones((6, 3)), np.arange(6) // 2, resampled(6))).all()
