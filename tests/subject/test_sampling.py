"""Sequences drawn from a tiny model: reproducible, resumable, extendable, and from the distribution asked for."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import VOCABULARY, tiny_model

from plateaulens.subject.sampling import sample_sequences

Tokens = NDArray[np.int32]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(request.param).eval()


def sample(model: Any, **options: Any) -> list[Tokens]:
    settings = {"count": 10, "length": 5, "first_token": 3, "seed": 1, "batch_size": 4}
    return list(sample_sequences(model, **(settings | options)))


def test_shape_and_first_token(model: Any) -> None:
    batches = sample(model)
    assert [batch.shape for batch in batches] == [(4, 5), (4, 5), (2, 5)]
    for batch in batches:
        assert batch.dtype == np.int32
        assert (batch[:, 0] == 3).all()
        assert ((batch >= 0) & (batch < VOCABULARY)).all()


def test_the_same_arguments_give_the_same_tokens(model: Any) -> None:
    for first, second in zip(sample(model), sample(model), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_resuming_at_a_batch(start: int, model: Any) -> None:
    whole, resumed = sample(model), sample(model, start=start)
    assert len(resumed) == len(whole) - start
    for first, second in zip(whole[start:], resumed, strict=True):
        np.testing.assert_array_equal(first, second)


def test_more_sequences_extend_fewer(model: Any) -> None:
    few, many = np.concatenate(sample(model, count=6)), np.concatenate(sample(model, count=10))
    np.testing.assert_array_equal(many[:6], few)


def test_seeds_and_batches_differ(model: Any) -> None:
    batches = [*sample(model, count=12), *sample(model, count=12, seed=2)]
    assert all((first != second).any() for first, second in pairwise(batches))


def test_the_global_generator_is_neither_read_nor_moved(model: Any) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = sample(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    np.testing.assert_array_equal(first[0], sample(model)[0])


def test_top_1_is_greedy(model: Any) -> None:
    tokens = torch.full((1, 1), 3)
    with torch.inference_mode():
        for _ in range(4):
            tokens = torch.cat([tokens, model(tokens).logits[:, -1:].argmax(-1)], dim=1)
    for batch in sample(model, top_k=1):
        assert batch.tolist() == tokens.expand(len(batch), -1).tolist()


def test_a_low_temperature_is_nearly_greedy(model: Any) -> None:
    np.testing.assert_array_equal(sample(model, temperature=1e-4)[0], sample(model, top_k=1)[0])


def test_only_the_most_likely_are_drawn_and_as_often_as_they_should(model: Any) -> None:
    drawn = np.concatenate(sample(model, count=4000, batch_size=1000, length=2, top_k=3, temperature=2.0))[:, 1]
    with torch.inference_mode():
        logits, ids = (model(torch.tensor([[3]])).logits[0, -1] / 2).topk(3)
    expected = logits.softmax(-1).tolist()
    assert set(drawn) <= set(ids.tolist())
    for token, probability in zip(ids.tolist(), expected, strict=True):
        assert abs((drawn == token).mean() - probability) < 4 * (probability * (1 - probability) / 4000) ** 0.5 + 1e-3


def test_a_vocabulary_smaller_than_top_k_is_drawn_from_whole(model: Any) -> None:
    for first, second in zip(sample(model, top_k=VOCABULARY), sample(model, top_k=1000), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"length": 0}, {"top_k": 0}, {"batch_size": -1}, {"temperature": 0.0}, {"temperature": -1.0}],
)
def test_what_is_not_positive_is_refused(wrong: dict[str, Any], model: Any) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        sample(model, **wrong)


def test_a_negative_seed_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        sample(model, seed=-1)
