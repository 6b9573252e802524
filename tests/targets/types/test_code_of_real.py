from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.drawing import Targets, draw
from plateaulens.targets.fitting import Codes
from plateaulens.targets.types.code_of_real import LatentsKept, LatentsSwapped, StrengthsKept, StrengthsRedrawn
from plateaulens.targets.types.real import Real
from plateaulens.targets.types.reconstruction import Reconstruction

LATENTS, SAMPLES = 40, 60
ALL = [LatentsKept(), LatentsSwapped(), StrengthsKept(), StrengthsRedrawn()]
SHARES = [0.0, 0.3, 0.5, 1.0]
Make = Callable[[float], TargetContext]


@pytest.fixture(scope="module")
def make(transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]) -> Make:
    """Codes are what is positive, some 12 of 40 latents; the corpus never has the last latent, the pool does."""
    rng = torch.Generator().manual_seed(0)
    made = torch.randn((300 + SAMPLES, LATENTS), generator=rng) - 0.5
    corpus, pool = made[SAMPLES:].clone(), made[:SAMPLES]
    corpus[:, -1] = -1
    return lambda share: fitted_to(corpus, transparent([0.5] * LATENTS), pool=pool, kept_share=share)


def drawn(kind: Any, context: TargetContext) -> Targets:
    pool = context.pool.activation
    return draw(kind, context.bases(pool, range(len(pool)), range(len(pool))), context)


def pairs(kind: Any, context: TargetContext) -> list[tuple[Code, Code, torch.Tensor]]:
    """For each sample the real target's code, the type's, and the real target itself."""
    real = drawn(Real(), context).activation
    own = drawn(kind, context).activation
    encode = context.sae.encode
    return [(encode(one), encode(two), one) for one, two in zip(real, own, strict=True)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_where_all_is_kept_it_is_the_reconstruction(kind: Any, make: Make) -> None:
    context = make(1.0)
    assert torch.equal(drawn(kind, context).activation, drawn(Reconstruction(), context).activation)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_its_source_is_that_of_the_real_target(kind: Any, make: Make) -> None:
    context = make(0.5)
    assert np.array_equal(drawn(kind, context).source_row, drawn(Real(), context).source_row)


@pytest.mark.parametrize("share", SHARES)
def test_latents_kept(share: float, make: Make) -> None:
    """So many latents keep their strengths; as many others have the strengths of those that went."""
    context = make(share)
    fired = set(context.learned(Codes).fired.tolist())
    for real, own, _ in pairs(LatentsKept(), context):
        kept = np.isin(own.latent, real.latent)
        assert kept.sum() == round(share * len(real))
        before = dict(zip(real.latent, real.activation, strict=True))
        assert all(before[each] == value for each, value in zip(own.latent[kept], own.activation[kept], strict=True))
        assert sorted(own.activation) == sorted(real.activation)
        assert set(own.latent[~kept].tolist()) <= fired


def test_latents_come_in_by_how_often_they_are_active(
    transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> None:
    corpus = -torch.ones((100, 4))
    corpus[:80, 1], corpus[80:, 2] = 1, 1
    pool = -torch.ones((2, 4))
    pool[:, 3] = torch.tensor([5.0, 7.0])
    context = fitted_to(corpus, transparent([0.5] * 4), pool=pool, kept_share=0)
    found = draw(LatentsKept(), context.bases(pool[:1].repeat(1500, 1), range(1500), [0] * 1500), context).activation
    # one of two by itself, with odds of 0.8 / 0.2 and 0.2 / 0.8: 16 to 1
    assert (found.max(dim=1).values == 7).all()
    assert float((found[:, 1] == 7).float().mean()) == pytest.approx(16 / 17, abs=5 * 0.006)


@pytest.mark.parametrize("share", SHARES)
def test_latents_swapped(share: float, make: Make) -> None:
    """What goes out makes room for the neighbour's strongest that the target lacks, with the neighbour's strengths."""
    context = make(share)
    for real, own, activation in pairs(LatentsSwapped(), context):
        kept = np.isin(own.latent, real.latent)
        assert kept.sum() == round(share * len(real))
        neighbour = context.sae.encode(context.corpus.activation[context.corpus.nearest(activation)])
        lacking = ~np.isin(neighbour.latent, real.latent)
        strongest = np.sort(neighbour.activation[lacking])[::-1][: len(real) - round(share * len(real))]
        assert np.array_equal(np.sort(own.activation[~kept])[::-1], strongest)
        theirs = dict(zip(neighbour.latent, neighbour.activation, strict=True))
        assert all(theirs[each] == value for each, value in zip(own.latent[~kept], own.activation[~kept], strict=True))


@pytest.mark.parametrize("share", SHARES)
def test_strengths_kept(share: float, make: Make) -> None:
    """Latents and strengths stay, and so many pairs of them at least; at 0 few are as they were."""
    context = make(share)
    same = []
    for real, own, _ in pairs(StrengthsKept(), context):
        assert np.array_equal(own.latent, real.latent)
        assert sorted(own.activation) == sorted(real.activation)
        assert (own.activation == real.activation).sum() >= round(share * len(real))
        same.append((own.activation == real.activation).sum() - round(share * len(real)))
    if share < 1:  # a random order leaves one in its place on average, with variance 1
        assert abs(np.mean(same) - 1) < 5 / SAMPLES**0.5


@pytest.mark.parametrize("share", SHARES)
def test_strengths_redrawn(share: float, make: Make) -> None:
    """Latents stay; strengths that are not kept are some that the same latent has had, where it has had any."""
    context = make(share)
    codes = context.learned(Codes)
    for real, own, _ in pairs(StrengthsRedrawn(), context):
        assert np.array_equal(own.latent, real.latent)
        same = own.activation == real.activation
        known = real.latent != LATENTS - 1
        assert round(share * len(real)) <= same.sum() <= round(share * len(real)) + (~known).sum()
        for latent, value in zip(own.latent[~same], own.activation[~same], strict=True):
            assert value in codes.strengths_of(int(latent))
        assert same[~known].all()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_more_is_kept_of_it_the_nearer_it_is(kind: Any, make: Make) -> None:
    reconstructed = drawn(Reconstruction(), make(1.0)).activation
    apart = [float((drawn(kind, make(share)).activation - reconstructed).norm(dim=1).mean()) for share in SHARES]
    assert apart == sorted(apart, reverse=True)
    assert apart[0] > apart[1] > apart[2] > apart[3] == 0
