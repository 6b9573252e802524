"""Copies of a model: one shares its weights, the other has the stream of TransformerLens' processed weights."""

from pathlib import Path

import pytest
import torch
from tests.conftest import tiny_model, tiny_tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from plateaulens.subject.anatomy import find_anatomy, reading_sites, run
from plateaulens.subject.copies import UNCENTRED, WRITERS, centred_copy, shared_copy
from plateaulens.subject.sites import parse_site


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    return torch.randint(0, 101, (5, 7), generator=torch.Generator().manual_seed(0))


def perturbed(architecture: str) -> PreTrainedModel:
    """A model whose norms and biases are not those that training starts with, so that folding them matters."""
    model: PreTrainedModel = tiny_model(architecture).eval()
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))
            elif name.endswith(("wte.weight", "embed_in.weight")):
                parameter.add_(0.5)
    return model


@pytest.mark.parametrize("architecture", [*WRITERS, *UNCENTRED])
class TestCentred:
    def test_the_stream_is_that_of_transformer_lens_processing(self, architecture: str, tokens: Tensor) -> None:
        model = perturbed(architecture)
        copy = centred_copy(model)
        assert copy is not None
        bridge = TransformerBridge.boot_transformers("a/b", hf_model=model, tokenizer=tiny_tokenizer(), device="cpu")
        bridge.enable_compatibility_mode(disable_warnings=True)
        with torch.inference_mode():
            _, cache = bridge.run_with_cache(tokens)
            streams = copy(tokens, output_hidden_states=True).hidden_states
        for block in range(3):
            expected = cache[f"blocks.{block}.hook_resid_pre"]
            torch.testing.assert_close(streams[block], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))

    def test_so_is_what_passes_within_blocks(self, architecture: str, tokens: Tensor) -> None:
        """SAEs of these sites were trained on TransformerLens' processed weights."""
        model = perturbed(architecture)
        copy = centred_copy(model)
        assert copy is not None
        bridge = TransformerBridge.boot_transformers("a/b", hf_model=model, tokenizer=tiny_tokenizer(), device="cpu")
        bridge.enable_compatibility_mode(disable_warnings=True)
        ends = ("attn.hook_z", "hook_attn_out", "hook_mlp_out")
        sites = {f"blocks.{block}.{end}": parse_site(f"blocks.{block}.{end}", 3) for block in range(3) for end in ends}
        with torch.inference_mode(), reading_sites(find_anatomy(copy), sites) as kept:
            _, cache = bridge.run_with_cache(tokens)
            run(copy, tokens)
        for name, found in kept.items():
            expected = cache[name].flatten(2)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))

    def test_logits_change_by_a_constant_per_position_at_most(self, architecture: str, tokens: Tensor) -> None:
        model = perturbed(architecture)
        copy = centred_copy(model)
        assert copy is not None
        bridge = TransformerBridge.boot_transformers(
            "a/b", hf_model=perturbed(architecture), tokenizer=tiny_tokenizer(), device="cpu"
        )
        bridge.enable_compatibility_mode(disable_warnings=True)
        with torch.inference_mode():
            original, centred, processed = model(tokens).logits, copy(tokens).logits, bridge(tokens)
        scale = float(original.abs().max())
        torch.testing.assert_close(centred, original, rtol=1e-4, atol=1e-5 * scale)
        shift = processed - original
        torch.testing.assert_close(shift, shift.mean(-1, keepdim=True).expand_as(shift), rtol=0, atol=1e-5 * scale)
        assert torch.equal(processed.argmax(-1), original.argmax(-1))

    def test_the_original_stays_as_it_was(self, architecture: str, tokens: Tensor) -> None:
        model = perturbed(architecture)
        with torch.inference_mode():
            before = model(tokens).logits
            copy = centred_copy(model)
            assert torch.equal(model(tokens).logits, before)
        assert copy is not None
        own = {parameter.data_ptr() for parameter in model.parameters()}
        assert not own & {parameter.data_ptr() for parameter in copy.parameters()}


@pytest.mark.parametrize("architecture", WRITERS)
def test_centred_activations_have_no_mean(architecture: str, tokens: Tensor) -> None:
    model = perturbed(architecture)
    copy = centred_copy(model)
    assert copy is not None
    with torch.inference_mode():
        plain, centred = (m(tokens, output_hidden_states=True).hidden_states[1] for m in (model, copy))
    assert plain.mean(-1).abs().max() > 0.05
    assert centred.mean(-1).abs().max() < 1e-5
    torch.testing.assert_close(centred, plain - plain.mean(-1, keepdim=True), rtol=1e-4, atol=1e-4)


def test_an_architecture_that_is_not_known_has_no_copy() -> None:
    assert centred_copy(tiny_model("gemma3_text")) is None


def test_a_shared_copy_shares_every_tensor(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    copy = shared_copy(model)
    assert [tensor.data_ptr() for tensor in copy.parameters()] == [tensor.data_ptr() for tensor in model.parameters()]
    assert not {id(module) for module in copy.modules()} & {id(module) for module in model.modules()}
