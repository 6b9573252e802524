from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.fitting import Codes, Corpus, Fitting
from plateaulens.targets.types import code_gram
from plateaulens.targets.types.code_gram import CodeGram, gram, mismatch, replace_by_gram


def dictionary_of(decoder: NDArray[np.floating]) -> Dictionary:
    """Codes are the positive entries of activations, and targets the codes: a target shows which latents it has."""
    rows = torch.from_numpy(decoder)
    wide = torch.nn.functional.pad(rows, (0, max(0, len(rows) - rows.shape[1])))
    return Dictionary(torch.relu, torch.clone, wide, torch.ones(len(rows)))


def code_of(latents: list[int], strengths: list[float]) -> Code:
    return Code(np.array(latents, np.int64), np.array(strengths, np.float32))


def others(code: Code, dictionary: Dictionary) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(len(dictionary.decoder)), code.latent)


def clustered(rng: np.random.Generator, latents: int, width: int, clusters: int) -> NDArray[np.float64]:
    """Rows of which those of a cluster have large cosines, as features have that were split."""
    centres = rng.standard_normal((clusters, width))
    own = centres[rng.integers(0, clusters, latents)] * rng.uniform(0.3, 2, (latents, 1))
    return own + rng.standard_normal((latents, width))


def reference(code: Code, admissible: list[int], decoder: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
    """The recipe, word by word, where every admissible latent is a candidate."""

    def cosine(i: int, j: int) -> float:
        return float(decoder[i] @ decoder[j] / np.linalg.norm(decoder[i]) / np.linalg.norm(decoder[j]))

    def apart(found: list[int], place: int, latent: int, places: range) -> float:
        rest = [i for i in places if i != place]
        return round(sum((cosine(latent, found[i]) - cosine(own[place], own[i])) ** 2 for i in rest), 12)

    def total(found: list[int]) -> float:
        return round(sum(apart(found, place, found[place], range(place)) for place in range(len(found))), 11)

    free = [latent for latent in admissible if decoder[latent].any()]
    by_strength = sorted(zip(-code.activation, code.latent, strict=True))
    own = [int(latent) for _, latent in by_strength if decoder[latent].any()][: len(free)]
    if not own:
        return []
    count = min(len(free), 128, max(1, 8000 // len(own) ** 2))
    sets = []
    for start in rng.choice(len(free), size=count, replace=False):
        found = [free[start]]
        for place in range(1, len(own)):
            unused = [latent for latent in free if latent not in found]
            found.append(min(unused, key=lambda latent: apart(found, place, latent, range(place))))
        sets.append(found)
    found = min(sets, key=total)
    for _ in range(10):
        before = list(found)
        for place in range(len(own)):
            offered = [found[place]] + [latent for latent in free if latent not in found]
            found[place] = min(offered, key=lambda latent: apart(found, place, latent, range(len(own))))
        if found == before:
            break
    return found


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), latents=st.integers(2, 14), active=st.integers(0, 5))
def test_agrees_with_the_recipe_written_naively(seed: int, latents: int, active: int) -> None:
    rng = np.random.default_rng(seed)
    decoder = clustered(rng, latents, min(latents, 5), 3)
    decoder[rng.random(latents) < 0.1] = 0
    code = code_of(
        np.sort(rng.choice(latents, size=min(active, latents), replace=False)).tolist(),
        rng.permutation(np.arange(1.0, 15.0))[: min(active, latents)].tolist(),
    )
    dictionary = dictionary_of(decoder)
    admissible = others(code, dictionary)
    found = replace_by_gram(code, admissible, dictionary, np.random.default_rng(seed))
    assert found.latent.tolist() == reference(code, admissible.tolist(), decoder, np.random.default_rng(seed))
    strengths = sorted(code.activation[decoder[code.latent].any(axis=1)], reverse=True)
    assert found.activation.tolist() == strengths[: len(found)]


def test_a_turned_copy_is_found() -> None:
    """Among 60 latents there are six with exactly the cosines of the code's."""
    rng = np.random.default_rng(0)
    decoder = clustered(rng, 60, 12, 6)
    turned, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    code = code_of([3, 8, 20, 31, 40, 59], [1.0, 6, 2, 5, 3, 4])
    copies = np.array([50, 2, 33, 7, 25, 12])
    decoder[copies] = decoder[code.latent] @ turned * rng.uniform(0.5, 2, (6, 1))
    dictionary = dictionary_of(decoder)
    found = replace_by_gram(code, others(code, dictionary), dictionary, rng)
    assert found.latent.tolist() == copies[np.argsort(-code.activation)].tolist()
    assert found.activation.tolist() == [6, 5, 4, 3, 2, 1]
    assert mismatch(code.latent, copies, dictionary) < 1e-12


@pytest.mark.parametrize("latents", [300, 1500])
def test_cosines_are_far_nearer_than_those_of_latents_drawn_by_frequency(latents: int) -> None:
    """Also where there are more latents than candidates. Codes have half of their latents from one cluster."""
    rng = np.random.default_rng(1)
    decoder = clustered(rng, latents, 24, latents // 12)
    dictionary, frequency = dictionary_of(decoder), rng.uniform(0.01, 1, latents)
    found, by_frequency, orthogonal = [], [], []
    for _ in range(4):
        middle = int(rng.integers(latents))
        near = np.argsort(-dictionary.cosines(middle))[:4]
        rest = rng.choice(np.setdiff1d(np.arange(latents), near), size=4, replace=False)
        code = code_of(np.concatenate([near, rest]).tolist(), rng.permutation(np.arange(1.0, 9.0)).tolist())
        ordered, admissible = code.latent[np.argsort(-code.activation)], others(code, dictionary)
        found.append(mismatch(ordered, replace_by_gram(code, admissible, dictionary, rng).latent, dictionary))
        chance = frequency[admissible] / frequency[admissible].sum()
        drawn = [rng.choice(admissible, size=8, replace=False, p=chance) for _ in range(20)]
        by_frequency += [mismatch(ordered, each, dictionary) for each in drawn]
        orthogonal.append(np.sqrt(np.square(gram(ordered, dictionary)[np.triu_indices(8, 1)]).mean()))
    assert np.mean(found) < 0.25 * np.mean(by_frequency)
    assert np.max(found) < 0.5 * np.min(by_frequency)
    assert np.mean(found) < 0.25 * np.mean(orthogonal)


def test_exchanges_make_the_sum_less(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    dictionary = dictionary_of(clustered(rng, 200, 16, 20))
    codes = [code_of(np.sort(rng.choice(200, 12, replace=False)).tolist(), list(range(12, 0, -1))) for _ in range(5)]

    def left() -> NDArray[np.float64]:
        found = [
            replace_by_gram(each, others(each, dictionary), dictionary, np.random.default_rng(0)) for each in codes
        ]
        return np.array([mismatch(each.latent, own.latent, dictionary) for each, own in zip(codes, found, strict=True)])

    exchanged = left()
    monkeypatch.setattr(code_gram, "_PASSES", 0)
    assert (exchanged <= left()).all()
    assert (exchanged < left()).any()


def test_only_admissible_latents_are_chosen_and_none_twice() -> None:
    """Of 1,000, which is more than there are candidates, every other one, some of them without a direction."""
    rng = np.random.default_rng(3)
    decoder = clustered(rng, 2000, 8, 10)
    silent = rng.random(2000) < 0.2
    decoder[silent] = 0
    dictionary = dictionary_of(decoder)
    code = code_of(np.arange(1, 61, 2).tolist(), rng.uniform(1, 2, 30).tolist())
    admissible = np.arange(0, 2000, 2)
    found = replace_by_gram(code, admissible, dictionary, rng)
    assert len(found) == len(code) - silent[code.latent].sum()
    assert len(set(found.latent)) == len(found)
    assert set(found.latent) <= set(admissible[~silent[admissible]])
    assert sorted(found.activation) == sorted(code.activation[~silent[code.latent]])


def test_the_same_generator_finds_the_same_latents_and_another_one_others() -> None:
    rng = np.random.default_rng(4)
    dictionary = dictionary_of(clustered(rng, 1500, 16, 40))
    code = code_of(list(range(8)), list(range(8, 0, -1)))
    found = [
        replace_by_gram(code, others(code, dictionary), dictionary, np.random.default_rng(seed)).latent.tolist()
        for seed in (5, 5, 6)
    ]
    assert found[0] == found[1]
    assert not set(found[0]) & set(found[2]), "two searches of 768 candidates begin anywhere"


def test_fewer_admissible_latents_stand_for_the_strongest() -> None:
    rng = np.random.default_rng(5)
    dictionary = dictionary_of(clustered(rng, 7, 4, 2))
    code = code_of([0, 1, 2, 3], [2.0, 4.0, 1.0, 3.0])
    found = replace_by_gram(code, np.array([4, 5]), dictionary, rng)
    assert sorted(found.latent) == [4, 5]
    assert found.activation.tolist() == [4.0, 3.0]
    assert len(replace_by_gram(code, np.zeros(0, np.int64), dictionary, rng)) == 0


def test_ties_go_to_the_lowest_id() -> None:
    """The wanted angle is a right one, which 2 has to 3, 4 and 5, copies of one row; the set begun first is taken."""
    decoder = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [1, -1, 0], [3, -3, 0], [2, -2, 0]])
    dictionary, code = dictionary_of(decoder), code_of([0, 1], [2.0, 1.0])
    found = [
        replace_by_gram(code, np.array([2, 3, 4, 5]), dictionary, np.random.default_rng(seed)).latent.tolist()
        for seed in range(20)
    ]
    assert {own[0] for own in found} == {2, 3, 4, 5}
    assert all(own[1] == (3 if own[0] == 2 else 2) for own in found)


def test_candidates_are_near_some_and_any_others() -> None:
    """Of 1,000, every other one of 2,000: of the first 16 drawn the 32 nearest in cosine are all there."""
    rng = np.random.default_rng(7)
    dictionary, free = dictionary_of(clustered(rng, 2000, 8, 10)), np.arange(0, 2000, 2)
    found = code_gram._candidates(free, 768, dictionary, np.random.default_rng(8))
    assert len(found) == 768
    assert (np.diff(found) > 0).all()
    assert set(found) <= set(free)
    seeds = np.random.default_rng(8).choice(free, size=16, replace=False)
    near = {int(each) for seed in seeds for each in free[np.argsort(-dictionary.cosines(int(seed), free))[:32]]}
    assert near <= set(found)
    assert len(near) < 600, "so that it says something"
    assert (code_gram._candidates(free, 1000, dictionary, rng) == free).all()


def test_a_single_latent_goes_to_any() -> None:
    dictionary = dictionary_of(np.eye(4))
    code = code_of([1], [3.0])
    found = {
        int(replace_by_gram(code, np.array([0, 2, 3]), dictionary, np.random.default_rng(seed)).latent[0])
        for seed in range(40)
    }
    assert found == {0, 2, 3}


def test_mismatch_by_hand() -> None:
    """Cosines 0, 0.6 and 0.8 against 1, 0 and 0: the root of (1 + 0.36 + 0.64) / 3."""
    decoder = np.array([[1.0, 0, 0], [0, 2, 0], [3, 4, 0], [0, 0, 5], [0, 0, 1], [0, 7, 0], [0, 0, 0]])
    dictionary = dictionary_of(decoder)
    assert mismatch(np.array([0, 1, 2]), np.array([3, 4, 5]), dictionary) == pytest.approx((2 / 3) ** 0.5)
    assert mismatch(np.array([2]), np.array([3]), dictionary) == 0
    assert np.isnan(mismatch(np.array([0, 6]), np.array([0, 1]), dictionary))
    np.testing.assert_allclose(gram(np.array([0, 2]), dictionary), [[1, 0.6], [0.6, 1]])


def fitted(codes: NDArray[np.float32], dictionary: Dictionary, context: TargetContext) -> TargetContext:
    """A context whose corpus's activations are these codes."""
    activation = torch.from_numpy(codes)
    corpus = Corpus(activation, np.zeros(len(codes), np.int64), activation)
    return replace(context, dictionary=dictionary, fitting=Fitting(lambda: corpus, dictionary, seed=0))


def test_targets_are_real_codes_on_other_latents(context_of: Callable[..., TargetContext]) -> None:
    """Strengths tell which code it was; latent 39 is never active in the corpus, and none is on it."""
    rng = np.random.default_rng(6)
    codes = np.zeros((10, 40), np.float32)
    for row, own in enumerate(codes):
        own[rng.choice(39, size=4, replace=False)] = 10 * (row + 1) + np.arange(4)
    context = fitted(codes, dictionary_of(clustered(rng, 40, 8, 6)), context_of(torch.ones((1, 40))))
    fired = context.learned(Codes).fired
    bases = context.bases(torch.ones((60, 40)), range(60), [0] * 60)
    result = draw(CodeGram(), bases, context)
    seen = set()
    for target in result.activation.numpy():
        latent = np.flatnonzero(target)
        row = int(target.max() // 10) - 1
        seen.add(row)
        assert sorted(target[latent]) == sorted(codes[row][codes[row] > 0])
        assert not set(latent) & set(np.flatnonzero(codes[row]))
        assert set(latent) <= set(fired)
    assert len(seen) == 10
    assert (result.source_row == -1).all()
    assert (draw(CodeGram(), bases[20:23], context).activation.numpy() == result.activation[20:23].numpy()).all()


def test_an_empty_code_gives_the_decoder_of_zeros(context_of: Callable[..., TargetContext]) -> None:
    codes = np.zeros((1000, 2), np.float32)
    codes[3, 1] = 1.0
    dictionary = Dictionary(torch.relu, lambda f: f + 7, torch.eye(2), torch.ones(2))
    context = fitted(codes, dictionary, context_of(torch.ones((1, 2))))
    result = draw(CodeGram(), context.bases(torch.ones((3, 2)), range(3), [0] * 3), context)
    assert result.activation.tolist() == [[7.0, 7.0]] * 3


def test_the_scale_is_that_of_the_base(context_of: Callable[..., TargetContext]) -> None:
    scaled = Dictionary(torch.relu, torch.clone, torch.eye(4), torch.ones(4), lambda x: (x[:, :1], x[:, :1]))
    codes = np.eye(4, dtype=np.float32)
    context = fitted(codes, scaled, context_of(torch.ones((1, 4))))
    empty = Code(np.zeros(0, np.int64), np.zeros(0, np.float32), (1.0, 0.0))
    own, other = (
        CodeGram().target(Base(torch.ones(4), 0, 0, code), context, np.random.default_rng(0)).activation.numpy()
        for code in (empty, replace(empty, frame=(2.0, 3.0)))
    )
    assert own.sum() == 1
    assert (other == 2 * own + 3).all()
