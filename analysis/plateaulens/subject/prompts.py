"""Prompts: fixed token sequences, so that a run needs neither a corpus of text nor a tokenizer to be repeated."""

import hashlib
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from plateaulens.config import PromptConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.resources import find, sha256_of
from plateaulens.subject import hub, pretokenized

TOKENS = "tokens"
"""Name of the array in a prompt file."""
_LARGEST_EXPANSION = 1032
"""How many times its size a deflated file can hold."""
OPTION = "--prompts PATH (an .npz, a .parquet file, or a directory of such)"
"""What takes prompts that are on this machine."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Token ids, one prompt per row, all of one length."""

    tokens: Int[Tensor, "prompt position"]
    identity: dict[str, str]
    """Where they are from, and what tells them from others."""


def find_prompts(config: PromptConfig) -> Path | hub.Repository:
    """Where a configuration's prompts are: a file, a directory, or a data set on a hub whose files are still there.

    Parameters
    ----------
    config
        Which prompts.

    Returns
    -------
    Path or Repository
        A path on this machine, or a commit of a data set that has parquet files.

    Raises
    ------
    UsageError
        When they are nowhere; a `NotFoundError` where a hub was meant.
    """
    if Path(config.source).exists() or "/" not in config.source or not hub.is_id(config.source):
        return find("prompts", config.source)
    what = f"prompts {config.source!r}"
    try:
        found = hub.find(config.source, config.revision, "dataset")
    except LookupError as error:
        raise hub.NotFoundError(what, str(error.args[0]), OPTION) from None
    if not pretokenized.shards(found.files):
        raise hub.NotFoundError(what, "no parquet file among the files that there are of it", OPTION)
    return found


def load_prompts(config: PromptConfig, *, vocabulary: int) -> Prompts:
    """Read prompts, cut to the wanted length.

    They come from an `.npz` with an integer array `tokens` (sequence, position), or from a pretokenized data set: a
    parquet file, a directory with some, or a hub repository.

    Parameters
    ----------
    config
        Which prompts, how many, and how long.
    vocabulary
        Number of token ids that the model knows, from 0.

    Returns
    -------
    Prompts
        Tokens shaped (prompt, position), `config.length` of them in each prompt.

    Raises
    ------
    UsageError
        When they are missing, have another content, are too short for the wanted length, or have token ids that the
        model does not know.
    """
    place = find_prompts(config)
    tokens: NDArray[np.integer]
    if isinstance(place, hub.Repository):
        tokens, used = pretokenized.from_hub(place, length=config.length, sequences=config.sequences)
        identity = {"hub_id": place.name, "commit": place.commit, "files": ", ".join(used), "tokens": _digest(tokens)}
    elif place.is_dir() or place.suffix == ".parquet":
        tokens, paths = pretokenized.from_disk(place, length=config.length, sequences=config.sequences)
        identity = {**{path.name: sha256_of(path) for path in paths}, "tokens": _digest(tokens)}
    else:
        tokens = _array(place, config.length)[: config.sequences, : config.length]
        identity = {"file": place.name, "sha256": sha256_of(place)}
    unknown = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if unknown.size:
        raise UsageError(f"prompts {config.source} have token id {unknown[0]}, the model knows 0 to {vocabulary - 1}")
    return Prompts(torch.from_numpy(tokens.astype(np.int64)), identity)


def save_prompts(path: Path, tokens: Int[np.ndarray[tuple[int, int], np.dtype[np.int32]], "prompt position"]) -> None:
    """Write a prompt file, the same bytes for the same tokens.

    Parameters
    ----------
    path
        An `.npz` file, replaced if it exists; its folder is made if there is none.
    tokens
        Token ids, shaped (prompt, position). They are stored in the smallest integers that hold the largest of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    smallest = np.min_scalar_type(int(tokens.max()))
    np.savez_compressed(path, tokens=tokens.astype(smallest))


def _array(path: Path, length: int) -> NDArray[np.integer]:
    member = f"{TOKENS}.npy"
    claim = f"prompt file {path} has no array {TOKENS!r}"
    with reading(claim, "see `plateaulens train`"), zipfile.ZipFile(path) as file:
        with file.open(member) as array:
            _check_size(array, file.getinfo(member), path.stat().st_size)
        with file.open(member) as array:
            tokens: NDArray[np.integer] = np.lib.format.read_array(array)
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        raise UsageError(
            f"prompt file {path}: {TOKENS!r} is {tokens.dtype} {tokens.shape}, wanted integers (sequence, position)"
        )
    if tokens.shape[1] < length:
        raise UsageError(f"prompt file {path} has sequences of {tokens.shape[1]} tokens, prompts.length is {length}")
    return tokens


def _check_size(array: IO[bytes], member: zipfile.ZipInfo, size: int) -> None:
    """Refuse an array that says that it is larger than the file can hold, before there is memory for it."""
    version = np.lib.format.read_magic(array)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of the array format")
    shape, _, dtype = read_header(array)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != member.file_size - array.tell() or member.file_size > _LARGEST_EXPANSION * size:
        raise ValueError(f"an array of shape {shown(shape)} does not fit into a file of {size:,} bytes")


def _digest(tokens: NDArray[np.integer]) -> str:
    """SHA-256 of the token ids as little-endian 64-bit integers, row by row."""
    return hashlib.sha256(tokens.astype("<i8").tobytes()).hexdigest()
