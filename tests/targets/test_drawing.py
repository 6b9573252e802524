"""Targets are drawn to the same bytes in any batch, and what cannot be one is refused by type and sample."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plateaulens.config import VariantConfig
from plateaulens.errors import UsageError
from plateaulens.targets import registry
from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import Targets, draw

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
FITTED = (
    "token_mean",
    "token_gaussian",
    "token_elliptical",
    "interpolation",
    "code_size",
    "code_frequency",
    "code_strengths",
    "code_top",
    "code_copula",
    "latents_kept",
    "latents_swapped",
    "strengths_kept",
    "strengths_redrawn",
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


@pytest.mark.parametrize("name", FITTED)
def test_nor_of_a_fitted_type(
    name: str, relu_sae: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> None:
    """What it has learned is learned anew each time."""
    made = torch.randn((260, 24), generator=torch.Generator().manual_seed(3))
    dictionary = relu_sae(24, 80)
    (kind,) = registry.create([name], has_sae=True)

    def drawn(batches: Sequence[Sequence[int]]) -> tuple[bytes, list[int]]:
        context = fitted_to(made[60:], dictionary, token=[0, 1, 2, 3] * 50, pool=made[:60], seed=5)
        activation, source = torch.empty((SAMPLES, 24)), np.empty(SAMPLES, np.int32)
        for batch in batches:
            result = draw(kind, context.bases(made[list(batch)], batch, batch), context)
            activation[list(batch)], source[list(batch)] = result.activation, result.source_row
        return activation.numpy().tobytes(), source.tolist()

    shuffled = np.random.default_rng(0).permutation(SAMPLES).tolist()
    at_once = drawn([range(SAMPLES)])
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
def test_an_sae_that_decodes_beyond_the_pool_s_precision_is_named_too(
    name: str, context_of: Callable[..., TargetContext]
) -> None:
    rows = 1e200 * torch.eye(4, dtype=torch.float64)
    context = context_of(torch.eye(4), Dictionary(torch.relu, lambda f: f @ rows, rows, torch.ones(4)))
    (kind,) = registry.create([name], has_sae=True)
    with pytest.raises(UsageError, match=f"activation type '{name}', sample 2: the target is not finite in float32"):
        draw(kind, context.bases(torch.eye(4)[:1], [2], [0]), context)


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


def test_a_target_of_another_shape_is_refused(context_of: Callable[..., TargetContext]) -> None:
    with pytest.raises(UsageError, match=r"'scaled', sample 1: the target is a tensor of shape \(5,\); return a torch"):
        draw(Scaled(), [Base(torch.ones(5), 1, 0)], context_of(torch.eye(3)))


class TestRecipes:
    """What a user's recipe may do wrong: one line that names type, sample and module, and nothing else changed."""

    @staticmethod
    def drawn(recipe: Callable[..., Any], context: TargetContext, samples: int = 2) -> Targets:
        bases = context.bases(torch.eye(3)[:samples], range(4, 4 + samples), range(samples))
        return draw(registry.FunctionType("mine", False, recipe), bases, context)

    def refusal(self, recipe: Callable[..., Any], context: TargetContext) -> str:
        with pytest.raises(UsageError) as error:
            self.drawn(recipe, context)
        message = str(error.value)
        assert "\n" not in message
        assert message.startswith("activation type 'mine', sample")
        assert message.endswith("(recipe in tests.targets.test_drawing)")
        return message

    @pytest.mark.parametrize(
        ("made", "came"),
        [
            (None, "None"),
            ([0.0, 0.0, 0.0], "of type list"),
            (0.0, "of type float"),
            ((torch.ones(3), 1), "of type tuple"),
            (np.ones(3), r"a NumPy array \(torch.from_numpy makes"),
            (torch.ones(1), r"a tensor of shape \(1,\)"),
            (torch.ones(()), r"a tensor of shape \(\)"),
            (torch.ones((1, 3)), r"a tensor of shape \(1, 3\)"),
            (torch.ones(3, dtype=torch.complex64), "a tensor of torch.complex64"),
            (torch.ones(3, dtype=torch.int64), "a tensor of torch.int64"),
            (torch.ones(3, dtype=torch.bool), "a tensor of torch.bool"),
            (torch.ones(3, device="meta"), "a tensor without plain values .*meta"),
            (torch.ones(3).to_sparse(), "a tensor without plain values .*sparse"),
        ],
    )
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_what_is_no_activation(
        self, made: Any, came: str, wrapped: bool, context_of: Callable[..., TargetContext]
    ) -> None:
        found = self.refusal(lambda *_: Target(made, 1) if wrapped else made, context_of(torch.eye(3)))
        assert re.search(rf"sample 4: the target is {came}.*; return a torch tensor of 3 finite real", found)

    @pytest.mark.parametrize("row", [2**31, -2, 1.0, True, None, "1", np.float64(1), np.int64(2**40)])
    def test_a_row_that_is_none(self, row: Any, context_of: Callable[..., TargetContext]) -> None:
        found = self.refusal(lambda *_: Target(torch.ones(3), row), context_of(torch.eye(3)))
        assert f"sample 4: the target's source_row is {row!r}; give the row of a prompt, an integer from 0" in found

    @pytest.mark.parametrize("row", [-1, 0, np.int64(7), 2**31 - 1])
    def test_a_row_that_is_one(self, row: Any, context_of: Callable[..., TargetContext]) -> None:
        assert self.drawn(lambda *_: Target(torch.ones(3), row), context_of(torch.eye(3))).source_row[1] == row

    @pytest.mark.parametrize("rows", [[1, 2], (1, -1), (1, 2.0), (True, 1), (1, 2**31), 3])
    def test_mixed_rows_that_are_none(self, rows: Any, context_of: Callable[..., TargetContext]) -> None:
        found = self.refusal(lambda *_: Target(torch.ones(3), mixed_rows=rows), context_of(torch.eye(3)))
        assert f"sample 4: the target's mixed_rows are {rows!r}; give a tuple of rows of prompts" in found

    def test_as_many_mixed_rows_as_the_type_says(self, context_of: Callable[..., TargetContext]) -> None:
        def mixture(*_: Any) -> Target:
            return Target(torch.ones(3), mixed_rows=(5, np.int64(7)))  # type: ignore[arg-type]

        found = self.refusal(mixture, context_of(torch.eye(3)))
        assert "the target has 2 mixed_rows and its type says mixes = 0: give the class or function the" in found
        mixture.mixes = 2  # type: ignore[attr-defined]
        assert self.drawn(mixture, context_of(torch.eye(3))).mixed_row.tolist() == [[5, 7], [5, 7]]

    @pytest.mark.parametrize("value", [1e300, torch.nan])
    def test_a_value_that_float32_does_not_have(self, value: float, context_of: Callable[..., TargetContext]) -> None:
        found = self.refusal(lambda *_: torch.full((3,), value, dtype=torch.float64), context_of(torch.eye(3)))
        assert "sample 4: the target is not finite in float32; check the recipe, and" in found

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
    def test_other_precisions_are_converted(self, dtype: torch.dtype, context_of: Callable[..., TargetContext]) -> None:
        result = self.drawn(lambda *_: torch.full((3,), 0.1, dtype=dtype), context_of(torch.eye(3)))
        assert torch.equal(result.activation, torch.full((2, 3), 0.1, dtype=dtype).float())

    def test_a_gradient_is_left_behind(self, context_of: Callable[..., TargetContext]) -> None:
        assert not self.drawn(
            lambda *_: torch.ones(3).requires_grad_(), context_of(torch.eye(3))
        ).activation.requires_grad

    @pytest.mark.parametrize(
        "error", [SystemExit(0), ZeroDivisionError("by\nnothing"), OSError(2, "gone"), GeneratorExit()]
    )
    def test_what_it_raises(self, error: BaseException, context_of: Callable[..., TargetContext]) -> None:
        def recipe(*_: Any) -> None:
            raise error

        found = self.refusal(recipe, context_of(torch.eye(3)))
        line = recipe.__code__.co_firstlineno + 1
        assert f"sample 4: {type(error).__name__}" in found
        assert f"({__file__}, line {line})" in found

    def test_an_interruption_is_passed_on(self, context_of: Callable[..., TargetContext]) -> None:
        def recipe(*_: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.drawn(recipe, context_of(torch.eye(3)))

    def test_other_arguments(self, context_of: Callable[..., TargetContext]) -> None:
        assert "TypeError: " in self.refusal(lambda base: base, context_of(torch.eye(3)))

    def test_the_base_is_its_own_copy(
        self, transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
    ) -> None:
        context = context_of(torch.eye(3), transparent([0.1] * 3))
        bases = context.bases(torch.eye(3), range(3), range(3))

        def recipe(base: Base, *_: Any) -> Tensor:
            base.code.activation[:] = 9
            base.activation.numpy()[:] += 1
            return base.activation

        result = draw(registry.FunctionType("mine", True, recipe), bases, context)
        assert torch.equal(result.activation, torch.eye(3) + 1)
        assert torch.equal(torch.stack([base.activation for base in bases]), torch.eye(3))
        assert [base.code.activation.tolist() for base in bases] == [[1.0]] * 3

    def test_nor_is_what_types_are_fitted_to(self, fitted_to: Callable[..., TargetContext]) -> None:
        context = fitted_to(torch.eye(3), pool=2 * torch.eye(3))
        assert len(context.corpus.token) == 3
        message = self.refusal(lambda _, context, __: context.corpus.activation[0].mul_(2), context)
        assert "it changes the real activations that types are fitted to in place" in message

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda context: context.pool.activation.mul_(2), "the real activations"),
            (lambda context: context.pool.activation.numpy()[:].__imul__(2), "the real activations"),
            (lambda context: context.gaussian.mean.add_(1), "the mean of the real activations"),
            (lambda context: context.sae.decoder.add_(1), "the SAE's decoder"),
        ],
    )
    def test_what_all_share_is_not_changed(
        self,
        change: Callable[[TargetContext], object],
        what: str,
        transparent: Callable[..., Dictionary],
        context_of: Callable[..., TargetContext],
    ) -> None:
        context = context_of(torch.eye(3), transparent([0.1] * 3))
        assert context.gaussian is not None

        def recipe(base: Base, context: TargetContext, *_: Any) -> Tensor:
            change(context)
            return base.activation

        assert f"samples 4 to 5: it changes {what} in place" in self.refusal(recipe, context)

    def test_a_variant_s_error_is_added_to_an_activation_only(
        self, transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
    ) -> None:
        context = context_of(torch.eye(3), transparent([0.1] * 3))
        kind = registry.FunctionType("mine", False, lambda *_: torch.ones(1))
        noisy = registry.Variant("noisy", kind, VariantConfig(type="mine", add_error=True))
        with pytest.raises(UsageError, match=r"type 'noisy', sample 0: the target is a tensor of shape \(1,\)"):
            draw(noisy, context.bases(torch.eye(3)[:1], [0], [0]), context)

    def test_a_mistake_in_what_ships_keeps_its_traceback(
        self, monkeypatch: pytest.MonkeyPatch, context_of: Callable[..., TargetContext]
    ) -> None:
        (kind,) = registry.create(["isotropic"], has_sae=False)
        monkeypatch.setattr(type(kind), "target", lambda *_: 1 / 0)
        context = context_of(torch.eye(3))
        with pytest.raises(ZeroDivisionError):
            draw(kind, context.bases(torch.eye(3)[:1], [0], [0]), context)
