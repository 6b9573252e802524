"""Blocks in bfloat16: what is converted, what stays float32, and that packed and whole prompts still agree."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.conftest import tiny_model, tiny_tokenizer
from transformers import PreTrainedModel

from plateaulens.config import ModelConfig
from plateaulens.names import PACKED
from plateaulens.scan.choice import TOLERANCE_NARROW, choose
from plateaulens.subject import weights
from plateaulens.subject.model import Subject
from plateaulens.subject.narrow import narrow

TOKENS = torch.arange(12).reshape(2, 6)
TYPES = ("llama", "gpt2", "gemma2", "qwen3_moe", "qwen3_5_text")


@pytest.mark.parametrize("model_type", TYPES)
def test_linear_layers_of_blocks_are_narrow_and_nothing_else(model_type: str) -> None:
    model = narrow(tiny_model(model_type).eval())
    kept = {name: each.dtype for name, each in model.named_parameters()}
    assert kept[next(name for name in kept if "embed" in name or "wte" in name)] == torch.float32
    norms = [dtype for name, dtype in kept.items() if "norm" in name or "ln_" in name]
    assert set(norms) == {torch.float32}
    assert model.get_output_embeddings().weight.dtype == torch.float32
    in_blocks = [dtype for name, dtype in kept.items() if "mlp" in name and "norm" not in name and "gate.w" not in name]
    assert torch.bfloat16 in in_blocks


@pytest.mark.parametrize("model_type", TYPES)
def test_what_comes_out_is_near_float32_and_is_float32(model_type: str) -> None:
    wide, small = tiny_model(model_type).eval(), narrow(tiny_model(model_type).eval())
    with torch.inference_mode():
        before, after = wide(input_ids=TOKENS).logits, small(input_ids=TOKENS).logits
    assert after.dtype == torch.float32
    difference = (after - before).abs().max() / before.abs().max()
    assert 1e-5 < float(difference) < 0.1


def test_half_the_memory_of_the_blocks() -> None:
    def size(model: torch.nn.Module) -> int:
        return sum(each.numel() * each.element_size() for each in model.get_submodule("model.layers").parameters())

    assert size(narrow(tiny_model("llama"))) < 0.55 * size(tiny_model("llama"))


@pytest.mark.parametrize("model_type", ["llama", "gemma2"])
def test_packed_points_agree_with_whole_prompts(model_type: str, subject_at: Callable[..., Subject]) -> None:
    subject = subject_at(model_type, lens=False)
    assert subject.model is not None
    small = replace(subject, model=narrow(subject.model), is_narrow=True)
    found = choose(small, TOKENS, points=30)
    assert found.way == PACKED, found.why
    assert TOLERANCE_NARROW < 0.05


@pytest.mark.parametrize("model_type", TYPES)
def test_read_narrow_is_what_is_read_wide_and_narrowed(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model(model_type).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    wide = ModelConfig(source=str(tmp_path))
    expected = narrow(weights.load_weights(wide).model)
    as_read: dict[str, torch.dtype] = {}

    def look(model: PreTrainedModel) -> PreTrainedModel:
        as_read.update({name: each.dtype for name, each in model.named_parameters()})
        return narrow(model)

    monkeypatch.setattr(weights, "narrow", look)
    found = weights.load_weights(wide.model_copy(update={"dtype": "bfloat16"})).model
    kept = dict(expected.named_parameters())
    assert as_read == {name: each.dtype for name, each in kept.items()}  # nothing was held in float32 on the way
    assert torch.bfloat16 in as_read.values()
    for name, each in found.named_parameters():
        torch.testing.assert_close(each, kept[name], rtol=0, atol=0)
    for (name, buffer), (_, other) in zip(found.named_buffers(), expected.named_buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=0, atol=0, msg=name)
