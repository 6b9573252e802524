"""Prompts: fixed token sequences, from files of token ids, or from texts with the model's own tokenizer."""

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
from transformers import PreTrainedTokenizerBase

from plateaulens.config import PromptConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.resources import find, sha256_of
from plateaulens.subject import datasets, hub
from plateaulens.subject.tokenizing import Encoder, has_special

TOKENS = "tokens"
"""Name of the array in a prompt file."""
_LARGEST_EXPANSION = 1032
"""How many times its size a deflated file can hold."""
OPTION = "--prompts PATH (token ids: .npz, .npy, .parquet; texts: .txt, .jsonl, .parquet; or a directory of such)"
"""What takes prompts that are on this machine."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Token ids, one prompt per row, all of one length."""

    tokens: Int[Tensor, "prompt position"]
    identity: dict[str, str]
    """Where they are from, and what tells them from others."""
    notes: tuple[str, ...] = ()
    """What whoever gave them may not expect of them: what was left out or cut, special tokens, repetitions."""
    longer: Int[Tensor, "prompt longer"] | None = None
    """The same with the tokens that follow in an array of token ids; None for other prompts."""


def find_prompts(config: PromptConfig) -> Path | hub.Repository:
    """Where a configuration's prompts are: a file, a directory, or a data set on a hub whose files are still there.

    Parameters
    ----------
    config
        Which prompts.

    Returns
    -------
    Path or Repository
        A path on this machine, or a commit of a data set that has files to read.

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
    if not datasets.shards(found.files):
        raise hub.NotFoundError(
            what, "no parquet, JSON lines or text file among the files that there are of it", OPTION
        )
    return found


def load_prompts(config: PromptConfig, *, vocabulary: int, tokenizer: PreTrainedTokenizerBase | None = None) -> Prompts:
    """Read prompts, cut to the wanted length.

    They are token ids or texts. Token ids come from an `.npz` with an integer array `tokens` (sequence, position), from
    a `.npy` that is such an array, or from parquet files with lists of integers. Texts come from parquet files, from
    JSON lines, or from text files with one prompt a line; what becomes of them says
    `plateaulens.subject.tokenizing.Encoder`. Data sets may be files, directories, or hub repositories.

    Parameters
    ----------
    config
        Which prompts, how many, and how long.
    vocabulary
        Number of token ids that the model knows, from 0.
    tokenizer
        The model's. Without it there are no prompts from texts, and no note of special tokens.

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
    notes: list[str] = []
    special: NDArray[np.bool_] | None = None
    tokens: NDArray[np.integer]
    longer: NDArray[np.integer] | None = None
    if isinstance(place, hub.Repository) or place.is_dir() or place.name.endswith(datasets.ENDINGS):
        encoder = _encoder(config, tokenizer)
        wanted = datasets.Wanted(config.length, config.sequences, config.column, encoder)
        if isinstance(place, hub.Repository):
            found = datasets.from_hub(place, wanted)
            identity = {"hub_id": place.name, "commit": place.commit, "files": ", ".join(found.files)}
        else:
            found = datasets.from_disk(place, wanted)
            folder = place.parent if place.is_file() else place
            identity = {Path(name).name: sha256_of(folder / name) for name in found.files}
        tokens, special = found.tokens, found.special
        identity["tokens"] = hashlib.sha256(tokens.astype("<i8").tobytes()).hexdigest()
        if found.has_text:
            assert encoder is not None
            identity["bos"] = encoder.bos(found.tokens)
        notes += found.notes
    else:
        if config.template:
            raise UsageError(f"prompts {place} are token ids, and prompts.template needs texts: leave it out")
        longer = _array(place, config.length)[: config.sequences]
        tokens = longer[:, : config.length]
        identity = {"file": place.name, "sha256": sha256_of(place)}
    unknown = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if unknown.size:
        raise UsageError(f"prompts {config.source} have token id {unknown[0]}, the model knows 0 to {vocabulary - 1}")
    ids = tokens.astype(np.int64)
    if special is None and tokenizer is not None:
        special = has_special(ids, tokenizer)
    whole = None if longer is None else torch.from_numpy(longer.astype(np.int64))
    return Prompts(torch.from_numpy(ids), identity, (*notes, *surprises(ids, special)), whole)


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


def _encoder(config: PromptConfig, tokenizer: PreTrainedTokenizerBase | None) -> Encoder | None:
    if tokenizer is None:
        return None
    return Encoder(tokenizer, length=config.length, bos=config.bos, template=config.template)


def surprises(tokens: NDArray[np.int64], special: NDArray[np.bool_] | None) -> list[str]:
    """What whoever gave token ids may not expect of them: special tokens within the text, and repetitions.

    Parameters
    ----------
    tokens
        Shaped (prompt, position).
    special
        Whether each prompt has special tokens within its text; None where nobody can tell.

    Returns
    -------
    list of str
        Notes for whoever runs them.
    """
    notes = []
    if special is not None and special.any():
        count = datasets.counted(int(special.sum()), len(tokens), "prompt", "has", "have")
        notes.append(f"{count} special tokens within the text")
    if repeated := int((np.unique(tokens, axis=0, return_counts=True)[1] > 1).sum()):
        notes.append(f"{repeated:,} prompt{' occurs' if repeated == 1 else 's occur'} twice or more")
    return notes


def _array(path: Path, length: int) -> NDArray[np.integer]:
    if path.suffix == ".npy":
        name, tokens = "its array", _single(path)
    elif path.suffix == ".npz" or zipfile.is_zipfile(path):
        name, tokens = repr(TOKENS), _of_archive(path)
    else:
        kinds = ", ".join((".npz", ".npy", *datasets.ENDINGS))
        raise UsageError(f"prompt file {path} is of no kind that prompts are read from: its name must end with {kinds}")
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        raise UsageError(
            f"prompt file {path}: {name} is {tokens.dtype} {tokens.shape}, wanted integers (sequence, position)"
        )
    if not len(tokens):
        raise UsageError(f"prompt file {path} has no sequence: give some")
    if tokens.shape[1] < length:
        raise UsageError(f"prompt file {path} has sequences of {tokens.shape[1]} tokens, prompts.length is {length}")
    return tokens


def _of_archive(path: Path) -> NDArray[np.integer]:
    member = f"{TOKENS}.npy"
    claim = f"prompt file {path} has no array {TOKENS!r}"
    with reading(claim, "see `plateaulens train`"), zipfile.ZipFile(path) as file:
        with file.open(member) as array:
            info = file.getinfo(member)
            _check_size(array, info.file_size, _LARGEST_EXPANSION * path.stat().st_size)
        with file.open(member) as array:
            tokens: NDArray[np.integer] = np.lib.format.read_array(array)
    return tokens


def _single(path: Path) -> NDArray[np.integer]:
    with reading(f"prompt file {path} is no array", "write it with numpy.save"), path.open("rb") as file:
        size = path.stat().st_size
        _check_size(file, size, size)
        file.seek(0)
        tokens: NDArray[np.integer] = np.lib.format.read_array(file)
    return tokens


def _check_size(array: IO[bytes], size: int, most: int) -> None:
    """Refuse an array that says that it is larger than its file can hold, before there is memory for it."""
    version = np.lib.format.read_magic(array)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of the array format")
    shape, _, dtype = read_header(array)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != size - array.tell() or size > most:
        raise ValueError(f"an array of shape {shown(shape)} does not fit into a file of this size")
