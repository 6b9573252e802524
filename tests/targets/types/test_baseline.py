from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.errors import UsageError
from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.baseline import Baseline, replace_by_frequency


def code_of(latents: list[int]) -> Code:
    return Code(np.array(latents, np.int64), np.ones(len(latents), np.float32))


def reference(frequency: list[float], active: list[int], pool_size: int, generator: np.random.Generator) -> list[int]:
    """The recipe, word by word: each active latent to a uniform choice among the nearest in frequency not yet used."""
    chosen: list[int] = []
    for i in active:
        others = [j for j in range(len(frequency)) if j != i]
        ranked = sorted(others, key=lambda j: (abs(frequency[j] - frequency[i]), j))
        options = [j for j in ranked[:pool_size] if j not in chosen]
        if not options:
            options = [j for j in ranked if j not in chosen][:1]
        chosen.append(options[generator.integers(len(options))])
    return chosen


@given(seed=st.integers(0, 10**6), latents=st.integers(2, 40), pool_size=st.integers(1, 12))
def test_agrees_with_the_recipe_written_naively(
    transparent: Callable[..., Dictionary], seed: int, latents: int, pool_size: int
) -> None:
    rng = np.random.default_rng(seed)
    frequency = (rng.integers(0, 10, latents) / 64).tolist()
    active = np.sort(rng.choice(latents, size=rng.integers(0, latents), replace=False)).tolist()
    expected = reference(frequency, active, pool_size, np.random.default_rng(1))
    found = replace_by_frequency(code_of(active), transparent(frequency), pool_size, np.random.default_rng(1))
    assert found.tolist() == expected
    assert len(set(expected)) == len(active)


def test_uniform_among_the_nearest_itself_excluded(transparent: Callable[..., Dictionary]) -> None:
    dictionary = transparent([0.5, 0.0, 0.25, 0.625, 0.4375, 0.5])
    draws = [replace_by_frequency(code_of([0]), dictionary, 3, np.random.default_rng(s))[0] for s in range(1500)]
    counts = np.bincount(draws, minlength=6)
    assert counts[[0, 1, 2]].tolist() == [0, 0, 0]
    # 5, 4 and 3 are nearest: 500 each, standard deviation 18.3
    assert np.abs(counts[3:] - 500).max() < 5 * 18.3


def test_dead_latents_are_allowed(transparent: Callable[..., Dictionary]) -> None:
    found = replace_by_frequency(code_of([1]), transparent([0.0, 0.125, 0.5]), 1, np.random.default_rng(0))
    assert found.tolist() == [0]


def test_a_used_up_pool_gives_the_nearest_unused_latent(transparent: Callable[..., Dictionary]) -> None:
    """By hand: 1 -> 2 (only member of its pool); 3 -> 2 is used, next nearest is 4; 5 -> 4 is used, next is 3."""
    dictionary = transparent([0.0, 0.5, 0.53125, 0.5625, 0.609375, 0.671875])
    found = replace_by_frequency(code_of([1, 3, 5]), dictionary, 1, np.random.default_rng(0))
    assert found.tolist() == [2, 4, 3]


def test_a_used_up_dictionary_is_an_error(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    context = context_of(torch.ones((1, 1)), transparent([0.5]))
    with pytest.raises(UsageError, match="'baseline', sample 9: no unused latent is left to replace latent 0"):
        draw(Baseline(), context.bases(torch.tensor([[2.0]]), [9], [0]), context)


def test_target_keeps_activations_and_takes_its_pool_size_from_the_configuration(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    base = torch.tensor([[0.0, 3.0, 0.0, 0.0, 1.0]])
    context = context_of(base, transparent([0.5, 0.25, 0.3125, 0.75, 0.6875]), baseline_pool=1)
    result = draw(Baseline(), context.bases(base, [0], [0]), context)
    assert result.activation.tolist() == [[0, 0, 3, 1, 0]]
    assert result.source_row.tolist() == [-1]


def test_no_active_latent_gives_the_decoder_of_zeros(context_of: Callable[..., TargetContext]) -> None:
    dictionary = Dictionary(torch.relu, lambda f: f + 7, torch.eye(2), torch.ones(2))
    context = context_of(torch.ones((1, 2)), dictionary)
    result = draw(Baseline(), context.bases(torch.tensor([[-1.0, 0.0]]), [0], [0]), context)
    assert result.activation.tolist() == [[7.0, 7.0]]
