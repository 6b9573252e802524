"""Prompt files: fixed token sequences, so that a run needs neither a corpus nor a tokenizer to be repeated."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from plateaulens.config import PromptConfig
from plateaulens.errors import UsageError
from plateaulens.resources import find
from plateaulens.subject.embedded import sha256_of

TOKENS = "tokens"


@dataclass(frozen=True, eq=False)
class Prompts:
    """Token ids, one prompt per row, all of one length."""

    tokens: Int[Tensor, "prompt position"]
    identity: dict[str, str]


def load_prompts(config: PromptConfig, *, vocabulary: int) -> Prompts:
    """Read a prompt file, an `.npz` with an integer array `tokens` (sequence, position), cut to the wanted length.

    Raises `UsageError` when the file is missing, has another content, is too short for the wanted length, or has
    token ids that the model does not know.
    """
    path = find("prompts", config.source)
    try:
        with zipfile.ZipFile(path) as file, file.open(f"{TOKENS}.npy") as array:
            tokens = np.lib.format.read_array(array)
    except (KeyError, ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UsageError(f"prompt file {path} has no array {TOKENS!r} ({error}): see `plateaulens train`") from None
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
        raise UsageError(
            f"prompt file {path}: {TOKENS!r} is {tokens.dtype} {tokens.shape}, wanted integers (sequence, position)"
        )
    if tokens.shape[1] < config.length:
        raise UsageError(
            f"prompt file {path} has sequences of {tokens.shape[1]} tokens, prompts.length is {config.length}"
        )
    unknown = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if unknown.size:
        raise UsageError(f"prompt file {path} has token id {unknown[0]}, the model knows 0 to {vocabulary - 1}")
    kept = torch.from_numpy(tokens[:, : config.length].astype(np.int64))
    return Prompts(kept, {"file": path.name, "sha256": sha256_of(path)})


def save_prompts(path: Path, tokens: Int[np.ndarray[tuple[int, int], np.dtype[np.int32]], "prompt position"]) -> None:
    """Write a prompt file, the same bytes for the same tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    smallest = np.min_scalar_type(int(tokens.max()))
    np.savez_compressed(path, tokens=tokens.astype(smallest))
