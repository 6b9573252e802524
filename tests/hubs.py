"""A hub of one's own: the three repositories of the `gpt2` preset, tiny, in the cache's layout or behind HTTP."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

MODEL, SAE, DATA = (
    "openai-community/gpt2",
    "jbloom/GPT2-Small-SAEs-Reformatted",
    "apollo-research/Skylion007-openwebtext-tokenizer-gpt2",
)
KINDS = {MODEL: "models", SAE: "models", DATA: "datasets"}
SITE = "blocks.1.hook_resid_pre"
WIDTH, LATENTS, ROWS, TOKENS = 32, 128, 60, 24
COMMIT = {name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest() for name in KINDS}
ALPHABET = 256


@dataclass(frozen=True)
class Repositories:
    """Folders by repository name."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

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


def write_old_sae(folder: Path) -> None:
    """An SAE as SAELens wrote it in 2024: settings with the names of then, and log10 frequencies beside the weights."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    rng = torch.Generator().manual_seed(3)
    directions = torch.nn.functional.normalize(torch.randn((LATENTS, WIDTH), generator=rng), dim=1)
    frequency = torch.linspace(0.01, 0.5, LATENTS)
    frequency[::16] = 0
    weights = {
        "W_enc": directions.T.contiguous(),
        "W_dec": directions,
        "b_enc": torch.full((LATENTS,), -0.3),
        "b_dec": 0.1 * torch.randn(WIDTH, generator=rng),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    save_file({"sparsity": torch.log10(frequency + 1e-10)}, folder / "sparsity.safetensors")
    settings = {
        "model_name": "gpt2-small",
        "hook_point": SITE,
        "hook_point_layer": 1,
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
    }
    (folder / "cfg.json").write_text(json.dumps(settings))


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
    for name in KINDS:
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
            path = self.path.partition("?")[0].strip("/")
            for name, kind in KINDS.items():
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
            known = any(name in path for name in KINDS)
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
