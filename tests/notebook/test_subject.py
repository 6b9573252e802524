"""`pl.Subject`: models in memory and by name, left as they are, and everything that can be wrong with one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import BLOCKS, NAMES, VOCABULARY, tiny_model, tiny_tokenizer
from transformer_lens.model_bridge import TransformerBridge

import plateaulens as pl

WRITE = "blocks.1.hook_resid_pre"
TOKENS = np.random.default_rng(5).integers(1, VOCABULARY, (4, 6))


def bridge_of(architecture: str) -> Any:
    model, tokenizer = tiny_model(architecture).eval(), tiny_tokenizer()
    made = TransformerBridge.boot_transformers(NAMES[architecture], hf_model=model, tokenizer=tokenizer, device="cpu")
    return made.eval()


@pytest.fixture(scope="module")
def subject() -> pl.Subject:
    return pl.Subject(tiny_model("gpt2"), write=WRITE, tokenizer=tiny_tokenizer())


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_bridge_is_the_model_that_it_was_booted_from(architecture: str) -> None:
    own = pl.Subject(tiny_model(architecture), write=WRITE, tokenizer=tiny_tokenizer())
    bridge, state = bridge_of(architecture), torch.get_rng_state()
    bridged = pl.Subject(bridge, write=WRITE)
    assert torch.equal(torch.get_rng_state(), state)
    assert bridged.loaded.model is not None
    assert bridged.loaded.identity == own.loaded.identity
    assert (bridged.model, bridged.sites) == (own.model, own.sites)
    torch.testing.assert_close(bridged.activations(TOKENS), own.activations(TOKENS))


def test_a_bridge_with_processed_weights_has_no_plain_model() -> None:
    bridge = bridge_of("gpt2")
    bridge.enable_compatibility_mode(disable_warnings=True)
    subject = pl.Subject(bridge, write=WRITE)
    assert subject.loaded.model is None
    assert subject.model.processing == "folded"


def test_the_model_is_left_as_it_is() -> None:
    model = tiny_model("gpt2").train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    subject = pl.Subject(model, write=WRITE, tokenizer=tiny_tokenizer())
    subject.activations(TOKENS)
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert subject.loaded.model is not None
    assert not subject.loaded.model.training
    own, shared = next(model.parameters()), next(subject.loaded.model.parameters())
    assert own.data_ptr() == shared.data_ptr()


def test_activations_are_those_of_the_model(subject: pl.Subject) -> None:
    with torch.inference_mode():
        states = tiny_model("gpt2").eval()(torch.from_numpy(TOKENS), output_hidden_states=True).hidden_states
    torch.testing.assert_close(subject.activations(TOKENS), states[1][:, -1])


def test_a_folder_is_loaded(tiny_files: Path) -> None:
    subject = pl.Subject(tiny_files / "model", write=WRITE, read="blocks.2.hook_resid_mid", position=-2)
    assert subject.sites.read == "blocks.2.hook_resid_mid"
    assert subject.loaded.position == -2
    assert subject.loaded.read.name == "blocks.2.hook_resid_mid"
    assert "safetensors" in " ".join(subject.loaded.identity)


def test_reads_at_the_end_unless_told(subject: pl.Subject) -> None:
    assert subject.sites.read == f"blocks.{BLOCKS - 1}.hook_resid_post"
    assert repr(subject) == f"Subject('in memory: GPT2LMHeadModel', write={WRITE!r}, read={subject.sites.read!r})"


def test_held_parts_are_named_and_change_curves() -> None:
    given: dict[str, Any] = {"write": WRITE, "tokenizer": tiny_tokenizer()}
    held = pl.Subject(tiny_model("gpt2"), frozen=["blocks.1-2.hook_mlp_out"], **given)
    assert "frozen=('blocks.1-2.hook_mlp_out',)" in repr(held)
    assert [site.name for site in held.loaded.frozen] == ["blocks.1.hook_mlp_out", "blocks.2.hook_mlp_out"]
    assert "blocks.1-2.hook_mlp_out" in held._repr_html_()
    with pytest.raises(pl.UsageError, match=r"frozen is one text, .*give a list of names"):
        pl.Subject(tiny_model("gpt2"), frozen="blocks.1.hook_mlp_out", **given)
    with pytest.raises(pl.UsageError, match="no part that can be held"):
        pl.Subject(tiny_model("gpt2"), frozen=["blocks.1.hook_resid_mid"], **given)


def test_texts_ids_arrays_and_tensors_are_the_same(subject: pl.Subject) -> None:
    wanted = subject.activations(torch.from_numpy(TOKENS))
    texts = [" ".join(f"w{each}" for each in row) for row in TOKENS]
    for given in (TOKENS, TOKENS.astype(np.int16), TOKENS.tolist(), tuple(map(tuple, TOKENS.tolist())), texts):
        assert torch.equal(subject.activations(given), wanted)
    longer = [f"{text} w5" for text in texts[:2]] + texts[2:]
    assert torch.equal(subject.activations(longer, length=6), wanted)
    assert torch.equal(subject.activations([*TOKENS[:3].tolist(), [*TOKENS[3].tolist(), 7]], length=6), wanted)


TWO = [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("tokens", "options", "says"),
    [
        ("w1 w2", {}, "tokens are one text: wanted are token ids (prompt, position) or a list of texts"),
        ([], {}, "tokens are empty"),
        (np.arange(4), {}, "tokens are int64 (4,): wanted are token ids (prompt, position)"),
        (np.zeros((2, 3, 4), int), {}, "tokens are int64 (2, 3, 4): wanted"),
        (torch.zeros(2, 3), {}, "tokens are float32 (2, 3): wanted"),
        (np.zeros((0, 4), int), {}, "tokens are int64 (0, 4): wanted"),
        (["w1 w2", "w3"], {}, "tokens are 1 to 2 token ids long: give prompts of one length, or length=1"),
        ([[1, 2, 3], [4, 5]], {}, "tokens are 2 to 3 token ids long"),
        (["w1 w2", "w3"], {"length": 2}, "tokens are 1 token ids long at least, and 2 are wanted"),
        (["w1 w2", ""], {"length": 1}, "tokens are 0 token ids long at least, and 1 are wanted"),
        (TWO, {"length": 0}, "length is 0, wanted is a number of tokens"),
        (np.array(TWO), {"length": 3}, "tokens are 2 token ids long at least, and 3 are wanted"),
        ([[1, VOCABULARY]], {}, f"tokens have token id {VOCABULARY}, the model knows 0 to {VOCABULARY - 1}"),
        ([[1, "x"]], {}, "tokens are no array of numbers"),
        (object(), {}, "tokens are no array of numbers"),
    ],
)
def test_what_are_no_prompts(tokens: Any, options: dict[str, int], says: str, subject: pl.Subject) -> None:
    with pytest.raises(pl.UsageError, match=re.escape(says)) as raised:
        subject.activations(tokens, **options)
    assert "\n" not in str(raised.value)


def test_a_position_that_prompts_do_not_have() -> None:
    subject = pl.Subject(tiny_model("gpt2"), write=WRITE, tokenizer=tiny_tokenizer(), position=2)
    with pytest.raises(pl.UsageError, match="position is 2, and tokens have 2 tokens each"):
        subject.activations(TWO)


def narrow() -> Any:
    return tiny_model("gpt2").to(torch.bfloat16)


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (lambda: tiny_model("gpt2"), {"tokenizer": None}, "without its tokenizer: give tokenizer="),
        (narrow, {}, "is torch.bfloat16, wanted is torch.float32: call .float() on it"),
        (lambda: tiny_model("gpt2").to("meta"), {}, "is on meta, wanted is torch.float32: use weights that are loaded"),
        (lambda: torch.nn.Linear(2, 2), {}, "the model is a Linear: give a TransformerBridge, a transformers model"),
        (lambda: tiny_model("gpt2"), {"device": "cpu"}, "device goes with a model that is loaded, and this one is"),
        (lambda: tiny_model("gpt2"), {"write": "blocks.7.hook_resid_pre"}, "blocks.7.hook_resid_pre"),
        (lambda: tiny_model("gpt2"), {"read": "blocks.0.hook_resid_pre"}, "is read before"),
        (lambda: "nowhere", {"tokenizer": None}, "nowhere"),
        (lambda: "nowhere", {}, "tokenizer goes with a transformers model"),
        (lambda: "nowhere", {"tokenizer": None, "dtype": "int8"}, "the options of the model"),
    ],
)
def test_what_is_no_subject(make: Callable[[], Any], options: dict[str, Any], says: str) -> None:
    with pytest.raises(pl.UsageError, match=re.escape(says)) as raised:
        pl.Subject(make(), **{"write": WRITE, "tokenizer": tiny_tokenizer(), **options})
    assert "\n" not in str(raised.value)


def test_a_bridge_in_training() -> None:
    with pytest.raises(pl.UsageError, match=r"the bridge is in training mode: call \.eval\(\) on it"):
        pl.Subject(bridge_of("gpt2").train(), write=WRITE)


def test_the_card_is_escaped(subject: pl.Subject) -> None:
    assert "in memory: GPT2LMHeadModel" in subject._repr_html_()
    object.__setattr__(subject.model, "source", "<script>")
    try:
        card = subject._repr_html_()
    finally:
        object.__setattr__(subject.model, "source", "in memory: GPT2LMHeadModel")
    assert "<script>" not in card
    assert "&lt;script&gt;" in card
