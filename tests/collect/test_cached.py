"""The cache changes no byte of a run: cold, warm, damaged and without it."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from tests.subject.test_gguf import write_gguf
from tests.tiny import measured, write_preset

from plateaulens import cache
from plateaulens.cli import main
from plateaulens.collect import pool
from plateaulens.config import ModelConfig
from plateaulens.subject import weights
from plateaulens.subject.model import Subject


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_DIR", "/dev/null")
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> ModelConfig:
    write_gguf(tmp_path / "tiny.gguf")
    return ModelConfig(source=str(tmp_path / "tiny.gguf"))


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be read from the GGUF file, and no pool be computed."""

    def refuse(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(weights, "_reading_once", refuse)
    monkeypatch.setattr(Subject, "last_activations", refuse)


def test_the_weights_and_the_tokenizer_come_back_as_they_were(
    place: Path, model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = weights.load_weights(model)
    forbid(monkeypatch)
    warm = weights.load_weights(model)
    before, after = cold.model.state_dict(), warm.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)
    assert cold.identity == warm.identity
    assert cold.tokenizer("w1 w x3")["input_ids"] == warm.tokenizer("w1 w x3")["input_ids"]
    assert cold.tokenizer.special_tokens_map == warm.tokenizer.special_tokens_map
    assert all(weight.data_ptr() % 64 == 0 for loaded in (cold, warm) for weight in loaded.model.parameters())
    kept = {file.suffix for file in place.rglob("*") if file.is_file()}
    assert kept <= {".json", ".safetensors", ".jinja", ".txt"}


def test_another_file_is_another_entry(place: Path, model: ModelConfig) -> None:
    path = Path(model.source)
    weights.load_weights(model)
    path.write_bytes(path.read_bytes() + bytes(32))
    weights.load_weights(model)
    assert len(cache.entries()) == 2


@pytest.mark.slow
def test_a_run_has_the_same_bytes_cold_warm_damaged_and_without(
    place: Path, model: ModelConfig, tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = write_preset(tmp_path / "tiny.toml", tiny_files, model__source=model.source)

    def collected(name: str, *options: str) -> dict[str, bytes]:
        assert main(["collect", "--preset", str(preset), "--out", str(tmp_path / name), *options]) == 0
        return measured(tmp_path / name)

    without = collected("without.zarr", "--no-cache")
    assert not place.exists()
    assert collected("cold.zarr") == without
    assert sorted(entry.name.partition("-")[0] for entry in cache.entries()) == ["model", "pool", "way"]
    for file in (*place.rglob("*.safetensors"), *place.rglob("way.json")):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    assert collected("damaged.zarr") == without
    made = Subject.last_activations
    counted: list[int] = []

    def counting(self: Subject, tokens: torch.Tensor, **options: int) -> torch.Tensor:
        counted.append(len(tokens))
        return made(self, tokens, **options)

    monkeypatch.setattr(Subject, "last_activations", counting)
    assert collected("warm.zarr") == without
    assert counted == []


def test_a_pool_of_another_shape_is_not_taken(place: Path) -> None:
    tensors = {"activation": torch.zeros(3, 4)}
    assert cache.keep("pool", {}, 48, lambda part: safetensors.torch.save_file(tensors, part / "pool.safetensors"))
    found = pool._read({}, 3, 4)
    assert found is not None
    assert torch.equal(found, tensors["activation"])
    assert pool._read({}, 3, 5) is None
