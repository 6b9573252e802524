from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.fitting import Codes
from plateaulens.targets.types.code_top import PRIOR, CodeCopula, CodeTop, Copula, Tops

LATENTS, DRAWS = 12, 2000


def world(correlation: float, rows: int = 900, seed: int = 0) -> torch.Tensor:
    """Top latent 0 (two thirds of all), 1 (all others but two), 2 (two); 3 to 8 beside them, each more often with one
    of them; strengths log-normal with a normal score that is correlated with the top's."""
    rng = np.random.default_rng(seed)
    top = np.where(np.arange(rows) < 2 * rows // 3, 0, 1)
    top[-2:] = 2
    made = np.zeros((rows, LATENTS))
    z = rng.standard_normal(rows)
    made[np.arange(rows), top] = 20 * np.exp(0.2 * z)
    for each in range(3, 9):
        chance = np.where(top == each % 2, 0.8, 0.1)
        score = correlation * z + np.sqrt(1 - correlation**2) * rng.standard_normal(rows)
        # beside top 1 all are twice as strong
        strength = np.exp(0.3 * score + 0.1 * each) * np.where(top == 1, 2, 1)
        made[:, each] = np.where(rng.random(rows) < chance, strength, 0)
    return torch.from_numpy(made).float()


@pytest.fixture(scope="module")
def context(transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]) -> TargetContext:
    return fitted_to(world(0.6), transparent([0.5] * LATENTS))


@pytest.fixture(scope="module")
def drawn(context: TargetContext) -> dict[str, np.ndarray]:
    """Codes of both types: the dictionary shows the code itself as the target."""
    bases = context.bases(-torch.ones((DRAWS, LATENTS)), range(DRAWS), [0] * DRAWS)
    made = {kind.name: draw(kind, bases, context) for kind in (CodeTop(), CodeCopula())}
    assert all((each.source_row == -1).all() for each in made.values())
    return {name: each.activation.numpy() for name, each in made.items()}


def with_top(codes: np.ndarray, top: int) -> np.ndarray:
    """Those that certainly have this top latent: no other that is one is active in them."""
    found: np.ndarray = codes[(codes[:, top] > 0) & ((codes[:, :3] > 0).sum(axis=1) == 1)]
    return found


def test_rows_are_those_of_each_top_latent(context: TargetContext) -> None:
    tops, codes = context.learned(Tops), context.learned(Codes)
    assert tops.latent.tolist() == [0, 1, 2]
    for latent, (start, stop) in zip(tops.latent, pairwise(tops.start), strict=True):
        assert sorted(tops.row[start:stop]) == np.flatnonzero(codes.top == latent).tolist()
    assert tops.start[-1] == 900


@pytest.mark.parametrize("name", ["code_top", "code_copula"])
def test_conditional_frequencies_with_the_back_off(
    name: str, context: TargetContext, drawn: dict[str, np.ndarray]
) -> None:
    """(c + 2 f) / (n + 2): of the n activations with this top latent c have the other, f is its share of all."""
    codes, found = context.learned(Codes), drawn[name]
    active = codes.strength.toarray() > 0
    strongest = found.argmax(axis=1)  # a top is 20, others are 6 at most in all but a few
    for top, share in ((0, 600 / 900), (1, 298 / 900), (2, 2 / 900)):
        here = strongest == top
        assert here.mean() == pytest.approx(share, abs=4 * (share * (1 - share) / DRAWS) ** 0.5)
        rows = codes.top == top
        chance = (active[rows].sum(axis=0) + PRIOR * codes.frequency) / (rows.sum() + PRIOR)
        chance[top] = 1
        own = (found[here] > 0).mean(axis=0)
        bound = 5 * (chance * (1 - chance) / here.sum()) ** 0.5 + 0.01
        assert (np.abs(own - chance) < bound).all(), top
    assert (found[:, 9:] == 0).all()


def test_given_the_top_others_are_independent(drawn: dict[str, np.ndarray]) -> None:
    active = with_top(drawn["code_top"], 0)[:, [3, 4, 5, 6, 7, 8]] > 0
    together = np.corrcoef(active.T) - np.eye(6)
    assert np.abs(together).max() < 5 / len(active) ** 0.5


@pytest.mark.parametrize("name", ["code_top", "code_copula"])
def test_strengths_are_those_beside_the_top(name: str, context: TargetContext, drawn: dict[str, np.ndarray]) -> None:
    """Marginals are kept: the values that a latent had beside this top, as often."""
    codes = context.learned(Codes)
    real = codes.strength.toarray()
    for top in (0, 1):
        for latent in (top, 4, 5):
            before = real[codes.top == top, latent]
            own = with_top(drawn[name], top)[:, latent]
            assert set(own[own > 0]) <= set(before)
            assert stats.ks_2samp(own[own > 0], before[before > 0]).pvalue > 0.001


def test_a_latent_that_was_never_beside_the_top_is_as_strong_as_anywhere(
    transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> None:
    made = torch.tensor([[9.0, 0, 0], [9, 0, 0], [0, 8, 1], [0, 8, 2], [0, 8, 3]])
    context = fitted_to(made, transparent([0.5] * 3))
    found = draw(CodeTop(), context.bases(-torch.ones((400, 3)), range(400), [0] * 400), context).activation.numpy()
    beside = found[(found[:, 0] > 0) & (found[:, 1] == 0) & (found[:, 2] > 0), 2]
    assert set(beside) == {1, 2, 3}


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.6, 0.9])
def test_the_correlation_is_measured_within_tops(
    correlation: float, transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> None:
    """That all latents are stronger beside one top than beside another is no correlation with the top's strength."""
    found = fitted_to(world(correlation), transparent([0.5] * LATENTS)).learned(Copula).correlation
    assert float(found) == pytest.approx(correlation, abs=0.05)


def test_it_is_the_same_where_a_top_latent_has_few_activations(
    transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> None:
    """Two activations for each of 500 top latents: ranks of two say less than a correlation, and no less often."""
    rng = np.random.default_rng(0)
    made = np.zeros((1000, 502))
    z = rng.standard_normal(1000)
    made[np.arange(1000), np.arange(1000) // 2] = 50 * np.exp(0.2 * z)
    for latent in (500, 501):
        made[:, latent] = np.exp(0.2 * (0.6 * z + 0.8 * rng.standard_normal(1000)))
    found = fitted_to(torch.from_numpy(made).float(), transparent([0.5] * 502)).learned(Copula).correlation
    # 1000 comparisons: t has standard deviation 0.03, and pi / 2 of it the correlation
    assert float(found) == pytest.approx(0.6, abs=0.15)


def test_drawn_strengths_go_together_as_was_measured(context: TargetContext, drawn: dict[str, np.ndarray]) -> None:
    """Spearman's is 6 / pi asin(r / 2) for a Gaussian copula; without one there is none."""
    measured = float(context.learned(Copula).correlation)
    for name, r in (("code_copula", measured), ("code_top", 0.0)):
        here = with_top(drawn[name], 0)
        for latent in (4, 6, 8):
            both = here[here[:, latent] > 0]
            rank = stats.spearmanr(both[:, 0], both[:, latent]).statistic
            assert rank == pytest.approx(6 / np.pi * np.arcsin(r / 2), abs=5 / len(both) ** 0.5)


def test_codes_of_one_latent_have_no_correlation(
    transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> None:
    context = fitted_to(torch.eye(4), transparent([0.5] * 4))
    assert float(context.learned(Copula).correlation) == 0
    found = draw(CodeCopula(), context.bases(-torch.ones((50, 4)), range(50), [0] * 50), context).activation
    assert set(found.unique().tolist()) == {0, 1}
