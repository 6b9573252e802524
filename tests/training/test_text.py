"""Sampled text: kept while it grows, continued to the same tokens, and stretched over the whole vocabulary."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import VOCABULARY, tiny_model

from plateaulens.subject.sampling import sample_sequences
from plateaulens.training import text
from plateaulens.training.recipe import TextRecipe
from plateaulens.training.text import cover_vocabulary, sample_text


def recipe(sequences: int = 22) -> TextRecipe:
    return TextRecipe(seed=4, sequences=sequences, length=6, dtype="float32", batch_size=4, first_token=2)


def load() -> Any:
    return tiny_model("gpt2").eval()


class Stopped(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def often_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BATCHES_PER_SAVE", 2)


@pytest.fixture
def stopped_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function: sampling stops for good after so many batches."""

    def stop(batches: int) -> None:
        def some(*arguments: Any, **options: Any) -> Any:
            for number, batch in enumerate(sample_sequences(*arguments, **options)):
                if number == batches:
                    raise Stopped
                yield batch

        monkeypatch.setattr(text, "sample_sequences", some)

    return stop


def test_shape(tmp_path: Path) -> None:
    tokens = sample_text(load, recipe(), tmp_path / "deep" / "text.npy")
    assert tokens.shape == (22, 6)
    assert tokens.dtype == np.int32
    assert (tokens[:, 0] == 2).all()
    np.testing.assert_array_equal(np.load(tmp_path / "deep" / "text.npy"), tokens)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["text.npy"]


@pytest.mark.parametrize("batches", [1, 2, 3, 5])
def test_a_stopped_run_goes_on_to_the_same_tokens(
    batches: int, stopped_after: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sample_text(load, recipe(), tmp_path / "whole.npy")
    stopped_after(batches)
    with pytest.raises(Stopped):
        sample_text(load, recipe(), tmp_path / "text.npy")
    monkeypatch.setattr(text, "sample_sequences", sample_sequences)
    if batches >= 2:
        kept = np.load(tmp_path / "text.npy")
        assert 0 < len(kept) < 22
        np.testing.assert_array_equal(kept, whole[: len(kept)])
    np.testing.assert_array_equal(sample_text(load, recipe(), tmp_path / "text.npy"), whole)


def test_more_sequences_extend_fewer_whatever_the_cache_holds(tmp_path: Path) -> None:
    whole = sample_text(load, recipe(22), tmp_path / "whole.npy")
    for sequences in (9, 15, 22, 10):
        found = sample_text(load, recipe(sequences), tmp_path / "text.npy")
        np.testing.assert_array_equal(found, whole[:sequences])


def test_the_model_is_not_loaded_for_what_is_there(tmp_path: Path) -> None:
    whole = sample_text(load, recipe(), tmp_path / "text.npy")

    def refuse() -> Any:
        raise AssertionError("loaded for nothing")

    np.testing.assert_array_equal(sample_text(refuse, recipe(), tmp_path / "text.npy"), whole)


class TestCoverage:
    tokens = torch.randint(0, VOCABULARY, (50, 16), generator=torch.Generator().manual_seed(0))

    def test_every_token_of_the_vocabulary_is_put_in(self) -> None:
        sequences, places = cover_vocabulary(self.tokens, vocabulary=VOCABULARY, coverage=3, seed=1)
        assert sequences.shape == places.shape == (3 * VOCABULARY // 5, 16)
        assert places.nonzero()[:5, 1].tolist() == [2, 5, 8, 11, 14]
        counts = sequences[places].bincount(minlength=VOCABULARY)
        assert counts.max() == 3
        assert counts.sum() == 3 * VOCABULARY - 3 * VOCABULARY % 5

    def test_the_rest_of_each_sequence_was_sampled(self) -> None:
        sequences, places = cover_vocabulary(self.tokens, vocabulary=VOCABULARY, coverage=1, seed=1)
        for sequence, place in zip(sequences, places, strict=True):
            assert (self.tokens[:, ~place] == sequence[~place]).all(dim=1).any()

    def test_no_coverage_puts_nothing_in(self) -> None:
        sequences, places = cover_vocabulary(self.tokens, vocabulary=VOCABULARY, coverage=0, seed=1)
        assert sequences.shape == places.shape == (0, 16)
