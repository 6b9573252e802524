from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.fitting import Codes
from plateaulens.targets.types.code_marginals import CodeFrequency, CodeSize, CodeStrengths

LATENTS, ROWS, DRAWS = 30, 400, 1000
NAMES = ["code_size", "code_frequency", "code_strengths"]


@pytest.fixture(scope="module")
def context(transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]) -> TargetContext:
    """Codes are what is positive: latent j is active with probability 0.95 0.85^j, the last two never, about j strong;
    sizes vary more than those of independent latents would, and one code is empty."""
    rng = np.random.default_rng(0)
    chance = 0.95 * 0.85 ** np.arange(LATENTS) * (np.arange(LATENTS) < LATENTS - 2)
    active = rng.random((ROWS, LATENTS)) < np.clip(chance * rng.uniform(0.4, 1.6, (ROWS, 1)), 0, 1)
    active[0] = False
    made = np.where(active, (1 + np.arange(LATENTS)) * rng.lognormal(0, 0.4, (ROWS, LATENTS)), -1.0)
    return fitted_to(torch.from_numpy(made).float(), transparent([0.5] * LATENTS))


@pytest.fixture(scope="module")
def drawn(context: TargetContext) -> dict[str, np.ndarray]:
    """Codes of each type: the dictionary shows the code itself as the target."""
    bases = context.bases(-torch.ones((DRAWS, LATENTS)), range(DRAWS), [0] * DRAWS)
    made = {kind.name: draw(kind, bases, context) for kind in (CodeSize(), CodeFrequency(), CodeStrengths())}
    assert list(made) == NAMES
    assert all((each.source_row == -1).all() for each in made.values())
    return {name: each.activation.numpy() for name, each in made.items()}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_distributed_as_those_of_real_codes(
    name: str, context: TargetContext, drawn: dict[str, np.ndarray]
) -> None:
    codes = context.learned(Codes)
    sizes = (drawn[name] > 0).sum(axis=1)
    assert set(sizes) <= set(codes.size)
    assert stats.ks_2samp(sizes, codes.size).pvalue > 0.001
    assert drawn[name][:, -2:].max() == 0  # never active in the corpus


def test_code_size_leaves_latents_uniform(context: TargetContext, drawn: dict[str, np.ndarray]) -> None:
    """Each of the 28 that are active anywhere is drawn with the mean size over 28."""
    chance = context.learned(Codes).size.mean() / 28
    found = (drawn["code_size"] > 0).mean(axis=0)[:28]
    np.testing.assert_allclose(found, chance, atol=5 * (chance * (1 - chance) / DRAWS) ** 0.5)


def test_code_frequency_keeps_frequencies(context: TargetContext, drawn: dict[str, np.ndarray]) -> None:
    """To 0.01 of each, beside chance: odds are those of chances given an expected size, codes are drawn with that size.

    Drawn one after the other in proportion to frequency, the most frequent latents would be active too seldom."""
    codes = context.learned(Codes)
    frequency, sizes = codes.frequency, codes.size
    found = (drawn["code_frequency"] > 0).mean(axis=0)
    deviation = (frequency * (1 - frequency) / DRAWS) ** 0.5
    assert (np.abs(found - frequency) < 0.01 + 4 * deviation).all()
    rng, chance = np.random.default_rng(0), frequency / frequency.sum()
    in_turn = [rng.choice(LATENTS, size=rng.choice(sizes), replace=False, p=chance) for _ in range(DRAWS)]
    assert np.bincount(np.concatenate(in_turn))[0] / DRAWS < frequency[0] - 0.01 - 4 * deviation[0]


@pytest.mark.parametrize("name", NAMES[:2])
def test_strengths_are_those_of_all_latents_alike(
    name: str, context: TargetContext, drawn: dict[str, np.ndarray]
) -> None:
    """Neither the latent nor the code that the size is of has a part in them."""
    found, codes = drawn[name], context.learned(Codes)
    assert set(found[found > 0]) <= set(codes.strength.data)
    assert stats.ks_2samp(found[found > 0], codes.strength.data).pvalue > 0.001
    first, later = found[:, :5], found[:, 5:]
    assert stats.ks_2samp(first[first > 0], later[later > 0]).pvalue > 0.001


def test_code_strengths_are_those_of_one_real_code_rank_by_rank(
    context: TargetContext, drawn: dict[str, np.ndarray]
) -> None:
    codes = context.learned(Codes)
    real = {tuple(sorted(codes.code(row).activation.tolist())) for row in range(ROWS)}
    for made in drawn["code_strengths"]:
        latent = np.flatnonzero(made)
        assert tuple(sorted(made[latent].tolist())) in real
        ranked = latent[np.argsort(codes.mean_strength[latent], kind="stable")]
        assert (np.diff(made[ranked]) >= 0).all()


def test_code_strengths_draws_latents_as_code_frequency_does(drawn: dict[str, np.ndarray]) -> None:
    one, two = ((drawn[name] > 0).mean(axis=0) for name in NAMES[1:])
    # the standard deviation of the difference of two shares of 1000 draws is 0.022 at most
    np.testing.assert_allclose(one, two, atol=5 * 0.022)


def test_an_empty_code_is_the_decoder_of_zeros(
    transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> None:
    made = -torch.ones((50, 3))
    made[0, 1] = 2
    context = fitted_to(made, transparent([0.5] * 3))
    base = torch.ones((60, 3))
    for kind in (CodeSize(), CodeFrequency(), CodeStrengths()):
        found = draw(kind, context.bases(base, range(60), [0] * 60), context).activation
        assert {tuple(row) for row in found.tolist()} <= {(0, 0, 0), (0, 2, 0)}
        assert (found == 0).all(dim=1).any()
