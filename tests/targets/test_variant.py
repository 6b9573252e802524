"""Variants of the synthetic types, on autoencoders small enough to compute with."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plateaulens.config import TargetConfig, VariantConfig
from plateaulens.errors import UsageError
from plateaulens.targets import registry
from plateaulens.targets.base import TargetContext, learns
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import Targets, draw
from plateaulens.targets.fitting import Codes, SaeError
from plateaulens.targets.matching import matched
from plateaulens.targets.registry import FunctionType, Variant

D_MODEL, LATENTS, SAMPLES = 12, 60, 20
ALL = ["real", "random", "reconstruction", "bag", "baseline", "structured", "single_latent"]


@pytest.fixture
def activations() -> Tensor:
    return 2 * torch.randn((SAMPLES, D_MODEL), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def context(
    activations: Tensor, relu_sae: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> TargetContext:
    return context_of(activations, relu_sae(D_MODEL, LATENTS), seed=5)


@pytest.fixture
def fitted(
    activations: Tensor, relu_sae: Callable[..., Dictionary], fitted_to: Callable[..., TargetContext]
) -> TargetContext:
    """The same context, with other activations that types are fitted to."""
    seen = 2 * torch.randn((300, D_MODEL), generator=torch.Generator().manual_seed(4))
    return fitted_to(seen, relu_sae(D_MODEL, LATENTS), pool=activations, seed=5)


def drawn(context: TargetContext, kind: Any) -> Targets:
    pool = context.pool.activation
    return draw(kind, context.bases(pool, range(len(pool)), range(len(pool))), context)


def variant(of: str, name: str = "other", **settings: Any) -> Variant:
    (kind,) = registry.create([of], has_sae=True)
    return Variant(name, kind, VariantConfig(type=of, **settings))


def shipped(name: str) -> Any:
    return registry.create([name], has_sae=True)[0]


@pytest.mark.parametrize("name", ALL)
def test_under_the_name_of_its_type_an_unchanged_variant_is_the_type(name: str, context: TargetContext) -> None:
    torch.testing.assert_close(
        drawn(context, variant(name, name)).activation, drawn(context, shipped(name)).activation, rtol=0, atol=0
    )


@pytest.mark.parametrize("name", ["real", "random", "bag", "baseline"])
def test_an_unchanged_variant_is_drawn_again(name: str, context: TargetContext) -> None:
    assert not torch.equal(drawn(context, variant(name)).activation, drawn(context, shipped(name)).activation)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("structured", {"anchor_cosine": -0.5}), ("structured", {"anchor_pool": 3}), ("baseline", {"baseline_pool": 40})],
)
def test_constants_are_those_of_a_run_with_them(name: str, changes: dict[str, Any], context: TargetContext) -> None:
    config = TargetConfig.model_validate({**context.config.model_dump(), **changes})
    expected = drawn(replace(context, config=config), shipped(name)).activation
    assert torch.equal(drawn(context, variant(name, name, **changes)).activation, expected)
    assert not torch.equal(drawn(context, shipped(name)).activation, expected)


@pytest.mark.parametrize("name", ALL)
def test_the_error_of_the_base_is_added(name: str, context: TargetContext, activations: Tensor) -> None:
    sae = context.sae
    error = activations - sae.reconstructor(sae.encoder(activations))
    with_error = drawn(context, variant(name, name, add_error=True))
    torch.testing.assert_close(with_error.activation, drawn(context, shipped(name)).activation + error)
    assert with_error.source_row.tolist() == drawn(context, shipped(name)).source_row.tolist()


def test_the_error_is_that_of_the_run_s_sae_whatever_the_directions(
    context: TargetContext, activations: Tensor
) -> None:
    settings = {"dictionary": "shuffled"}
    plain, with_error = (
        drawn(context, variant("bag", "bag", **settings, add_error=add)).activation for add in (False, True)
    )
    error = activations - context.sae.reconstructor(context.sae.encoder(activations))
    torch.testing.assert_close(with_error - plain, error)


@pytest.mark.parametrize("kind", ["random", "shuffled"])
def test_other_directions_carry_the_same_code(kind: Any, context: TargetContext, activations: Tensor) -> None:
    """`reconstruction` of a real activation shows it: the code is the SAE's, the rows are not."""
    sae, changed = context.sae, context.varied(VariantConfig(type="any", dictionary=kind)).sae
    real = drawn(context, shipped("real")).activation
    bias = sae.reconstructor(torch.zeros((1, LATENTS)))
    expected = sae.encoder(real) @ changed.decoder + bias
    found = drawn(context, variant("reconstruction", dictionary=kind)).activation
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(changed.decoder, sae.decoder, atol=0.1)


def test_structured_compares_the_directions_it_decodes_along(context: TargetContext) -> None:
    changed = context.varied(VariantConfig(type="any", dictionary="random"))
    expected = drawn(replace(context, dictionary=changed.sae), shipped("structured")).activation
    assert torch.equal(drawn(context, variant("structured", dictionary="random")).activation, expected)


def test_random_rows_are_as_long_and_uncorrelated(relu_sae: Callable[..., Dictionary]) -> None:
    sae = relu_sae(64, 400)
    changed = sae.randomized(np.random.default_rng(0))
    torch.testing.assert_close(changed.decoder.norm(dim=1), sae.decoder.norm(dim=1))
    directions = torch.nn.functional.normalize(changed.decoder, dim=1)
    # independent uniform directions: cosines of mean 0 and standard deviation 1/8 in 64 dimensions
    own = (directions * torch.nn.functional.normalize(sae.decoder, dim=1)).sum(dim=1)
    assert abs(float(own.mean())) < 5 / 8 / 20
    assert 0.11 < float(own.std()) < 0.14
    pairs = (directions @ directions.T)[*torch.triu_indices(400, 400, offset=1)]
    assert abs(float(pairs.std()) - 0.125) < 0.005
    assert torch.equal(changed.frequency, sae.frequency)


def test_shuffled_rows_are_the_same_rows(relu_sae: Callable[..., Dictionary]) -> None:
    sae = relu_sae(8, 50)
    changed = sae.shuffled(np.random.default_rng(0))
    assert sorted(changed.decoder.tolist()) == sorted(sae.decoder.tolist())
    kept = (changed.decoder == sae.decoder).all(dim=1)
    assert kept.sum() < 8  # one on average
    assert torch.equal(changed.frequency, sae.frequency)


def test_a_dictionary_is_made_once_and_fixed_by_the_seed(
    context: TargetContext, activations: Tensor, relu_sae: Callable[..., Dictionary]
) -> None:
    settings = VariantConfig(type="bag", dictionary="random")
    assert context.varied(settings) is context.varied(VariantConfig(type="bag", dictionary="random"))
    again = TargetContext(context.pool, context.config, 5, relu_sae(D_MODEL, LATENTS))
    other = TargetContext(context.pool, context.config, 6, relu_sae(D_MODEL, LATENTS))
    assert torch.equal(context.varied(settings).sae.decoder, again.varied(settings).sae.decoder)
    assert not torch.equal(context.varied(settings).sae.decoder, other.varied(settings).sae.decoder)


def test_a_decoder_that_does_more_than_add_up_rows_is_refused() -> None:
    scaled = Dictionary(torch.relu, lambda f: 3 * f, torch.eye(4), torch.ones(4))
    with pytest.raises(UsageError, match="decodes by more than adding up decoder rows"):
        scaled.shuffled(np.random.default_rng(0))


def test_settings_may_need_an_sae(activations: Tensor, context_of: Callable[..., TargetContext]) -> None:
    assert not variant("random").needs_sae
    assert variant("random", add_error=True).needs_sae
    assert variant("random", dictionary="shuffled").needs_sae
    targets = TargetConfig(types=("real",), variants={"noisy": VariantConfig(type="random", add_error=True)})
    with pytest.raises(UsageError, match="activation types noisy need an SAE"):
        registry.create_all(targets, has_sae=False)


def test_a_run_s_types_with_their_variants_behind_them() -> None:
    variants = {"low": VariantConfig(type="structured", anchor_cosine=0.1), "again": VariantConfig(type="real")}
    targets = TargetConfig(types=("real", "structured"), variants=variants)
    kinds = registry.create_all(targets, has_sae=True)
    assert tuple(kind.name for kind in kinds) == targets.names == ("real", "structured", "low", "again")


def test_a_variant_of_an_unknown_type() -> None:
    targets = TargetConfig(types=("real",), variants={"low": VariantConfig(type="strctured")})
    with pytest.raises(UsageError, match="unknown activation type 'strctured'"):
        registry.create_all(targets, has_sae=True)


class TestSaeErrors:
    @pytest.mark.parametrize("name", ["random", "structured"])
    def test_that_of_the_real_target(self, name: str, context: TargetContext) -> None:
        """T + (X - SAE(X)), X being the real target: nothing has to be fitted for it."""
        real = drawn(context, shipped("real")).activation
        error = real - context.sae.reconstructor(context.sae.encoder(real))
        kind = variant(name, name, sae_error="real")
        torch.testing.assert_close(drawn(context, kind).activation, drawn(context, shipped(name)).activation + error)
        assert learns(kind) is None

    def test_the_reconstruction_with_it_is_real(self, context: TargetContext) -> None:
        found = drawn(context, variant("reconstruction", sae_error="real")).activation
        torch.testing.assert_close(found, drawn(context, shipped("real")).activation)

    @pytest.mark.parametrize("how", ["drawn", "predicted"])
    def test_one_like_real_ones(self, how: str, fitted: TargetContext) -> None:
        """Of the run's SAE, drawn by a stream of its own, so that the recipe's draws are the type's."""
        kind = variant("structured", "structured", sae_error=how)
        made = drawn(fitted, shipped("structured")).activation
        expected = [
            fitted.learned(SaeError).added(
                own, fitted.generator(sample, "SAE error of structured"), predicted=how == "predicted"
            )
            for sample, own in enumerate(made)
        ]
        torch.testing.assert_close(drawn(fitted, kind).activation, torch.stack(expected).float())
        assert learns(kind) == (Codes, SaeError)

    @pytest.mark.parametrize("how", ["drawn", "predicted"])
    def test_it_is_the_run_s_sae_s_whatever_the_directions(self, how: str, fitted: TargetContext) -> None:
        own, turned = (
            drawn(fitted, variant("random", "random", sae_error=how, dictionary=each)).activation
            for each in ("trained", "shuffled")
        )
        assert torch.equal(own, turned)

    def test_what_is_fitted_is_named_with_what_the_type_learns(self) -> None:
        assert learns(variant("code_size")) == (Codes,)
        assert learns(variant("code_size", sae_error="drawn")) == (Codes, Codes, SaeError)
        assert learns(variant("random", sae_error="none")) is None
        assert learns(variant("interpolation")) == ()

    def test_without_anything_to_fit_to(self, context: TargetContext) -> None:
        with pytest.raises(UsageError, match="'other', sample 0: is fitted to real activations"):
            drawn(context, variant("random", sae_error="drawn"))

    def test_it_needs_an_sae(self) -> None:
        assert variant("random", sae_error="real").needs_sae
        assert not variant("random", matched=True).needs_sae


class TestMatched:
    @pytest.mark.parametrize("name", [*ALL, "token_gaussian"])
    def test_norm_and_distances_are_the_real_target_s(
        self, name: str, fitted: TargetContext, activations: Tensor
    ) -> None:
        real, found = (drawn(fitted, kind).activation for kind in (shipped("real"), variant(name, matched=True)))
        for origin in (torch.zeros(D_MODEL), activations, fitted.gaussian.mean.float()):
            torch.testing.assert_close((found - origin).norm(dim=1), (real - origin).norm(dim=1))

    def test_it_comes_last(self, context: TargetContext, activations: Tensor) -> None:
        plain = drawn(context, variant("random", "other", add_error=True)).activation
        real = drawn(context, shipped("real")).activation
        expected = [
            matched(*each, context.gaussian.mean).float() for each in zip(plain, real, activations, strict=True)
        ]
        found = drawn(context, variant("random", "other", add_error=True, matched=True)).activation
        torch.testing.assert_close(found, torch.stack(expected))

    def test_a_target_in_the_plane_is_named(self, context: TargetContext) -> None:
        kind = Variant("still", FunctionType("mean", False, lambda *_: context.gaussian.mean), _matched())
        with pytest.raises(UsageError, match="'still', sample 0: the target lies in the plane"):
            drawn(context, kind)


def _matched() -> VariantConfig:
    return VariantConfig(type="mean", matched=True)


def test_definitions_say_all_that_is_changed() -> None:
    kind = variant("latents_kept", kept_share=0.25, dictionary="random", sae_error="predicted", matched=True)
    assert kind.definition == (
        "as latents kept, kept share 0.25 and random decoder directions and an SAE error added, predicted from it and "
        "norm and distances matched to real's"
    )
    assert variant("bag", sae_error="real").definition == "as bag, the SAE error of the real target added"


def test_a_share_that_is_kept_is_that_of_a_run_with_it(fitted: TargetContext) -> None:
    config = TargetConfig.model_validate({**fitted.config.model_dump(), "kept_share": 0.9})
    expected = drawn(replace(fitted, config=config), shipped("strengths_kept")).activation
    assert torch.equal(drawn(fitted, variant("strengths_kept", "strengths_kept", kept_share=0.9)).activation, expected)
    assert not torch.equal(drawn(fitted, shipped("strengths_kept")).activation, expected)


def test_other_directions_have_codes_of_the_same_corpus(fitted: TargetContext) -> None:
    """`code_size` draws the same codes and decodes them along other rows: as if the SAE had these."""
    varied = fitted.varied(VariantConfig(type="code_size", dictionary="shuffled"))
    assert varied.corpus is fitted.corpus
    expected = drawn(replace(fitted, dictionary=varied.sae), shipped("code_size")).activation
    assert torch.equal(drawn(fitted, variant("code_size", "code_size", dictionary="shuffled")).activation, expected)
    assert not torch.allclose(drawn(fitted, shipped("code_size")).activation, expected, atol=0.1)
