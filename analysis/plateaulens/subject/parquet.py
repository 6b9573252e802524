"""Parquet files as hubs keep them: token ids, a list of integers in each row, or texts."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from plateaulens.errors import UsageError, reading, shown
from plateaulens.subject.texts import Text
from plateaulens.subject.tokenizing import Rows

IDS = "input_ids"
"""The column of token ids in data sets that have some."""
TEXT = "text"
"""The column of texts, unless the configuration names another one."""
_ROWS = 1024
_TEXTS = 64
"""Rows that are in memory together: a text may be a book."""
_REMEDY = "use a parquet file with token ids or texts"


class Column(NamedTuple):
    """What is read of a file."""

    name: str
    has_text: bool
    """Else it has token ids."""
    others: tuple[str, ...]
    """All others."""


def find_column(path: Path, wanted: str, *, texts: bool) -> Column:
    """The column that prompts are made of.

    Parameters
    ----------
    path
        The file.
    wanted
        The configuration's column. Where that is `text`, as it is by default, and the file has token ids, those are
        taken instead.
    texts
        Whether only texts will do.

    Returns
    -------
    Column
        Lists of integers are token ids, strings are texts.

    Raises
    ------
    UsageError
        When the file cannot be read, has no such column, or one of another kind.
    """
    with reading(f"prompts {path} cannot be read", _REMEDY), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        names = tuple(schema.names)
        name = IDS if wanted == TEXT and IDS in names and not texts else wanted
        if name not in names:
            missing = (
                f"neither a column {IDS!r} nor {name!r}" if wanted == TEXT and not texts else f"no column {name!r}"
            )
            raise UsageError(
                f"prompts {path} have {missing} (they have {shown(', '.join(names))}): name it as prompts.column"
            )
        kind = schema.field(schema.names.index(name)).type
    has_text = _is_text(kind)
    if texts and not has_text:
        raise UsageError(
            f"prompts {path}: column {name!r} is {shown(str(kind))}, and prompts.template needs texts: "
            "name their column as prompts.column"
        )
    if not has_text and not (_is_list(kind) and pa.types.is_integer(kind.value_type)):
        raise UsageError(
            f"prompts {path}: column {name!r} is {shown(str(kind))}, wanted lists of integers (token ids) or texts: "
            "name another one as prompts.column"
        )
    return Column(name, has_text, tuple(other for other in names if other != name))


def read_ids(path: Path, column: str, length: int) -> Iterator[Rows]:
    """The first tokens of each row that has so many, some rows at a time.

    Parameters
    ----------
    path
        The file.
    column
        One with lists of integers; a missing list has no tokens.
    length
        How many tokens of each row are taken.

    Yields
    ------
    Rows
        Of the next rows of the file.

    Raises
    ------
    UsageError
        When the file cannot be read, or a list has something missing in it.
    """
    before = 0
    with reading(f"prompts {path} cannot be read", _REMEDY), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=[column]):
            yield _beginnings(f"prompts {path}", batch.column(0), length, before)
            before += len(batch)


def read_column(path: Path, column: str) -> Iterator[Text]:
    """The texts of a column, in order.

    Parameters
    ----------
    path
        The file.
    column
        One with strings.

    Yields
    ------
    Text
        With the number of its row.

    Raises
    ------
    UsageError
        When the file cannot be read.
    """
    number = 0
    with reading(f"prompts {path} cannot be read", _REMEDY), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_TEXTS, columns=[column]):
            for value in batch.column(0):
                number += 1
                yield Text(f"row {number}", value.as_py())


def _beginnings(what: str, rows: pa.Array, length: int, before: int) -> Rows:
    lists = rows.cast(pa.list_(pa.int64()))
    offsets, values = lists.offsets.to_numpy(), lists.values
    if values.null_count:
        place = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        row = before + int(np.searchsorted(offsets, place, side="right"))
        raise UsageError(f"{what}: row {row} has null among its token ids: leave the row out")
    lengths = np.where(lists.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), 0).astype(np.int64)
    starts = offsets[:-1][lengths >= length]
    return Rows(lengths, values.to_numpy()[starts[:, None] + np.arange(length)])


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
