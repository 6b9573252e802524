"""Prompt files: read, cut, checked against the model, and written the same way every time."""

import hashlib
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.subject.tokenizers import make_tokenizer

from plateaulens.config import PromptConfig
from plateaulens.errors import UsageError
from plateaulens.subject.prompts import Prompts, load_prompts, save_prompts

TOKENS = np.arange(12, dtype=np.int32).reshape(3, 4)


def load(path: Path, *, length: int = 4, vocabulary: int = 12) -> Prompts:
    return load_prompts(PromptConfig(source=str(path), length=length), vocabulary=vocabulary)


def saved(folder: Path, tokens: NDArray[Any]) -> Path:
    np.savez(folder / "prompts.npz", tokens=tokens)
    return folder / "prompts.npz"


class TestReading:
    def test_what_was_saved_is_read(self, tmp_path: Path) -> None:
        save_prompts(tmp_path / "deep" / "prompts.npz", TOKENS)
        prompts = load(tmp_path / "deep" / "prompts.npz")
        assert prompts.tokens.tolist() == TOKENS.tolist()
        digest = hashlib.sha256((tmp_path / "deep" / "prompts.npz").read_bytes()).hexdigest()
        assert prompts.identity == {"file": "prompts.npz", "sha256": digest}

    def test_a_single_array(self, tmp_path: Path) -> None:
        np.save(tmp_path / "tokens.npy", TOKENS)
        prompts = load(tmp_path / "tokens.npy", length=3)
        assert prompts.tokens.tolist() == TOKENS[:, :3].tolist()
        digest = hashlib.sha256((tmp_path / "tokens.npy").read_bytes()).hexdigest()
        assert prompts.identity == {"file": "tokens.npy", "sha256": digest}

    def test_an_archive_of_another_name(self, tmp_path: Path) -> None:
        saved(tmp_path, TOKENS).rename(tmp_path / "tokens")
        assert load(tmp_path / "tokens").tokens.tolist() == TOKENS.tolist()

    def test_what_is_noted(self, tmp_path: Path) -> None:
        path = saved(tmp_path, TOKENS[[0, 1, 0, 2, 2, 2]])
        assert load(path).notes == ("2 prompts occur twice or more",)
        config = PromptConfig(source=str(path), length=4)
        assert load_prompts(config, vocabulary=12, tokenizer=make_tokenizer()).notes == (
            "2 of 6 prompts have special tokens within the text",  # 1 and 2, in its first row
            "2 prompts occur twice or more",
        )

    def test_longer_sequences_are_cut_at_the_end(self, tmp_path: Path) -> None:
        assert load(saved(tmp_path, TOKENS), length=2).tokens.tolist() == [[0, 1], [4, 5], [8, 9]]

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "uint64"])
    def test_any_integers_do(self, dtype: str, tmp_path: Path) -> None:
        assert load(saved(tmp_path, TOKENS.astype(dtype))).tokens.tolist() == TOKENS.tolist()

    def test_the_same_tokens_give_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("first.npz", "second.npz"):
            save_prompts(tmp_path / name, TOKENS)
        assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()

    @pytest.mark.parametrize(("largest", "dtype"), [(255, "uint8"), (256, "uint16"), (65536, "uint32")])
    def test_tokens_are_kept_in_the_smallest_integers(self, largest: int, dtype: str, tmp_path: Path) -> None:
        save_prompts(tmp_path / "prompts.npz", np.array([[0, largest]], dtype=np.int32))
        with np.load(tmp_path / "prompts.npz") as file:
            assert file["tokens"].dtype == dtype


class TestMistakes:
    def test_no_such_file(self) -> None:
        with pytest.raises(UsageError, match="no prompt 'nothing': neither a path nor one of those that ship"):
            load_prompts(PromptConfig(source="nothing"), vocabulary=12)

    @pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 cut short"])
    def test_no_archive(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "prompts.npz").write_bytes(content)
        with pytest.raises(UsageError, match=r"prompts.npz has no array 'tokens' \(.*\): see `plateaulens train`"):
            load(tmp_path / "prompts.npz")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"no file of a data set in this directory \(\.parquet, \.jsonl"):
            load(tmp_path)

    @pytest.mark.parametrize("name", ["tokens", "tokens.bin", "tokens.csv"])
    def test_no_kind_of_file_that_is_known(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(b"1,2,3")
        with pytest.raises(UsageError, match=rf"{name} is of no kind that prompts are read from: .* \.npz, \.npy"):
            load(tmp_path / name)

    @pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00v\x00{"])
    def test_no_array(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "tokens.npy").write_bytes(content)
        with pytest.raises(UsageError, match=r"tokens.npy is no array \(.*\): write it with numpy.save"):
            load(tmp_path / "tokens.npy")

    @pytest.mark.parametrize("shape", [(10**12, 10), (2**62, 4), (3, 5), (3, 3), (-1, 4)])
    def test_an_array_that_claims_another_size(self, shape: tuple[int, int], tmp_path: Path) -> None:
        header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}}}".encode()
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        (tmp_path / "tokens.npy").write_bytes(start + TOKENS.tobytes())
        with pytest.raises(UsageError, match=r"tokens.npy is no array \(an array of shape .* does not fit into a file"):
            load(tmp_path / "tokens.npy")

    def test_another_kind_of_single_array(self, tmp_path: Path) -> None:
        np.save(tmp_path / "tokens.npy", TOKENS.astype(float))
        with pytest.raises(UsageError, match=r"its array is float64 \(3, 4\), wanted integers \(sequence, position\)"):
            load(tmp_path / "tokens.npy")

    def test_no_sequence(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"prompts.npz has no sequence: give some"):
            load(saved(tmp_path, TOKENS[:0]))

    def test_an_archive_of_something_else(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "prompts.npz", words=TOKENS)
        with pytest.raises(UsageError, match="has no array 'tokens'"):
            load(tmp_path / "prompts.npz")

    def test_a_damaged_archive(self, tmp_path: Path) -> None:
        path = tmp_path / "prompts.npz"
        save_prompts(path, np.random.default_rng(0).integers(0, 12, (50, 4)).astype(np.int32))
        content = bytearray(path.read_bytes())
        content[100] ^= 255
        path.write_bytes(content)
        with pytest.raises(UsageError, match="has no array 'tokens'"):
            load(path)

    def test_pickled_objects_are_not_read(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "prompts.npz", tokens=np.array([[1], [1, 2]], dtype=object))
        with pytest.raises(UsageError, match="has no array 'tokens'"):
            load(tmp_path / "prompts.npz")

    @pytest.mark.parametrize("shape", [(10**12, 10), (2**62, 4), (3, 5), (3, 3), (-1, 4)])
    def test_a_header_that_claims_another_size(self, shape: tuple[int, int], tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "prompts.npz", "w") as archive:
            header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}}}".encode()
            start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            archive.writestr("tokens.npy", start + TOKENS.tobytes())
        with pytest.raises(UsageError, match=r"has no array 'tokens' \(an array of shape .* does not fit into a file"):
            load(tmp_path / "prompts.npz")

    def test_an_encrypted_archive(self, tmp_path: Path) -> None:
        path = saved(tmp_path, TOKENS)
        content = bytearray(path.read_bytes())
        content[6] |= 1  # the flag, beside the file and in the directory
        content[content.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(content)
        with pytest.raises(
            UsageError, match=r"has no array 'tokens' \(File 'tokens.npy' is encrypted, password requir"
        ):
            load(path)

    def test_an_unknown_compression(self, tmp_path: Path) -> None:
        path = saved(tmp_path, TOKENS)
        content = bytearray(path.read_bytes())
        content[8] = content[content.index(b"PK\x01\x02") + 10] = 99
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"has no array 'tokens' \(That compression method is not supported\)"):
            load(path)

    @pytest.mark.parametrize(
        "tokens", [TOKENS.astype(float), TOKENS[0], TOKENS[None], TOKENS > 3, TOKENS.astype("m8[s]")]
    )
    def test_another_kind_of_array(self, tokens: NDArray[Any], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"'tokens' is .*, wanted integers \(sequence, position\)"):
            load(saved(tmp_path, tokens))

    def test_too_short(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"has sequences of 4 tokens, prompts.length is 5"):
            load(saved(tmp_path, TOKENS), length=5)

    @pytest.mark.parametrize("wrong", [-1, 12, 10**6])
    def test_a_token_that_the_model_does_not_know(self, wrong: int, tmp_path: Path) -> None:
        tokens = TOKENS.copy()
        tokens[1, 2] = wrong
        with pytest.raises(UsageError, match=f"have token id {wrong}, the model knows 0 to 11"):
            load(saved(tmp_path, tokens))
