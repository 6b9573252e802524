"""What types start from: bases with their codes, the pool and its statistics, and what a type says of itself."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, Pool, TargetContext, learns
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.registry import FunctionType


def test_what_a_function_learns_it_says_itself() -> None:
    def recipe(base: Base, context: TargetContext, rng: np.random.Generator) -> torch.Tensor:
        del base, rng
        return context.corpus.activation[0]

    assert learns(FunctionType("mine", False, recipe)) is None
    recipe.learns = ()  # type: ignore[attr-defined]
    assert learns(FunctionType("mine", False, recipe)) == ()


def test_bases_carry_sample_row_and_code(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    context = context_of(torch.eye(3), transparent([0.1] * 3))
    (base,) = context.bases(torch.tensor([[0.0, 2.0, 1.0]]), np.array([4]).tolist(), [9])
    assert (base.sample, base.row) == (4, 9)
    assert base.code.latent.tolist() == [1, 2]


def test_pool_must_not_be_empty() -> None:
    with pytest.raises(UsageError, match="empty"):
        Pool(torch.empty((0, 3)), np.empty(0, np.int64))


def test_statistics_are_computed_once(context_of: Callable[..., TargetContext]) -> None:
    calls: list[int] = []

    def encoder(rows: Tensor) -> Tensor:
        calls.append(len(rows))
        return torch.relu(rows)

    context = context_of(torch.eye(3), Dictionary(encoder, torch.clone, torch.eye(3), torch.ones(3)))
    assert context.gaussian is context.gaussian
    assert context.mean_code_norm == context.mean_code_norm == 1.0
    assert calls == [3]
