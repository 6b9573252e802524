from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.targets import registry
from plateaulens.targets.base import Base, Pool, Target, TargetContext, draw
from plateaulens.targets.dictionary import Dictionary

SHIPPED = (
    "real",
    "real_control",
    "real_mixture",
    "random",
    "covariance_mixture",
    "isotropic",
    "reconstruction",
    "bag",
    "baseline",
    "structured",
    "single_latent",
)
SAMPLES = 37


class Scaled:
    """A target that is a multiple of the base."""

    name = "scaled"
    needs_sae = False

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        del context, generator
        return Target(self.factor * base.activation)


@pytest.mark.parametrize("d_model", [64, 576])
@pytest.mark.parametrize("name", SHIPPED)
def test_batches_order_and_resuming_change_no_byte(
    name: str, d_model: int, relu_sae: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    """A draw is fixed by (run seed, sample index, name of the type)."""
    activations = torch.randn((60, d_model), generator=torch.Generator().manual_seed(3))
    dictionary = relu_sae(d_model, 3 * d_model)
    (kind,) = registry.create([name], has_sae=True)

    def drawn(batches: Sequence[Sequence[int]]) -> tuple[bytes, list[int], list[int]]:
        context = context_of(activations, dictionary, seed=5)
        activation = torch.empty((SAMPLES, d_model))
        source, active = np.empty(SAMPLES, np.int32), np.empty(SAMPLES, np.int32)
        for batch in batches:
            bases = context.bases(activations[list(batch)], batch, batch)
            result = draw(kind, bases, context)
            activation[list(batch)], source[list(batch)] = result.activation, result.source_row
            active[list(batch)] = [len(base.code) for base in bases]
        return activation.numpy().tobytes(), source.tolist(), active.tolist()

    shuffled = np.random.default_rng(0).permutation(SAMPLES).tolist()
    at_once = drawn([range(SAMPLES)])
    assert min(at_once[2]) > 1
    assert drawn([[sample] for sample in shuffled]) == at_once
    assert drawn([shuffled[start:end] for start, end in pairwise([0, 1, 4, 5, 20, SAMPLES])]) == at_once


def test_seed_and_sample_both_change_a_draw(context_of: Callable[..., TargetContext]) -> None:
    (kind,) = registry.create(["random"], has_sae=False)
    pool = torch.randn((9, 4), generator=torch.Generator().manual_seed(0))
    one, two = (draw(kind, [Base(pool[0], i, 0) for i in (0, 1)], context_of(pool, seed=s)) for s in (0, 1))
    rows = torch.cat([one.activation, two.activation])
    assert len(np.unique(rows.numpy(), axis=0)) == 4


def test_result_has_the_dtypes_and_shapes_of_the_store(context_of: Callable[..., TargetContext]) -> None:
    context = context_of(torch.eye(3))
    result = draw(Scaled(), context.bases(torch.eye(3)[:2], [0, 1], [0, 1]), context)
    assert result.activation.dtype == torch.float32
    assert result.source_row.dtype == np.int32
    assert result.source_row.tolist() == [-1, -1]
    assert draw(Scaled(), [], context).activation.shape == (0, 3)


def test_bases_carry_sample_row_and_code(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    context = context_of(torch.eye(3), transparent([0.1] * 3))
    (base,) = context.bases(torch.tensor([[0.0, 2.0, 1.0]]), np.array([4]).tolist(), [9])
    assert (base.sample, base.row) == (4, 9)
    assert base.code.latent.tolist() == [1, 2]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_named(
    bad: float, transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    good, spoilt = torch.ones((3, 2)), torch.tensor([[1.0, 1.0], [1.0, bad], [bad, 1.0]])
    with pytest.raises(UsageError, match=r"prompt row 1 is not finite \(2 such rows\)"):
        context_of(spoilt)
    context = context_of(good)
    with pytest.raises(UsageError, match="sample 8: the base activation is not finite"):
        context.bases(spoilt, [7, 8, 9], [0, 1, 2])
    with pytest.raises(UsageError, match="activation type 'scaled', sample 5: the target is not finite"):
        draw(Scaled(bad), [Base(good[0], 5, 0)], context)
    broken = Dictionary(lambda x: x * bad, torch.clone, torch.eye(2), torch.ones(2))
    with pytest.raises(UsageError, match="sample 6: the SAE's code of the base activation is not finite"):
        context_of(good, broken).bases(good[:1], [6], [0])


@pytest.mark.parametrize("name", ["reconstruction", "bag", "baseline", "structured", "single_latent"])
def test_an_sae_that_decodes_to_nan_is_named_with_type_and_sample(
    name: str, context_of: Callable[..., TargetContext]
) -> None:
    pool = torch.eye(4)
    broken = Dictionary(torch.relu, lambda f: f * torch.nan, torch.eye(4), torch.ones(4))
    context = context_of(pool, broken)
    (kind,) = registry.create([name], has_sae=True)
    with pytest.raises(UsageError, match=f"activation type '{name}', sample 2: the target is not finite"):
        draw(kind, context.bases(pool[:1], [2], [0]), context)


@pytest.mark.parametrize("name", ["reconstruction", "bag", "baseline", "structured", "single_latent"])
def test_a_type_that_needs_an_sae_says_so(name: str, context_of: Callable[..., TargetContext]) -> None:
    context = context_of(torch.eye(3))
    (kind,) = registry.create([name], has_sae=True)
    assert kind.needs_sae
    with pytest.raises(UsageError, match=rf"activation type '{name}', sample 0: needs an SAE.*\[sae\] section"):
        draw(kind, context.bases(torch.eye(3), range(3), range(3)), context)


def test_errors_are_one_line(context_of: Callable[..., TargetContext]) -> None:
    (kind,) = registry.create(["real"], has_sae=False)
    with pytest.raises(UsageError) as error:
        draw(kind, [Base(torch.ones(2), 3, 0)], context_of(torch.ones((1, 2))))
    assert "\n" not in str(error.value)


def test_a_target_of_another_shape_is_a_bug(context_of: Callable[..., TargetContext]) -> None:
    with pytest.raises(AssertionError, match=r"'scaled', sample 1: target of shape \(5,\)"):
        draw(Scaled(), [Base(torch.ones(5), 1, 0)], context_of(torch.eye(3)))


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
