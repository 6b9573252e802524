"""A hub of one's own: the repositories of presets that need one, tiny, in the cache's layout or behind HTTP."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import numpy as np

MODEL, SAE, DATA = (
    "openai-community/gpt2",
    "jbloom/GPT2-Small-SAEs-Reformatted",
    "apollo-research/Skylion007-openwebtext-tokenizer-gpt2",
)
MLP_SAES, ATTENTION_SAES = "tommmcgrath/gpt2-small-mlp-out-saes", "ckkissane/attn-saes-gpt2-small-all-layers"
GEMMA, GEMMA_SCOPE, TEXTS = "google/gemma-2-2b", "google/gemma-scope-2b-pt-res", "NeelNanda/pile-10k"
KINDS = {
    **dict.fromkeys((MODEL, SAE, MLP_SAES, ATTENTION_SAES, GEMMA, GEMMA_SCOPE), "models"),
    **dict.fromkeys((DATA, TEXTS), "datasets"),
}
"""Every repository that there could be; a hub has those that were written."""
SITE = "blocks.1.hook_resid_pre"
MLP_SITE, MLP_FOLDER = "blocks.8.hook_mlp_out", "sae_group_gpt2_blocks.8.hook_mlp_out_24576:v1"
ATTENTION_SITE = "blocks.8.attn.hook_z"
ATTENTION_FILE = "gpt2-small_L8_Hcat_z_lr1.20e-03_l11.30e+00_ds24576_bs4096_dc1.00e-05_rsanthropic_rie25000_nr4_v6"
GEMMA_FOLDER = "layer_12/width_16k/average_l0_82"
WIDTH, LATENTS, ROWS, TOKENS = 32, 128, 60, 24
COMMIT = {name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest() for name in KINDS}
ALPHABET = 256


@dataclass(frozen=True)
class Repositories:
    """Folders by repository name."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    @property
    def kinds(self) -> dict[str, str]:
        """By name, what kind each of them is."""
        return {name: kind for name, kind in KINDS.items() if self[name].is_dir()}

    def files(self, name: str) -> list[str]:
        """Every file of a repository."""
        found = (file for file in self[name].rglob("*") if file.is_file())
        return sorted(file.relative_to(self[name]).as_posix() for file in found)


def write_repositories(folder: Path) -> Repositories:
    """A randomly weighted GPT-2 of twelve blocks, an SAE as that release has it, and a data set of token ids."""
    made = Repositories(folder)
    write_gpt2(made[MODEL])
    write_old_sae(made[SAE] / SITE)
    write_dataset(made[DATA] / "data")
    (made[MODEL] / "README.md").write_text("not needed")
    (made[MODEL] / "onnx").mkdir()
    (made[MODEL] / "onnx" / "model.safetensors").write_text("not needed")
    (made[MODEL] / "pytorch_model.bin").write_text("not needed beside the safetensors")
    return made


def write_other_sites(folder: Path) -> Repositories:
    """The same GPT-2 and data set, with SAEs of its MLP and of its heads, each in the layout of its release."""
    made = Repositories(folder)
    write_gpt2(made[MODEL])
    write_old_sae(made[MLP_SAES] / MLP_FOLDER, MLP_SITE, normalize_activations=True)
    write_sae_of_heads(made[ATTENTION_SAES])
    write_dataset(made[DATA] / "data")
    return made


def write_gemma_repositories(folder: Path) -> Repositories:
    """A randomly weighted Gemma 2 of 26 blocks in several files, an SAE as Gemma Scope has them, and texts."""
    made = Repositories(folder)
    write_gemma(made[GEMMA])
    write_gemma_scope(made[GEMMA_SCOPE] / GEMMA_FOLDER)
    write_texts(made[TEXTS] / "data")
    return made


def write_gpt2(folder: Path) -> None:
    """GPT-2's architecture with its twelve blocks, 32 wide, and a byte-level tokenizer with two merges."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*letters, "th", "the", "<|endoftext|>"])}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[("t", "h"), ("th", "e")]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end).save_pretrained(
        folder
    )
    config = GPT2Config(
        n_layer=12, n_embd=WIDTH, n_head=4, n_positions=64, vocab_size=len(vocabulary), initializer_range=0.2
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
        for name, parameter in model.named_parameters():
            if "bias" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(folder)


def sae_weights() -> dict[str, Any]:
    """Random unit directions that read what they write."""
    import torch

    rng = torch.Generator().manual_seed(3)
    directions = torch.nn.functional.normalize(torch.randn((LATENTS, WIDTH), generator=rng), dim=1)
    return {
        "W_enc": directions.T.contiguous(),
        "W_dec": directions,
        "b_enc": torch.full((LATENTS,), -0.3),
        "b_dec": 0.1 * torch.randn(WIDTH, generator=rng),
    }


def write_old_sae(folder: Path, site: str = SITE, **changes: Any) -> None:
    """An SAE as SAELens wrote it in 2024: settings with the names of then, and log10 frequencies beside the weights."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    frequency = torch.linspace(0.01, 0.5, LATENTS)
    frequency[::16] = 0
    save_file(sae_weights(), folder / "sae_weights.safetensors")
    save_file({"sparsity": torch.log10(frequency + 1e-10)}, folder / "sparsity.safetensors")
    settings = {
        "model_name": "gpt2-small",
        "hook_point": site,
        "hook_point_layer": int(site.split(".")[1]),
        "hook_point_head_index": None,
        "dataset_path": "Skylion007/openwebtext",
        "is_dataset_tokenized": False,
        "context_size": 128,
        "d_in": WIDTH,
        "n_batches_in_buffer": 128,
        "device": "mps",
        "seed": 42,
        "dtype": "torch.float32",
        "b_dec_init_method": "geometric_median",
        "expansion_factor": 4,
        "d_sae": LATENTS,
        "l1_coefficient": 8e-5,
        **changes,
    }
    (folder / "cfg.json").write_text(json.dumps(settings))


def write_sae_of_heads(folder: Path) -> None:
    """An SAE as Kissane and others saved theirs in 2024: pickled tensors, and settings beside them."""
    import torch

    folder.mkdir(parents=True)
    torch.save(sae_weights(), folder / f"{ATTENTION_FILE}.pt")
    settings = {"act_name": ATTENTION_SITE, "act_size": WIDTH, "dict_size": LATENTS, "model_name": "gpt2-small"}
    (folder / f"{ATTENTION_FILE}_cfg.json").write_text(json.dumps(settings))


def write_gemma(folder: Path) -> None:
    """Gemma 2's architecture with its 26 blocks, 32 wide, and a tokenizer that puts BOS in front by itself."""
    import torch
    from tests.architectures import tiny_config
    from tests.subject.tokenizers import make_tokenizer
    from transformers import Gemma2Config, Gemma2ForCausalLM

    tokenizer = make_tokenizer(adds=True)
    tokenizer.save_pretrained(folder)
    layers = ["sliding_attention", "full_attention"] * 13
    changes = {"num_hidden_layers": 26, "layer_types": layers, "vocab_size": len(tokenizer)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gemma2ForCausalLM(Gemma2Config(**tiny_config("gemma2", **changes)))
        model.save_pretrained(folder, max_shard_size="500KB")


def write_gemma_scope(folder: Path) -> None:
    """An SAE as Gemma Scope's repositories hold them, one folder for each, but for its extents."""
    folder.mkdir(parents=True)
    weights = {name.replace("W_", "w_"): tensor.numpy() for name, tensor in sae_weights().items()}
    weights["b_enc"] = np.zeros(LATENTS, dtype=np.float32)
    np.savez(folder / "params.npz", **weights, threshold=np.full(LATENTS, 2, dtype=np.float32))


def write_texts(folder: Path, rows: int = ROWS) -> None:
    """Texts, and something about each, in one shard; every tenth is too short for a prompt."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    texts = ["short" if row % 10 == 9 else f"{row * row} in the beginning there was the word" for row in range(rows)]
    about = [{"pile_set_name": "Pile-CC"}] * rows
    pq.write_table(pa.table({"text": texts, "meta": about}), folder / "train-00000-of-00001-4746b8785c874cc7.parquet")


def write_dataset(folder: Path, rows: int = ROWS) -> None:
    """Token ids in two shards for training and one for validation, as hubs keep them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    tokens = np.random.default_rng(6).integers(0, ALPHABET, (rows, TOKENS))
    shards = {"train-00000-of-00002": tokens[: rows // 2], "train-00001-of-00002": tokens[rows // 2 :]}
    for name, part in {**shards, "validation-00000-of-00001": 0 * tokens[:5]}.items():
        pq.write_table(pa.table({"input_ids": part.astype(np.int32).tolist()}), folder / f"{name}.parquet")


def cache_folder(name: str) -> str:
    """What the hub's library calls a repository's folder in its cache."""
    return f"{KINDS[name]}--{name.replace('/', '--')}"


def write_cache(cache: Path, repositories: Repositories) -> None:
    """What the hub's own library leaves in its cache after a download of everything."""
    for name in repositories.kinds:
        place = cache / cache_folder(name)
        for file in repositories.files(name):
            link = place / "snapshots" / COMMIT[name] / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(repositories[name] / file)
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(COMMIT[name])


@contextmanager
def serve(repositories: Repositories) -> Iterator[tuple[str, list[str]]]:
    """A hub at an address of this machine; yields the address and a list of what has been asked of it."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, *, body: bool) -> None:
            asked.append(f"{self.command} {self.path}")
            path = unquote(self.path.partition("?")[0]).strip("/")
            for name, kind in repositories.kinds.items():
                if path in {f"api/{kind}/{name}", f"api/{kind}/{name}/revision/main"}:
                    return self._send(self._information(name), body=body)
                prefix = f"{'datasets/' if kind == 'datasets' else ''}{name}/resolve/{COMMIT[name]}/"
                file = repositories[name] / path.removeprefix(prefix)
                if path.startswith(prefix) and file.is_file():
                    return self._send(file.read_bytes(), body=body, commit=COMMIT[name])
            return self._refuse(path)

        def _information(self, name: str) -> bytes:
            siblings = [{"rfilename": file} for file in repositories.files(name)]
            about = {"id": name, "sha": COMMIT[name], "siblings": siblings, "private": False, "tags": []}
            return json.dumps(about | {"downloads": 0, "likes": 0}).encode()

        def _send(self, content: bytes, *, body: bool, commit: str | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            if commit is not None:
                self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def _refuse(self, path: str) -> None:
            known = any(name in path for name in repositories.kinds)
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
