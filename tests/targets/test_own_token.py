"""Variants that keep the token of the base: every draw is of it where there is anything to draw it from."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from plateaulens.config import TargetConfig, VariantConfig
from plateaulens.errors import UsageError
from plateaulens.summary.comparison import controls_of
from plateaulens.targets import registry
from plateaulens.targets.base import ChoosesToken, TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import Targets, draw
from plateaulens.targets.fitting import Codes, Tokens
from plateaulens.targets.registry import Variant
from plateaulens.targets.types.by_token import WithinTokens

TOKENS, EACH, WIDTH = 6, 15, 12
ABSENT, SILENT = 40, 5
"""A token that the corpus has not, and one on which no latent is active there."""
OWN = [0, 1, 2, 3, 4, ABSENT, SILENT, 0, 1, 41]
"""The tokens of bases: 0 and 1 are those of two bases each."""


@pytest.fixture(scope="module")
def context(transparent: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]) -> TargetContext:
    """A token's activations have one of two top latents of its own, 2 t and 2 t + 1; some have both of them."""
    rng = np.random.default_rng(3)
    token = np.repeat(np.arange(TOKENS), EACH)
    made = np.zeros((len(token), WIDTH))
    for row, own in enumerate(token):
        top = 2 * own + rng.integers(2)
        made[row, [2 * own, 2 * own + 1]] = rng.uniform(0.0, 1.0, 2) * rng.integers(0, 2, 2)
        made[row, top] = rng.uniform(5, 9)
    made[token == SILENT] *= -1
    pool = torch.from_numpy(rng.standard_normal((len(OWN), WIDTH))).float()
    return fitted_to(
        torch.from_numpy(made).float(), transparent([0.5] * WIDTH), token=token.tolist(), pool=pool, own=OWN, seed=2
    )


def variant(of: str, name: str = "own", **settings: bool) -> Variant:
    (kind,) = registry.create([of], has_sae=True)
    return Variant(name, kind, VariantConfig.model_validate({"type": of, "own_token": True, **settings}))


def drawn(context: TargetContext, kind: Variant, times: int = 40) -> tuple[np.ndarray, Targets]:
    """So many targets of each base, and the tokens of the bases."""
    rows = np.repeat(np.arange(len(OWN)), times)
    activations = context.pool.activation[torch.from_numpy(rows)]
    return np.array(OWN)[rows], draw(kind, context.bases(activations, range(len(rows)), rows.tolist()), context)


def test_bases_have_the_tokens_of_their_prompts(context: TargetContext) -> None:
    bases = context.bases(context.pool.activation, range(len(OWN)), range(len(OWN)))
    assert [base.token for base in bases] == OWN
    assert bases[3].copy().token == OWN[3]
    (outside,) = context.bases(context.pool.activation[:1], [0], [99])
    assert outside.token is None


def test_rows_of_a_token(context: TargetContext) -> None:
    corpus = context.corpus
    for token in range(TOKENS):
        assert corpus.rows_of(token).tolist() == np.flatnonzero(corpus.token == token).tolist()
    assert not len(corpus.rows_of(ABSENT))


def test_a_token_s_mean_is_the_own_one_s_in_every_draw(context: TargetContext) -> None:
    means = torch.from_numpy(context.learned(Tokens).mean)
    tokens, found = drawn(context, variant("token_mean"))
    which = (found.activation[:, None] == means).all(dim=2)
    assert (which.sum(dim=1) == 1).all()
    known = tokens < TOKENS
    assert which.int().argmax(dim=1).numpy()[known].tolist() == tokens[known].tolist()
    # the other two are backed off: any token is drawn
    assert len(set(which.int().argmax(dim=1).numpy()[tokens == ABSENT].tolist())) == TOKENS


def test_departures_are_added_to_the_own_token_s_mean(context: TargetContext) -> None:
    """`token_elliptical` keeps the length of a departure of that very token, and `token_gaussian` has those of all."""
    tokens_of, within = context.learned(Tokens), context.learned(WithinTokens)
    tokens, found = drawn(context, variant("token_elliptical"))
    root = within.departure.inverse_root
    for token in range(TOKENS):
        left = found.activation[torch.from_numpy(tokens == token)].double() - torch.from_numpy(tokens_of.mean[token])
        lengths = ((left - within.departure.mean) @ root).norm(dim=1).numpy()
        own = within.length[context.corpus.token == token]
        assert np.abs(lengths[:, None] - own).min(axis=1).max() < 1e-3 * own.max(), token
    tokens, found = drawn(context, variant("token_gaussian"), times=400)
    for token in range(TOKENS):
        made = found.activation[torch.from_numpy(tokens == token)].double()
        spread = within.departure.covariance.diagonal().sqrt()
        off = (made.mean(dim=0) - torch.from_numpy(tokens_of.mean[token]) - within.departure.mean).abs()
        assert (off <= 5 * spread / 400**0.5 + 1e-5).all(), token


@pytest.mark.parametrize("name", ["code_top", "code_copula"])
def test_a_top_latent_is_one_of_the_own_token_s(name: str, context: TargetContext) -> None:
    """As often as it is one there; the dictionary shows the code itself as the target."""
    tokens, found = drawn(context, variant(name), times=300)
    strong = found.activation.numpy() >= 5  # no latent is that is not the top one, but for what tops lean on
    codes = context.learned(Codes)
    for token in range(SILENT):
        own = strong[tokens == token]
        assert own[:, [2 * token, 2 * token + 1]].any(axis=1).all()
        others = np.delete(own, [2 * token, 2 * token + 1], axis=1)
        assert others.mean(axis=0).max() < 0.15
        share = np.mean(codes.top[context.corpus.token == token] == 2 * token)
        assert own[:, 2 * token].mean() == pytest.approx(share, abs=0.05 + 5 * 0.5 / len(own) ** 0.5)
    for token in (ABSENT, SILENT):
        assert (strong[tokens == token].mean(axis=0)[: 2 * SILENT] > 0.03).all(), "any top latent is drawn"


def test_a_real_target_is_of_another_prompt_with_the_own_token(context: TargetContext) -> None:
    tokens, found = drawn(context, variant("real"))
    rows, own = np.repeat(np.arange(len(OWN)), 40), np.array(OWN)
    assert (found.source_row != rows).all()
    for token, others in ((0, {0, 7}), (1, {1, 8})):
        assert set(found.source_row[tokens == token]) == others
    alone = ~np.isin(tokens, [0, 1])
    assert len(set(own[found.source_row[alone]])) == len(set(OWN))


def test_it_is_known_where_the_token_is_kept(context: TargetContext) -> None:
    bases = context.bases(context.pool.activation, range(len(OWN)), range(len(OWN)))

    def kept(name: str) -> list[int]:
        return [base.row for base in bases if variant(name).has_own_token(base, context)]

    assert kept("token_mean") == kept("token_gaussian") == [0, 1, 2, 3, 4, 6, 7, 8]
    assert kept("code_top") == [0, 1, 2, 3, 4, 7, 8]
    assert kept("real") == kept("real_control") == [0, 1, 7, 8]
    same = context.pool.activation.clone()
    same[7] = same[0]  # which is the base itself, as far as a path is concerned
    moved = replace(context, pool=replace(context.pool, activation=same))
    own = [base.row for base in moved.bases(same, range(10), range(10)) if variant("real").has_own_token(base, moved)]
    assert own == [1, 8]


@pytest.mark.parametrize("name", ["token_mean", "token_gaussian", "token_elliptical", "code_top", "code_copula"])
def test_without_it_a_type_is_drawn_as_ever(name: str, context: TargetContext) -> None:
    plain = drawn(context, variant(name, own_token=False))[1].activation
    without = replace(context, pool=replace(context.pool, token=None))
    assert torch.equal(plain, drawn(without, variant(name, own_token=False))[1].activation)
    assert not torch.equal(plain, drawn(context, variant(name))[1].activation)


def test_a_token_that_nobody_knows(context: TargetContext) -> None:
    without = replace(context, pool=replace(context.pool, token=None))
    for name in ("token_mean", "code_top", "real"):
        with pytest.raises(UsageError, match="'own', sample 0: needs the token of the base, and it is not known"):
            drawn(without, variant(name))


def test_a_type_that_chooses_no_token_is_refused() -> None:
    targets = TargetConfig(types=("real",), variants={"own": VariantConfig(type="random", own_token=True)})
    with pytest.raises(UsageError) as raised:
        registry.create_all(targets, has_sae=True)
    known = [name for name in registry.shipped() if isinstance(registry.create([name], has_sae=True)[0], ChoosesToken)]
    assert str(raised.value) == (
        "targets.variants.own.own_token: activation type 'random' chooses no token; those that do are "
        + ", ".join(known)
    )
    assert set(known) == {
        *("real", "real_control", "token_mean", "token_gaussian", "token_elliptical", "code_top", "code_copula")
    }


def test_what_is_said_of_it() -> None:
    assert variant("token_mean", matched=True).definition == (
        "as token mean, of the base's own token and norm and distances matched to real's"
    )


def test_a_real_target_of_a_chosen_token_is_no_control() -> None:
    variants = {"again": {"type": "real"}, "own": {"type": "real", "own_token": True}}
    assert controls_of({"variants": variants}) == ("real_control", "again")
