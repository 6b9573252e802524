"""Models, autoencoders and prompts, through what `collect` reads them with."""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file
from tests.conftest import BLOCKS, VOCABULARY, tiny_tokenizer
from tests.fuzz.inputs import as_json, check, damaged, fuzz, json_files, mutated, replaced, run
from tests.subject.test_gguf import write_gguf
from tests.tiny import D_MODEL, WRITE, write_model, write_preset, write_prompts, write_sae

from plateaulens.config import ModelConfig, PromptConfig, SaeConfig
from plateaulens.errors import UsageError
from plateaulens.subject.architectures import check_architecture
from plateaulens.subject.prompts import load_prompts
from plateaulens.subject.sae import LoadedSae, load_sae
from plateaulens.subject.weights import Weights, load_weights, read_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, an SAE and prompts, which every test leaves as they were."""
    folder = tmp_path_factory.mktemp("files")
    write_model(folder / "model")
    write_sae(folder / "sae")
    write_prompts(folder / "prompts.npz")
    write_gguf(folder / "tiny.gguf")
    return folder


def model(path: Path) -> Weights | None:
    """A model, looked at and loaded as `collect` does; None when it is refused on one line."""
    try:
        config = read_config(path)
        if config is not None:
            check_architecture(config, length=6)
        return load_weights(ModelConfig(source=str(path)))
    except UsageError as error:
        check(error, "model")
        return None


def sae(path: Path) -> LoadedSae | None:
    """An SAE; None when it is refused on one line."""
    try:
        return load_sae(SaeConfig(source=str(path)), width=D_MODEL, write_site=WRITE, blocks=BLOCKS)
    except UsageError as error:
        check(error, path)
        return None


@cache
def tokenizer() -> Any:
    """Words for tokens, and a chat template."""
    made = tiny_tokenizer()
    made.chat_template = "w1 {{ messages[0]['content'] }} w2"
    return made


def prompts(path: Path, *, template: bool = False) -> NDArray[Any] | None:
    """Token ids; None when they are refused on one line."""
    try:
        config = PromptConfig(source=str(path), length=6, template=template)
        return load_prompts(config, vocabulary=VOCABULARY, tokenizer=tokenizer()).tokens.numpy()
    except UsageError as error:
        check(error, path)
        return None


class TestModels:
    @fuzz(200)
    @given(data=st.data())
    def test_configurations(self, data: st.DataObject, files: Path) -> None:
        file = files / "model" / "config.json"
        with replaced(file, data.draw(json_files(json.loads(file.read_bytes())), label="config.json")):
            model(files / "model")

    @fuzz(60)
    @given(data=st.data(), name=st.sampled_from(["tokenizer.json", "tokenizer_config.json", "generation_config.json"]))
    def test_what_lies_beside_them(self, data: st.DataObject, name: str, files: Path) -> None:
        file = files / "model" / name
        with replaced(file, data.draw(json_files(json.loads(file.read_bytes())), label=name)):
            model(files / "model")

    @fuzz(150)
    @given(data=st.data())
    def test_weights(self, data: st.DataObject, files: Path) -> None:
        file = files / "model" / "model.safetensors"
        with replaced(file, data.draw(damaged(file.read_bytes()), label="weights")):
            found = model(files / "model")
            if found is not None:
                stored = load_file(file)
                name = "transformer.h.0.mlp.c_fc.weight"
                torch.testing.assert_close(found.model.state_dict()[name], stored[name], rtol=0, atol=0)

    @fuzz(150)
    @given(data=st.data())
    def test_gguf(self, data: st.DataObject, files: Path) -> None:
        file = files / "tiny.gguf"
        with replaced(file, data.draw(damaged(file.read_bytes()), label="file")):
            model(file)


class TestAutoencoders:
    @fuzz(300)
    @given(data=st.data())
    def test_configurations(self, data: st.DataObject, files: Path) -> None:
        file = files / "sae" / "cfg.json"
        with replaced(file, data.draw(json_files(json.loads(file.read_bytes())), label="cfg.json")):
            sae(files / "sae")

    @fuzz(200)
    @given(data=st.data(), name=st.sampled_from(["sae_weights.safetensors", "sparsity.safetensors"]))
    def test_weights(self, data: st.DataObject, name: str, files: Path) -> None:
        file = files / "sae" / name
        with replaced(file, data.draw(damaged(file.read_bytes()), label=name)):
            found = sae(files / "sae")
            if found is not None:
                stored = load_file(files / "sae" / "sae_weights.safetensors")
                torch.testing.assert_close(found.sae.state_dict()["W_dec"], stored["W_dec"], rtol=0, atol=0)


def npz(header: bytes, data: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A prompt file whose array has a header of one's own."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("tokens.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)
    return file.getvalue()


WORDS = "w1 w2 w3 w4 w5 w6 w7"


def as_lines(texts: Sequence[str]) -> bytes:
    """Texts in UTF-8, one a line."""
    return "\n".join(texts).encode(errors="replace")


class TestPrompts:
    @fuzz(300)
    @given(data=st.data())
    def test_archives(self, data: st.DataObject, files: Path) -> None:
        file = files / "prompts.npz"
        before = prompts(file)
        with replaced(file, data.draw(damaged(file.read_bytes()), label="file")):
            found = prompts(file)
            assert before is not None
            assert found is None or np.array_equal(found, before)

    @fuzz(300)
    @given(
        shape=st.tuples(*[st.integers(-3, 12) | st.sampled_from([10**12, 2**62, 2**64])] * 2) | st.just(()),
        dtype=st.sampled_from(["<i8", ">u2", "|b1", "<m8[s]", "<f8", "|O", "|V0", "<U0", "|S1000000000000", "<i99"]),
        order=st.sampled_from(["False", "True", "None"]),
        size=st.integers(0, 400),
        compression=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]),
    )
    @example(shape=(10**12, 10), dtype="<i8", order="False", size=80, compression=zipfile.ZIP_STORED)
    def test_headers(
        self, shape: tuple[int, ...], dtype: str, order: str, size: int, compression: int, tmp_path: Path
    ) -> None:
        header = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
        (tmp_path / "any.npz").write_bytes(npz(header, b"\0" * size, compression))
        found = prompts(tmp_path / "any.npz")
        if found is not None:
            with np.load(tmp_path / "any.npz") as file:
                assert np.array_equal(found, file["tokens"][:, :6])

    @fuzz(200)
    @given(data=st.data())
    def test_parquet(self, data: st.DataObject, tmp_path: Path) -> None:
        file, made = tmp_path / "any.parquet", io.BytesIO()
        column: dict[str, list[Any]] = {"input_ids": [[1, 2, 3, 4, 5, 6, 7]] * 5}
        if data.draw(st.booleans(), label="texts"):
            column = {"text": [WORDS] * 5}
        pq.write_table(pa.table(column), made)
        file.write_bytes(data.draw(damaged(made.getvalue()), label="file"))
        prompts(file)

    @fuzz(200)
    @given(data=st.data())
    def test_arrays(self, data: st.DataObject, tmp_path: Path) -> None:
        file, made = tmp_path / "any.npy", io.BytesIO()
        np.save(made, np.full((3, 7), 5, dtype=data.draw(st.sampled_from([np.uint8, np.int64]), label="dtype")))
        file.write_bytes(data.draw(damaged(made.getvalue()), label="file"))
        found = prompts(file)
        if found is not None:
            assert np.array_equal(found, np.load(file)[:, :6])

    @fuzz(300)
    @given(data=st.data(), template=st.booleans())
    def test_texts(self, data: st.DataObject, template: bool, tmp_path: Path) -> None:
        file = tmp_path / "any.txt"
        lines = st.lists(st.text(max_size=20) | st.just(WORDS), max_size=6).map(as_lines)
        file.write_bytes(data.draw(lines | damaged(as_lines([WORDS] * 3)) | st.binary(max_size=60), label="file"))
        found = prompts(file, template=template)
        if found is not None:
            own = [tokenizer()(line)["input_ids"] for line in file.read_text("utf-8-sig").split("\n")]
            if template:
                assert found.tolist() == [[1, *ids[:4], 2] for ids in own if len(ids) >= 4]
            else:
                assert found.tolist() == [ids[:6] for ids in own if len(ids) >= 6]

    @fuzz(300)
    @given(data=st.data(), name=st.sampled_from(["any.jsonl", "any.json", "any.jsonl.gz"]))
    def test_json_lines(self, data: st.DataObject, name: str, tmp_path: Path) -> None:
        file = tmp_path / name
        lines = data.draw(st.lists(json_files({"text": WORDS, "n": 1}), min_size=1, max_size=3), label="lines")
        content = b"\n".join([as_json({"text": WORDS}), *lines])
        if name.endswith(".gz"):
            content = gzip.compress(content, mtime=0)
            content = data.draw(st.just(content) | damaged(content), label="archive")
        file.write_bytes(content)
        found = prompts(file)
        if found is not None:
            content = gzip.decompress(file.read_bytes()) if name.endswith(".gz") else content
            texts = [json.loads(line)["text"] or "" for line in content.decode("utf-8-sig").split("\n") if line.strip()]
            own = [tokenizer()(text)["input_ids"] for text in texts]
            assert found.tolist() == [ids[:6] for ids in own if len(ids) >= 6]


PLACES = ["model/config.json", "model/model.safetensors", "sae/cfg.json", "sae/sae_weights.safetensors", "prompts.npz"]


@fuzz(40)
@given(data=st.data(), name=st.sampled_from(PLACES))
def test_the_command_line(data: st.DataObject, name: str, files: Path, tmp_path: Path) -> None:
    """Files that are no more what they were at their very beginning: one line, and nothing is written."""
    changes = {"experiments": ["plateau"], "targets__types": ["real"]}
    preset = write_preset(tmp_path / "any.toml", files, **changes)
    content = (files / name).read_bytes()
    with replaced(files / name, data.draw(st.binary(max_size=40) | mutated(content[:20]), label=name)):
        assert run("collect", "--preset", preset, "--out", tmp_path / "run.zarr") is not None
    assert not (tmp_path / "run.zarr").exists()
