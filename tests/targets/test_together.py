"""Targets that are made many at once: to the last bit those that are made one by one, in doubt of rounding too."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from plateaulens.errors import UsageError
from plateaulens.targets import registry
from plateaulens.targets.base import Base, TargetContext, Together
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.gaussian import Gaussian
from plateaulens.targets.types import structured
from plateaulens.targets.types.structured import replace_by_cosine, replace_each_by_cosine

D_MODEL, LATENTS, SAMPLES = 48, 400, 60
TOGETHER = [name for name, maker in registry.shipped().items() if isinstance(maker(), Together)]


@pytest.fixture(scope="module")
def context(relu_sae: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]) -> TargetContext:
    pool, corpus = 2.0 * torch.randn((2, SAMPLES, D_MODEL), generator=torch.Generator().manual_seed(2))
    return fitted_to(corpus, relu_sae(D_MODEL, LATENTS), pool=pool, seed=5, anchor_pool=30)


@pytest.fixture(scope="module")
def bases(context: TargetContext) -> tuple[Base, ...]:
    rows = list(range(SAMPLES))
    return context.bases(context.pool.activation, rows, rows)


def test_there_are_such_types() -> None:
    assert {"random", "structured", "reconstruction", "baseline", "bag", "single_latent", "code_top"} <= set(TOGETHER)


@pytest.mark.parametrize("name", TOGETHER)
def test_the_same_targets_come_of_it(name: str, context: TargetContext, bases: tuple[Base, ...]) -> None:
    (kind,) = registry.create([name], has_sae=True)
    together = draw(kind, bases, context).activation
    for base, own in zip(bases, together, strict=True):
        alone = kind.target(base, context, context.generator(base.sample, name)).activation
        assert torch.equal(alone.to(own), own)
    for part in (slice(0, 1), slice(7, 20)):
        assert torch.equal(draw(kind, bases[part], context).activation, together[part])


@pytest.mark.parametrize("name", ["latents_kept", "latents_swapped", "strengths_kept", "strengths_redrawn"])
def test_where_all_is_kept_it_is_the_reconstruction(name: str, context: TargetContext, bases: tuple[Base, ...]) -> None:
    """To the last bit, by an SAE that rounds."""
    whole = replace(context, config=context.config.model_copy(update={"kept_share": 1.0}))
    own, reconstruction = registry.create([name, "reconstruction"], has_sae=True)
    assert torch.equal(draw(own, bases, whole).activation, draw(reconstruction, bases, whole).activation)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_draws_are_rounded_as_one_by_one(dtype: torch.dtype, seed: int) -> None:
    wide = torch.randn((90, 64), generator=torch.Generator().manual_seed(seed)) * torch.logspace(-3, 3, 64)
    gaussian = Gaussian.fit(wide)
    each = gaussian.draw_each([np.random.default_rng(n) for n in range(300)], dtype)
    alone = torch.stack([gaussian.draw(np.random.default_rng(n)) for n in range(300)])
    assert torch.equal(each, alone.to(dtype))


def test_a_draw_whose_rounding_is_in_doubt_is_made_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halfway between two float32 numbers the order of a sum decides: here one order is wrong on purpose."""
    halfway = torch.full((3,), 1.0 + 2.0**-24, dtype=torch.float64)
    certain = Gaussian(halfway + 2.0**-26, torch.zeros((3, 3), dtype=torch.float64))
    doubtful = Gaussian(halfway, torch.zeros((3, 3), dtype=torch.float64))

    def wrong(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ij,jk->ik", rows, columns) + 2.0**-50

    class Root(torch.Tensor):
        """One whose products with many rows are off by less than the bound, as any other order's may be."""

        @property
        def T(self) -> "Root":  # type: ignore[override]  # noqa: N802
            return self

        def __rmatmul__(self, rows: torch.Tensor) -> torch.Tensor:
            return wrong(rows, self.as_subclass(torch.Tensor))

    for gaussian, expected in ((certain, certain.mean), (doubtful, doubtful.mean)):
        monkeypatch.setitem(vars(gaussian), "root", torch.zeros((3, 3), dtype=torch.float64).as_subclass(Root))
        drawn = gaussian.draw_each([np.random.default_rng(n) for n in range(5)])
        assert torch.equal(drawn, expected.float().expand(5, 3))


class TestCosines:
    def test_many_codes_are_replaced_as_one_by_one(
        self, context: TargetContext, bases: tuple[Base, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(structured, "_MOST_COSINES", 7 * LATENTS)
        codes = [base.code for base in bases]
        for code, found in zip(codes, replace_each_by_cosine(codes, context.sae, context.config), strict=True):
            alone = replace_by_cosine(code, context.sae, context.config)
            np.testing.assert_array_equal(found.latent, alone.latent)
            np.testing.assert_array_equal(found.activation, alone.activation)

    def test_the_error_is_within_its_bound(self, context: TargetContext) -> None:
        latents = np.arange(0, LATENTS, 7)
        found, error = context.sae.cosines_of_each(latents)
        alone = np.stack([context.sae.cosines(int(latent)) for latent in latents])
        assert 0 <= np.abs(found - alone).max() <= error < 1e-11

    def test_twins_are_told_apart_as_one_by_one(
        self,
        transparent: Callable[..., Dictionary],
        context_of: Callable[..., TargetContext],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Latents with one direction are a tie: the lowest id is taken, and not the one that rounding prefers."""
        rows = torch.randn((10, 8), generator=torch.Generator().manual_seed(0))
        dictionary = transparent([0.25] * 40, rows.repeat(4, 1))
        config = context_of(torch.zeros((2, 40)), dictionary, anchor_pool=20).config
        codes = [Code(np.array([first, first + 11]), np.array([2.0, 1.0], np.float32)) for first in range(9)]
        alone, called = [replace_by_cosine(code, dictionary, config) for code in codes], []

        def noted(code: Code, *given: object) -> Code:
            called.append(code)
            return replace_by_cosine(code, *given)  # type: ignore[arg-type]

        monkeypatch.setattr(structured, "replace_by_cosine", noted)
        found = replace_each_by_cosine(codes, dictionary, config)
        assert [code.latent.tolist() for code in found] == [code.latent.tolist() for code in alone]
        assert len(called) == len(codes)

    def test_a_code_without_latents_stays_empty(self, context: TargetContext) -> None:
        empty = Code(np.array([], np.int64), np.array([], np.float32))
        assert [len(code) for code in replace_each_by_cosine([empty, empty], context.sae, context.config)] == [0, 0]


def test_the_sample_that_has_no_target_is_named(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    dictionary = transparent([0.5, 0.5], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    context = context_of(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), dictionary)
    (kind,) = registry.create(["structured"], has_sae=True)
    bases = context.bases(context.pool.activation, [3, 4], [0, 1])
    with pytest.raises(UsageError, match="activation type 'structured', sample 4: no latent but 0 has a decoder"):
        draw(kind, bases, context)


def test_what_is_nearest_in_frequency_is_remembered_and_not_shared(relu_sae: Callable[..., Dictionary]) -> None:
    dictionary, again = relu_sae(8, 50), relu_sae(8, 50)
    first = dictionary.nearest_in_frequency(3, 10)
    expected = first.copy()
    first[:] = -1
    np.testing.assert_array_equal(dictionary.nearest_in_frequency(3, 10), expected)
    np.testing.assert_array_equal(again.nearest_in_frequency(3, 10), expected)
    assert all(known.base is None for known in dictionary._nearest.values()), "what is left out is let go"
    excluded = np.zeros(50, dtype=bool)
    excluded[expected[0]] = True
    assert expected[0] not in dictionary.nearest_in_frequency(3, 10, excluded=excluded)
