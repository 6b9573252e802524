from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.fitting import Codes, Corpus, Fitting
from plateaulens.targets.types import code_pairs
from plateaulens.targets.types.code_pairs import CodePairs, Pairs, together

BRANCHES = {(0, 3), (0, 5), (1, 5), (1, 4), (2, 6), (6, 7)}
"""Two trees: 3 - 0 - 5 - 1 - 4 and 2 - 6 - 7; latent 8 is never active."""


def planted(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Codes of eight latents of two trees, and a ninth that is silent; strengths name latents.

    One is active only where the one above it is, and 6, above the second tree, only where 5, above the first, is not:
    no pair is active together that has one of each.
    """
    rng = np.random.default_rng(seed)
    fires = np.zeros((rows, 9), dtype=np.bool_)
    fires[:, 5] = rng.random(rows) < 0.45
    fires[:, 6] = ~fires[:, 5] & (rng.random(rows) < 0.6)
    for latent, above, share in ((0, 5, 0.7), (3, 0, 0.6), (1, 5, 0.5), (4, 1, 0.8), (2, 6, 0.9), (7, 6, 0.4)):
        fires[:, latent] = fires[:, above] & (rng.random(rows) < share)
    strength = np.arange(1, 10) + 0.125 * rng.integers(0, 3, (rows, 9))
    return (fires * strength).astype(np.float32)


def entangled(rows: int) -> NDArray[np.float32]:
    """Codes of 14 latents that have factors in common, and so are no tree; 13 is seldom where 0 is."""
    rng = np.random.default_rng(3)
    factors = rng.random((rows, 4)) < 0.4
    fires = rng.random((rows, 14)) < np.where(factors @ (rng.random((4, 14)) < 0.5), 0.5, 0.15)
    fires[:, 13] = rng.random(rows) < np.where(fires[:, 0], 0.1, 0.6)
    return fires.astype(np.float32)


def fitting_of(codes: NDArray[np.float32]) -> Fitting:
    """A corpus whose activations are its codes."""
    activation = torch.from_numpy(codes)
    corpus = Corpus(activation, np.zeros(len(codes), np.int64), activation)
    dictionary = Dictionary(torch.relu, torch.clone, torch.eye(codes.shape[1]), torch.ones(codes.shape[1]))
    return Fitting(lambda: corpus, dictionary, seed=0)


def branches(pairs: Pairs) -> set[tuple[int, int]]:
    ends = [(pairs.latent[own], pairs.latent[above]) for own, above in enumerate(pairs.parent) if above >= 0]
    return {(int(min(pair)), int(max(pair))) for pair in ends}


def drawn(pairs: Pairs, latents: int, times: int, seed: int = 1) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    fires = np.zeros((times, latents), dtype=np.bool_)
    for row in fires:
        row[pairs.draw(rng)] = True
    return fires


def information(fires: NDArray[np.bool_], first: int, second: int) -> float:
    """Mutual information of two latents, cell by cell."""
    total = 0.0
    for one in (False, True):
        for other in (False, True):
            both = float(((fires[:, first] == one) & (fires[:, second] == other)).mean())
            alone = float((fires[:, first] == one).mean() * (fires[:, second] == other).mean())
            total += both * np.log(both / alone) if both else 0.0
    return total


def best_forest(fires: NDArray[np.bool_]) -> set[tuple[int, int]]:
    """By Kruskal, over pairs that are active together."""
    group = list(range(fires.shape[1]))
    told = {
        pair: information(fires, *pair)
        for pair in combinations(group, 2)
        if (fires[:, pair[0]] & fires[:, pair[1]]).any()
    }
    found = set()
    for pair in sorted(told, key=lambda pair: -told[pair]):
        own, other = group[pair[0]], group[pair[1]]
        if own != other:
            group = [own if each == other else each for each in group]
            found.add(pair)
    return found


def test_the_planted_forest_is_found() -> None:
    pairs = Pairs.fit(fitting_of(planted(6000)))
    assert branches(pairs) == BRANCHES
    assert sorted(pairs.latent) == list(range(8))


def test_it_is_the_best_forest() -> None:
    """By mutual informations computed naively."""
    codes = entangled(5000)
    found = branches(Pairs.fit(fitting_of(codes)))
    assert found == best_forest(codes > 0)
    assert (0, 13) in found


def test_blocks_of_latents_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = fitting_of(planted(3000))
    whole = Pairs.fit(fitting)
    monkeypatch.setattr(code_pairs, "_LATENTS_AT_ONCE", 3)
    for one, other in zip(vars(whole).values(), vars(Pairs.fit(fitting)).values(), strict=True):
        assert (one == other).all()


def test_generations_follow_their_parents() -> None:
    pairs = Pairs.fit(fitting_of(planted(3000)))
    assert pairs.start[0] == 0
    assert pairs.start[-1] == len(pairs.latent)
    assert (pairs.parent[: pairs.start[1]] == -1).all()
    for (before, start), (_, stop) in pairwise(pairwise(pairs.start)):
        assert ((pairs.parent[start:stop] >= before) & (pairs.parent[start:stop] < start)).all()
    assert (np.diff(pairs.start) > 0).all()
    assert set(pairs.latent[: pairs.start[1]]) <= set(range(8)), "each tree begins with one"
    assert pairs.start[1] == 2


@pytest.mark.parametrize("codes", [planted(6000), entangled(5000)], ids=["planted", "entangled"])
def test_draws_have_the_corpus_marginals_and_pairs(codes: NDArray[np.float32]) -> None:
    """Within five standard deviations of 10,000 draws, beside what the smoothing moves, which is below 0.001."""
    pairs, fires = Pairs.fit(fitting_of(codes)), codes > 0
    found = drawn(pairs, codes.shape[1], 10_000)
    for latent in range(codes.shape[1]):
        share = fires[:, latent].mean()
        assert abs(found[:, latent].mean() - share) <= 5 * np.sqrt(share * (1 - share) / len(found))
    for first, second in branches(pairs):
        share = (fires[:, first] & fires[:, second]).mean()
        apart = abs((found[:, first] & found[:, second]).mean() - share)
        assert apart < 5 * np.sqrt(share * (1 - share) / len(found)) + 0.001


def test_latents_have_no_more_in_common_than_what_lies_between_them() -> None:
    """Latents 0 and 1 have 5 between them, and the two trees are drawn by themselves."""
    found = drawn(Pairs.fit(fitting_of(planted(6000))), 9, 10_000)
    given = found[found[:, 5]]
    assert information(given, 0, 1) < 20 / len(given)
    assert information(found, 5, 6) < 20 / len(found)
    assert information(found, 0, 1) > 100 / len(found)


def test_which_latent_has_no_parent_makes_no_difference() -> None:
    """Joint frequencies along a branch are the same seen from either end."""
    fitting = fitting_of(planted(3000))
    pairs, frequency = Pairs.fit(fitting), fitting.learned(Codes).frequency
    child = np.flatnonzero(pairs.parent >= 0)
    own, above = frequency[pairs.latent[child]], frequency[pairs.latent[pairs.parent[child]]]
    np.testing.assert_allclose(pairs.beside[child] * above + pairs.without[child] * (1 - above), own, rtol=1e-12)


def test_seldom_latents_are_smoothed() -> None:
    """Two latents that are active once, together, in ten: (1 * 1 / 10 + 2 / 100) / (1 + 2) = 0.04, and not 0.1."""
    codes = np.zeros((10, 2), np.float32)
    codes[4] = 1.0
    pairs = Pairs.fit(fitting_of(codes))
    np.testing.assert_allclose(pairs.beside, [0.1, 0.4])
    np.testing.assert_allclose(pairs.without, [0.1, 0.06 / 0.9])


def test_smoothed_joint_frequencies_are_possible_ones() -> None:
    rng = np.random.default_rng(5)
    rows = 50
    first, second = rng.integers(1, rows + 1, (2, 4000))
    both = rng.integers(np.maximum(0, first + second - rows), np.minimum(first, second) + 1)
    share = together(both, first / rows, second / rows, rows)
    assert (share <= np.minimum(first, second) / rows + 1e-12).all()
    assert (share >= (first + second - rows) / rows - 1e-12).all()
    assert (share > 0).all()


def test_a_latent_that_is_always_active_stays_so() -> None:
    rng = np.random.default_rng(2)
    codes = (rng.random((400, 3)) < 0.5).astype(np.float32)
    codes[:, 1] = 1.0
    pairs = Pairs.fit(fitting_of(codes))
    assert all(np.isfinite(each).all() for each in (pairs.beside, pairs.without))
    found = drawn(pairs, 3, 2000)
    assert found[:, 1].all()
    assert np.abs(found[:, [0, 2]].mean(axis=0) - 0.5).max() < 0.12


def fitted(context: TargetContext, fitting: Fitting) -> TargetContext:
    return replace(context, dictionary=fitting.dictionary, fitting=fitting)


def test_targets_have_their_latents_own_strengths(context_of: Callable[..., TargetContext]) -> None:
    codes = planted(2000)
    context = fitted(context_of(torch.ones((1, 9))), fitting_of(codes))
    bases = context.bases(torch.ones((300, 9)), range(300), [0] * 300)
    result = draw(CodePairs(), bases, context)
    made = result.activation.numpy()
    for latent in range(9):
        assert set(made[:, latent]) <= {0.0, *codes[:, latent]}
        assert len(set(made[:, latent])) == (1 if latent == 8 else 4)
    assert (result.source_row == -1).all()
    assert (draw(CodePairs(), bases[100:103], context).activation.numpy() == made[100:103]).all()


def test_an_empty_draw_gives_the_decoder_of_zeros(context_of: Callable[..., TargetContext]) -> None:
    codes = np.zeros((1000, 2), np.float32)
    codes[3, 1] = 1.0
    fitting = fitting_of(codes).with_dictionary(Dictionary(torch.relu, lambda f: f + 7, torch.eye(2), torch.ones(2)))
    context = fitted(context_of(torch.ones((1, 2))), fitting)
    result = draw(CodePairs(), context.bases(torch.ones((3, 2)), range(3), [0] * 3), context)
    assert result.activation.tolist() == [[7.0, 7.0]] * 3


def test_the_scale_is_that_of_the_base(context_of: Callable[..., TargetContext]) -> None:
    scaled = Dictionary(
        torch.relu, torch.clone, torch.eye(9), torch.ones(9), lambda x: (x.amax(dim=1, keepdim=True), x[:, :1])
    )
    context = fitted(context_of(torch.ones((1, 9))), fitting_of(planted(500)).with_dictionary(scaled))
    empty = Code(np.zeros(0, np.int64), np.zeros(0, np.float32), (1.0, 0.0))
    own, other = (
        CodePairs().target(Base(torch.ones(9), 0, 0, code), context, np.random.default_rng(0)).activation.numpy()
        for code in (empty, replace(empty, frame=(2.0, 3.0)))
    )
    assert own.any()
    assert (other == 2 * own + 3).all()
