"""What is refused before there is a store, and what one run's context hands on to the next."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import tiny_model, tiny_tokenizer
from tests.tiny import D_MODEL, write_preset

from plateaulens.collect.context import open_context
from plateaulens.collect.sweep import cells
from plateaulens.errors import UsageError
from plateaulens.names import BRIDGE
from plateaulens.presets import read_config

Opened = Callable[..., Any]
PLAIN = {"sae__source": None, "targets__types": ["real", "random"], "experiments": ["sensitivity"]}


@pytest.fixture
def opened(tiny_files: Path, tmp_path: Path) -> Opened:
    return lambda **changes: open_context(read_config(write_preset(tmp_path / "p.toml", tiny_files, **PLAIN | changes)))


@pytest.mark.parametrize(
    ("write", "read", "reaches"),
    [
        ("blocks.2.hook_mlp_out", "blocks.2.hook_resid_post", False),
        ("blocks.1.hook_resid_pre", "blocks.1.hook_resid_pre", False),
        ("blocks.1.hook_resid_pre", "blocks.1.attn.hook_z", True),
        ("blocks.1.hook_attn_out", "blocks.1.hook_resid_post", False),
        ("blocks.1.hook_attn_out", "blocks.2.hook_attn_out", True),
        ("blocks.1.hook_resid_post", "blocks.2.hook_resid_post", True),
        ("blocks.1.hook_resid_post", "ln_final.hook_out", True),
        ("blocks.2.hook_resid_post", "ln_final.hook_out", False),
    ],
)
def test_an_effect_that_cannot_reach_the_end_of_the_prompt(
    write: str, read: str, reaches: bool, opened: Opened
) -> None:
    """Only attention carries anything from one token to another, from the block after the write site on."""
    changes = {"sites__write": write, "sites__read": read}
    if reaches:
        opened(prompts__position=2, **changes)
        return
    opened(**changes)  # at the last token it is read where it is written
    with pytest.raises(UsageError, match="does not reach the end of the prompt before"):
        opened(prompts__position=2, **changes)


@pytest.mark.parametrize(("held", "reaches"), [("1", True), ("1-2", False)])
def test_attention_that_is_held_carries_nothing(held: str, reaches: bool, opened: Opened) -> None:
    changes = {"sites__write": "blocks.1.hook_resid_pre", "sites__frozen": [f"blocks.{held}.hook_attn_out"]}
    with nullcontext() if reaches else pytest.raises(UsageError, match="does not reach the end of the prompt before"):
        context = opened(prompts__position=2, **changes)
        assert f"held at what the unperturbed prompt has: blocks.{held}.hook_attn_out" in context.notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"read": "blocks.2.hook_mlp_out", "frozen": ["blocks.2.hook_mlp_out"]}, r"what is read at .*mlp_out is held"),
        (
            {"write": "blocks.1.attn.hook_z", "frozen": ["blocks.1.hook_attn_out"]},
            r"what is written at blocks\.1\.attn\.hook_z goes through blocks\.1\.hook_attn_out alone, which is held",
        ),
    ],
)
def test_held_parts_that_leave_nothing_to_measure(changes: dict[str, Any], message: str, opened: Opened) -> None:
    with pytest.raises(UsageError, match=message):
        opened(**{f"sites__{key}": value for key, value in changes.items()})


def test_scores_of_a_held_attention_are_seen_before_it_is_held(opened: Opened) -> None:
    opened(prompts__position=2, sites__read="blocks.2.attn.hook_z", sites__frozen=["blocks.1-2.hook_attn_out"])


def test_held_parts_change_curves_and_no_target(opened: Opened) -> None:
    free, held = opened(), opened(sites__frozen=["blocks.1-2.hook_mlp_out"])
    span = slice(0, 2)
    ends = [each.activations(span) for each in (free, held)]
    np.testing.assert_array_equal(ends[0]["target"], ends[1]["target"])
    found = [each.curves("sensitivity", span, ends[0], lambda _: None)()[0]["curve"] for each in (free, held)]
    assert not np.allclose(*found)
    assert not any("held at" in note for note in free.notes)


@pytest.mark.parametrize(
    "damage",
    [{"model_type": "vit"}, {"n_head": 3}, {"activation_function": "nonsense"}, {"resid_pdrop": 7}],
)
def test_a_configuration_of_no_language_model_is_one_line(
    damage: dict[str, Any], opened: Opened, tmp_path: Path
) -> None:
    tiny_model("gpt2").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(UsageError) as raised:
        opened(model__source=str(tmp_path / "model"))
    assert "\n" not in str(raised.value)


def test_blocks_that_read_no_single_stream_are_one_line(opened: Opened, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "openai-gpt", n_embd=32, n_layer=3, n_head=4, n_positions=64, vocab_size=101, initializer_range=0.3
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "first")
    tiny_tokenizer().save_pretrained(tmp_path / "first")
    context = opened(model__source=str(tmp_path / "first"))  # its blocks return lists
    assert context.way in {"whole", "copied"}
    assert np.isfinite(context.activations(slice(0, 2))["target"]).all()


def test_bfloat16_at_the_heads(opened: Opened) -> None:
    context = opened(model__dtype="bfloat16", sites__write="blocks.1.attn.hook_z")
    assert context.activations(slice(0, 1))["base"].dtype == np.float32
    with pytest.raises(UsageError, match='processing "folded" needs dtype "float32"'):
        opened(model__dtype="bfloat16", model__processing="folded")


def test_activations_of_another_width_leave_no_store(opened: Opened, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.ones((5, D_MODEL + 1), dtype=np.float32))
    with pytest.raises(UsageError, match=f"are {D_MODEL + 1} wide, and the write site is {D_MODEL} wide"):
        opened(targets__files__mine=str(tmp_path / "mine.npy"))


def test_the_next_context_begins_with_the_model_as_it_was_loaded(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell of a sweep is exactly the run that it would be alone, whatever was found wrong at another's sites."""
    from plateaulens.scan import choice

    monkeypatch.setattr(choice, "fits_directly", lambda _: False)
    config = read_config(write_preset(tmp_path / "p.toml", tiny_files, **PLAIN))
    alone = open_context(config)
    assert alone.way == BRIDGE
    right = choice._difference
    monkeypatch.setattr(choice, "_difference", lambda whole, own: 1.0 if whole.ndim == 2 else right(whole, own))
    before = open_context(config)
    assert before.subject.lens is None
    monkeypatch.setattr(choice, "_difference", right)
    assert open_context(config, before).way == BRIDGE


def test_a_sweep_keeps_sites_of_one_block(tiny_files: Path, tmp_path: Path) -> None:
    preset = write_preset(
        tmp_path / "p.toml",
        tiny_files,
        **PLAIN,
        sites__read="blocks.1.hook_mlp_out",
        sweep__write=["blocks.1.hook_resid_pre", "blocks.1.attn.hook_z", "blocks.1.hook_mlp_out", "blocks.2.hook_in"],
    )
    names = [cell.entry.write for cell in cells(read_config(preset))]
    assert names == ["blocks.1.hook_resid_pre", "blocks.1.attn.hook_z"]
