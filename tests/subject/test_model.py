"""Loading a model from a directory, and reading its residual stream."""

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import tiny_model, tiny_tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers.utils import logging as transformers_logging

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.subject.model import Subject, boot, load_subject
from plateaulens.subject.weights import load_weights

SITES = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.2.hook_resid_post")


@pytest.fixture(scope="module")
def loaded(tiny_files: Path) -> Subject:
    return load_subject(ModelConfig(source=str(tiny_files / "model")), SITES)


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    return torch.randint(0, 101, (7, 5), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tiny_files: Path, tmp_path: Path) -> Path:
    """A model of one's own, to damage."""
    return Path(shutil.copytree(tiny_files / "model", tmp_path / "model"))


class TestSites:
    @pytest.mark.parametrize(
        ("write", "read"),
        [
            ("blocks.2.hook_resid_pre", "blocks.0.hook_resid_post"),
            ("blocks.2.hook_resid_post", "blocks.2.hook_resid_pre"),
        ],
    )
    def test_a_read_site_before_the_write_site_is_refused(self, tiny_files: Path, write: str, read: str) -> None:
        with pytest.raises(UsageError, match=f"{read} is read before {write} is written"):
            load_subject(ModelConfig(source=str(tiny_files / "model")), SiteConfig(write=write, read=read))


class TestADirectory:
    def test_the_model_that_was_saved_is_the_model_that_runs(self, loaded: Subject, tokens: Tensor) -> None:
        with torch.inference_mode():
            torch.testing.assert_close(loaded.bridge(tokens), tiny_model("gpt2").eval()(tokens).logits)

    def test_extent(self, loaded: Subject) -> None:
        assert (loaded.d_model, loaded.blocks, loaded.device) == (32, 3, torch.device("cpu"))
        assert not any(parameter.requires_grad for parameter in loaded.bridge.parameters())
        assert not loaded.bridge.training

    def test_text(self, loaded: Subject) -> None:
        assert loaded.text(torch.tensor([[0, 3, 5], [100, 1, 1]])) == ["w0 w3 w5", "w100 w1 w1"]

    def test_the_identity_is_that_of_the_files(self, loaded: Subject, folder: Path) -> None:
        assert set(loaded.identity) == {"directory", "config.json", "model.safetensors"}
        assert load_weights(ModelConfig(source=str(folder))).identity == loaded.identity
        weights = load_file(folder / "model.safetensors")
        weights["transformer.wpe.weight"][0, 0] += 1
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        changed = load_weights(ModelConfig(source=str(folder))).identity
        assert changed.pop("model.safetensors") != loaded.identity["model.safetensors"]
        assert changed.items() < loaded.identity.items()

    def test_loading_asks_no_network_and_prints_nothing(
        self, tiny_files: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("the network was asked")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
        subject = load_subject(ModelConfig(source=str(tiny_files / "model")), SITES)
        assert subject.tokenizer.bos_token_id == 0
        assert subject.bridge.tokenizer is subject.tokenizer
        assert subject.tokenizer.encode("w1 w2") == [1, 2]
        assert capfd.readouterr() == ("", "")
        assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == (level, bars)

    def test_folded_weights_predict_the_same(self, tiny_files: Path, loaded: Subject, tokens: Tensor) -> None:
        folded = load_subject(ModelConfig(source=str(tiny_files / "model"), processing="folded"), SITES)
        with torch.inference_mode():
            plain, processed = loaded.bridge(tokens), folded.bridge(tokens)
        torch.testing.assert_close(processed.softmax(-1), plain.softmax(-1), rtol=1e-4, atol=1e-6)
        # centred: what is written to the residual stream has mean 0
        assert folded.last_activations(tokens).mean(dim=1).abs().max() < 1e-5
        assert loaded.last_activations(tokens).mean(dim=1).abs().max() > 1e-2


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def unknown_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nonsense"}))


def truncate_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def lose_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


class TestErrors:
    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (break_config, "not a valid JSON"),
            (unknown_architecture, "model type `nonsense`"),
            (truncate_weights, "invalid header length"),
            (lose_a_weight, r"lacks weights \(transformer.h.1.mlp.c_fc.weight, one of 1\)"),
            (lose_the_tokenizer, "tokenizer"),
        ],
    )
    def test_a_damaged_directory_is_named(self, damage: Callable[[Path], None], reason: str, folder: Path) -> None:
        damage(folder)
        with pytest.raises(UsageError, match=reason) as raised:
            load_subject(ModelConfig(source=str(folder)), SITES)
        assert str(folder) in str(raised.value)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("source", ["no/such-model", "no such model", "/no/such/directory"])
    def test_a_source_that_is_not_there(self, source: str) -> None:
        with pytest.raises(UsageError, match=f"model '{source}' was not found .*: point at .* --model PATH") as raised:
            load_weights(ModelConfig(source=source))
        assert "\n" not in str(raised.value)

    def test_an_embedded_model_that_is_not_known(self) -> None:
        with pytest.raises(UsageError, match="no embedded model 'gpt5': there is smollm2"):
            load_weights(ModelConfig(source="embedded:gpt5"))

    def test_a_gguf_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"none.gguf does not exist"):
            load_weights(ModelConfig(source=str(tmp_path / "none.gguf")))

    @pytest.mark.parametrize("content", [b"", b"not a model" * 50])
    def test_a_gguf_file_that_is_none(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "model.gguf").write_bytes(content)
        with pytest.raises(UsageError, match=r"model.gguf' could not be loaded"):
            load_weights(ModelConfig(source=str(tmp_path / "model.gguf")))

    @pytest.mark.parametrize("device", ["gpu", "cuda:77"])
    def test_a_device_that_is_not_there(self, device: str, tiny_files: Path) -> None:
        with pytest.raises(UsageError, match=f"model.device '{device}' cannot be used here"):
            load_subject(ModelConfig(source=str(tiny_files / "model"), device=device), SITES)


class TestActivations:
    @pytest.mark.parametrize(
        "write", ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.0.hook_resid_post"]
    )
    @pytest.mark.parametrize("architecture", ["gpt2", "llama"])
    def test_they_are_what_passes_the_hook(
        self, architecture: str, write: str, tokens: Tensor, subject_at: Callable[..., Subject]
    ) -> None:
        subject = subject_at(architecture, write=write)
        with torch.inference_mode():
            _, cache = subject.bridge.run_with_cache(tokens)
        torch.testing.assert_close(subject.activations(tokens), cache[write], rtol=1e-6, atol=1e-6)

    def test_at_the_end_of_the_last_block(self, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        subject = subject_at("gpt2", write="blocks.2.hook_resid_post")
        with torch.inference_mode():
            _, cache = subject.bridge.run_with_cache(tokens)
        torch.testing.assert_close(subject.activations(tokens), cache["blocks.2.hook_resid_post"])

    def test_nothing_beyond_the_write_site_runs(self, subject: Subject, tokens: Tensor) -> None:
        ran: list[str] = []

        def note(_: Any, hook: Any) -> None:
            ran.append(hook.name)

        for block in range(3):
            subject.bridge.add_hook(f"blocks.{block}.hook_resid_post", note)
        subject.activations(tokens)
        subject.bridge.reset_hooks()
        assert len(ran) == 1

    def test_the_size_of_a_batch_changes_rounding_at_most(self, subject: Subject, tokens: Tensor) -> None:
        whole = subject.activations(tokens)
        assert whole.shape == (7, 5, 32)
        torch.testing.assert_close(subject.activations(tokens, batch_size=2), whole, rtol=1e-5, atol=1e-5)

    def test_the_last_position(self, subject: Subject, tokens: Tensor) -> None:
        last = subject.last_activations(tokens, batch_size=3)
        torch.testing.assert_close(last, subject.activations(tokens)[:, -1], rtol=1e-5, atol=1e-5)
        assert last.is_contiguous()


def test_transformer_lens_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For pictures that it cannot read it would run pip; a model of those is run without it, and nothing starts."""
    started: list[object] = []
    monkeypatch.setattr(subprocess, "check_call", started.append)
    model = tiny_model("gemma3").eval()
    assert boot(model, tiny_tokenizer(), name="tiny/gemma3", device="cpu") is None
    with pytest.raises(UsageError, match="measured as published"):
        boot(model, tiny_tokenizer(), name="tiny/gemma3", device="cpu", folded=True)

    def install(*_: object, **__: object) -> None:
        subprocess.check_call(["pip", "install", "anything"])

    monkeypatch.setattr(TransformerBridge, "boot_transformers", install)
    assert boot(tiny_model("llama").eval(), tiny_tokenizer(), name="tiny/llama", device="cpu") is None
    assert started == []
