"""Data sets that prompts are read from: a file, a folder of such, or a hub repository, read until there is enough."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plateaulens.errors import UsageError
from plateaulens.subject import parquet
from plateaulens.subject.hub import Repository
from plateaulens.subject.texts import OBJECTS, PLAIN, Text, checked, read_texts
from plateaulens.subject.tokenizing import UNCUT, Encoder, Rows, Tokens

ENDINGS = (".parquet", *OBJECTS, *PLAIN)
"""What the name of a file ends with that can be one of a data set."""
_FOLDER = ((".parquet",), tuple(ending for ending in OBJECTS if ending != ".json"), PLAIN)
"""The kinds that are looked for among many files; of these the first that there is. (A `.json` rarely is.)"""
SPLIT = "train"
"""What the paths of the training split contain."""
DEFAULT_SEQUENCES = 8192
"""Sequences that are read when the configuration names no number: some ten times the width of a small model, which the
covariance of the activations needs."""
_TEXTS = 64
"""Texts that are tokenized together."""


@dataclass(frozen=True)
class Wanted:
    """Which sequences are wanted."""

    length: int
    """Tokens of each; those with fewer are left out."""
    sequences: int | None = None
    """How many; None takes `DEFAULT_SEQUENCES`, or all where there are fewer."""
    column: str = parquet.TEXT
    """The column or key that is read; see `plateaulens.subject.parquet.find_column`."""
    encoder: Encoder | None = None
    """What makes tokens of texts; without it, texts are refused."""


class Found(NamedTuple):
    """What was read of a data set."""

    tokens: Tokens
    files: list[str]
    """Paths within the data set, in order, as far as they were read."""
    has_text: bool
    """Whether the tokens were made from texts."""
    special: NDArray[np.bool_] | None
    """As `Rows.special`."""
    notes: tuple[str, ...]
    """What was left out, or cut, or passed over."""


def shards(files: Iterable[str]) -> list[str]:
    """The files of a data set in their order; only those of the training split where their names say so.

    Parameters
    ----------
    files
        Paths within the data set, others than data among them.

    Returns
    -------
    list of str
        The parquet files, sorted; without any, those of JSON lines; without any, text files. Of these, those with
        `train` in their path, if there are any.
    """
    names = sorted(files)
    found = next(filter(None, ([name for name in names if name.endswith(kind)] for kind in _FOLDER)), [])
    return [file for file in found if SPLIT in file] or found


def from_hub(data: Repository, wanted: Wanted) -> Found:
    """The beginnings of the first sequences of a data set on a hub.

    A shard is downloaded only when those before it had too few sequences.

    Parameters
    ----------
    data
        The data set's repository.
    wanted
        Which sequences.

    Returns
    -------
    Found
        With the shards that were read.

    Raises
    ------
    UsageError
        When there are fewer sequences than asked for, or none; when a shard cannot be downloaded or read, or has no
        such column.
    """

    def fetch(shard: str) -> Path:
        return data.fetch([shard]) / shard

    return _read(data.name, shards(data.files), fetch, wanted)


def from_disk(place: Path, wanted: Wanted) -> Found:
    """The beginnings of the first sequences in a file, or in a directory of such.

    Parameters
    ----------
    place
        The file, or the directory, which is searched with all directories in it.
    wanted
        Which sequences.

    Returns
    -------
    Found
        With the files that were read, relative to the directory, or to that of the file.

    Raises
    ------
    UsageError
        When a directory has no file of a data set; when there are fewer sequences than asked for, or none; when a file
        cannot be read, or has no such column.
    """
    if place.is_file():
        return _read(str(place), [place.name], place.parent.__truediv__, wanted)
    names = shards(file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file())
    if not names:
        kinds = ", ".join(dict.fromkeys(ending for kind in _FOLDER for ending in kind))
        raise UsageError(f"prompts {place}: no file of a data set in this directory ({kinds}): name one that has some")
    return _read(str(place), names, place.__truediv__, wanted)


def _read(what: str, names: Sequence[str], path_of: Callable[[str], Path], wanted: Wanted) -> Found:
    number = wanted.sequences or DEFAULT_SEQUENCES
    parts: list[Rows] = []
    used: list[str] = []
    passed_over: dict[str, None] = {}
    has_text = False
    have = 0
    for name in names:
        used.append(name)
        path = path_of(name)
        column = None
        if path.name.endswith(".parquet"):
            needs_text = wanted.encoder is not None and wanted.encoder.template
            column = parquet.find_column(path, wanted.column, texts=needs_text)
            if wanted.column in column.others:
                passed_over[f"token ids are in column {column.name!r}; column {wanted.column!r} is not read"] = None
        if used[1:] and has_text != (column is None or column.has_text):
            raise UsageError(f"prompts {what}: {used[0]} and {name} hold token ids and texts: use files of one kind")
        has_text = column is None or column.has_text
        for part in _rows(path, column, wanted):
            parts.append(part)
            have += len(part.tokens)
            if have >= number:
                break
        if have >= number:
            break
    if not parts or not sum(len(part.lengths) for part in parts):
        raise UsageError(f"prompts {what} are empty: give some")
    if have < number and (wanted.sequences is not None or not have):
        told = f"prompts {what} have {have:,} sequences of at least {wanted.length} tokens"
        raise UsageError(
            f"{told}, wanted {number:,}: lower prompts.sequences or prompts.length"
            if have
            else f"{told}: lower prompts.length"
        )
    return _found(parts, used, number, wanted, has_text=has_text, notes=list(passed_over))


def _found(
    parts: list[Rows], used: list[str], number: int, wanted: Wanted, *, has_text: bool, notes: list[str]
) -> Found:
    lengths = np.concatenate([part.lengths for part in parts])
    kept = np.flatnonzero(lengths >= wanted.length)
    lengths = lengths[: kept[number - 1] + 1] if len(kept) >= number else lengths
    unit = "row" if used[0].endswith(".parquet") else "line"
    short = int(((lengths < wanted.length) & (lengths != UNCUT)).sum())
    uncut, cut = int((lengths == UNCUT).sum()), int((lengths > wanted.length).sum())
    if short:
        notes.append(
            f"{counted(short, len(lengths), unit, 'has', 'have')} fewer than {wanted.length} tokens"
            f"{' with the chat template' if _is_templated(wanted) else ''} and {'is' if short == 1 else 'are'} left out"
        )
    if uncut:
        notes.append(
            f"{counted(uncut, len(lengths), unit, 'has', 'have')} no beginning that fills the chat template to "
            f"{wanted.length} tokens and {'is' if uncut == 1 else 'are'} left out"
        )
    if cut:
        notes.append(f"{counted(cut, len(lengths), unit, 'is', 'are')} longer than {wanted.length} tokens and cut")
    special = [part.special for part in parts if part.special is not None]
    return Found(
        np.concatenate([part.tokens for part in parts])[:number],
        used,
        has_text,
        np.concatenate(special)[:number] if special else None,
        tuple(notes),
    )


def counted(number: int, of: int, thing: str, singular: str, plural: str) -> str:
    """So many of so many, and the verb that goes with it.

    Parameters
    ----------
    number, of
        How many, and of how many.
    thing
        What is counted, in the singular.
    singular, plural
        The two forms of the verb.

    Returns
    -------
    str
        The beginning of a sentence.

    Examples
    --------
    >>> counted(12, 500, "line", "has", "have"), counted(1, 1, "line", "has", "have")
    ('12 of 500 lines have', '1 of 1 line has')
    """
    return f"{number:,} of {of:,} {thing}{'' if of == 1 else 's'} {singular if number == 1 else plural}"


def _is_templated(wanted: Wanted) -> bool:
    return wanted.encoder is not None and wanted.encoder.template


def _rows(path: Path, column: parquet.Column | None, wanted: Wanted) -> Iterator[Rows]:
    if column is not None and not column.has_text:
        yield from parquet.read_ids(path, column.name, wanted.length)
        return
    if wanted.encoder is None:
        raise UsageError(f"prompts {path} are texts, and there is no tokenizer here: give token ids")
    found = read_texts(path, wanted.column) if column is None else parquet.read_column(path, column.name)
    while texts := list(islice(found, _TEXTS)):
        yield _encoded(path, texts, wanted.encoder)


def _encoded(path: Path, texts: Sequence[Text], encoder: Encoder) -> Rows:
    strings = [checked(f"prompts {path}: {place}", text or "") for place, text in texts]
    try:
        return encoder.rows(strings)
    except UsageError as error:
        first, last = texts[0].place, texts[-1].place
        raise UsageError(f"prompts {path}, {first} to {last}: {error}") from error
