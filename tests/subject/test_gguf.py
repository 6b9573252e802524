"""A GGUF file of one's own as the model."""

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tests.conftest import VOCABULARY, tiny_model

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.names import PACKED
from plateaulens.resources import sha256_of
from plateaulens.scan.choice import choose
from plateaulens.subject.model import load_subject

POSITIONS = 1024
"""What transformers takes a GPT-2 in this format to have, whatever the file says."""
SITES = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.2.hook_resid_post")
NAMES = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def write_gguf(path: Path) -> None:
    """The tiny GPT-2 as llama.cpp has it: other names, and weights the other way round."""
    model = tiny_model("gpt2", max_position_embeddings=POSITIONS)
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(3)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["w", "1", "w1", *(f"x{index}" for index in range(3, VOCABULARY))])
    writer.add_token_merges(["w 1"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in model.transformer.state_dict().items():
        place, _, kind = name.rpartition(".")
        block, _, part = place.removeprefix("h.").partition(".") if place.startswith("h.") else ("", "", place)
        values = tensor.T if place.endswith(("c_attn", "c_proj", "c_fc")) and kind == "weight" else tensor
        prefix = f"blk.{block}." if block else ""
        writer.add_tensor(f"{prefix}{NAMES[part]}.{kind}", np.ascontiguousarray(values.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path


def test_the_model_in_the_file_is_the_model_that_runs(path: Path) -> None:
    subject = load_subject(ModelConfig(source=str(path)), SITES)
    tokens = torch.randint(0, VOCABULARY, (3, 6), generator=torch.Generator().manual_seed(0))
    original = tiny_model("gpt2", max_position_embeddings=POSITIONS).eval()
    with torch.inference_mode():
        torch.testing.assert_close(subject.bridge(tokens), original(tokens).logits, rtol=1e-4, atol=1e-4)
    assert subject.identity == {"file": "tiny.gguf", "sha256": sha256_of(path)}
    assert choose(subject, tokens, points=9).way == PACKED


@pytest.mark.parametrize(("place", "what"), [(8, "tensors"), (16, "fields")])
def test_counts_that_no_file_of_this_size_holds(place: int, what: str, path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[place : place + 8] = struct.pack("<Q", 2**60)
    (tmp_path / "much.gguf").write_bytes(content)
    with pytest.raises(UsageError, match=rf"1,152,921,504,606,846,976 {what} .*do not fit into a file of"):
        load_subject(ModelConfig(source=str(tmp_path / "much.gguf")), SITES)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGML" + bytes(40), b"GGUF" + bytes(40), bytes(range(256))])
def test_what_is_no_gguf_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "any.gguf").write_bytes(content)
    with pytest.raises(UsageError, match="could not be loaded") as raised:
        load_subject(ModelConfig(source=str(tmp_path / "any.gguf")), SITES)
    assert len(str(raised.value).splitlines()) == 1


def test_a_block_count_of_a_million(path: Path, tmp_path: Path) -> None:
    """Each would be built, whatever the file holds."""
    content = path.read_bytes()
    key = b"gpt2.block_count" + struct.pack("<I", gguf.GGUFValueType.UINT32)
    assert content.count(key + struct.pack("<I", 3)) == 1
    (tmp_path / "deep.gguf").write_bytes(content.replace(key + struct.pack("<I", 3), key + struct.pack("<I", 10**6)))
    with pytest.raises(UsageError, match="num_hidden_layers = 1000000, wanted a whole number from 1 to 1,000"):
        load_subject(ModelConfig(source=str(tmp_path / "deep.gguf")), SITES)
