"""Data sets that hold token ids already: parquet files with a list of integers per row, as hubs keep them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from plateaulens.errors import UsageError, reading
from plateaulens.subject.hub import Repository

COLUMN = "input_ids"
SPLIT = "train"
"""What the paths of the training split contain."""
DEFAULT_SEQUENCES = 8192
"""Sequences that are read when the configuration names no number: some ten times the width of a small model, which the
covariance of the activations needs."""
_ROWS = 1024

Tokens = NDArray[np.int64]
"""Token ids, shaped (sequence, position)."""


def shards(files: Iterable[str]) -> list[str]:
    """The parquet files of a data set in their order; only those of the training split where their names say so.

    Parameters
    ----------
    files
        Paths within the data set, others than parquet files among them.

    Returns
    -------
    list of str
        The paths that end in `.parquet`, sorted; of these, those with `train` in their path, if there are any.
    """
    found = sorted(file for file in files if file.endswith(".parquet"))
    return [file for file in found if SPLIT in file] or found


def from_hub(data: Repository, *, length: int, sequences: int | None) -> tuple[Tokens, list[str]]:
    """The beginnings of the first sequences of a data set on a hub, and the shards that were read.

    A shard is downloaded only when those before it had too few sequences.

    Parameters
    ----------
    data
        The data set's repository.
    length
        Tokens of each sequence to take; sequences with fewer are left out.
    sequences
        How many sequences to take; None takes `DEFAULT_SEQUENCES`, or all where there are fewer.

    Returns
    -------
    tuple of NDArray and list of str
        Token ids shaped (sequence, position), and the paths of the shards within the data set, in order.

    Raises
    ------
    UsageError
        When there are fewer sequences than asked for, or none; when a shard cannot be downloaded or read, or has no
        column `input_ids`.
    """

    def fetch(shard: str) -> Path:
        return data.fetch([shard]) / shard

    return _read(data.name, shards(data.files), fetch, length, sequences)


def from_disk(place: Path, *, length: int, sequences: int | None) -> tuple[Tokens, list[Path]]:
    """The beginnings of the first sequences in a parquet file, or in a directory of such, and the files that were read.

    Parameters
    ----------
    place
        The file, or the directory, which is searched with all directories in it.
    length
        Tokens of each sequence to take; sequences with fewer are left out.
    sequences
        How many sequences to take; None takes `DEFAULT_SEQUENCES`, or all where there are fewer.

    Returns
    -------
    tuple of NDArray and list of Path
        Token ids shaped (sequence, position), and the files, in order.

    Raises
    ------
    UsageError
        When a directory has no parquet file; when there are fewer sequences than asked for, or none; when a file cannot
        be read, or has no column `input_ids`.
    """
    if place.is_file():
        names, folder = [place.name], place.parent
    else:
        names, folder = shards(file.relative_to(place).as_posix() for file in place.rglob("*.parquet")), place
        if not names:
            raise UsageError(f"prompts {place}: no .parquet file in this directory")
    tokens, used = _read(str(place), names, folder.__truediv__, length, sequences)
    return tokens, [folder / name for name in used]


def _read(
    what: str, names: Sequence[str], path_of: Callable[[str], Path], length: int, sequences: int | None
) -> tuple[Tokens, list[str]]:
    wanted = sequences or DEFAULT_SEQUENCES
    parts: list[Tokens] = []
    used: list[str] = []
    for name in names:
        used.append(name)
        for part in _sequences(path_of(name), length):
            parts.append(part)
            if sum(map(len, parts)) >= wanted:
                return np.concatenate(parts)[:wanted], used
    have = sum(map(len, parts))
    if sequences is not None or not have:
        raise UsageError(f"prompts {what} have {have} sequences of at least {length} tokens, wanted {wanted}")
    return np.concatenate(parts), used


def _sequences(path: Path, length: int) -> Iterable[Tokens]:
    """The first `length` tokens of each row that has so many, some rows at a time."""
    with reading(f"prompts {path} cannot be read", "use a pretokenized data set"), pq.ParquetFile(path) as file:
        if COLUMN not in file.schema_arrow.names:
            raise UsageError(f"prompts {path} have no column {COLUMN!r}: use a pretokenized data set")
        for batch in file.iter_batches(batch_size=_ROWS, columns=[COLUMN]):
            yield _beginnings(batch.column(0), length)


def _beginnings(rows: pa.Array, length: int) -> Tokens:
    lists = rows.cast(pa.list_(pa.int64()))
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    starts = offsets[:-1][np.diff(offsets) >= length]
    result: Tokens = values[starts[:, None] + np.arange(length)]
    return result
