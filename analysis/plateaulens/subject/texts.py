"""Texts from files that hold one a line: plain, or under a key of a JSON object; gzipped if you like.

Lines are read one after the other, and nothing of the file is kept.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from plateaulens.errors import UsageError, reading, shown

PLAIN = (".txt", ".txt.gz")
"""What names end with whose lines are texts."""
OBJECTS = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
"""What names end with whose lines are JSON objects."""
LONGEST_LINE = 2**25
"""Bytes that a line may have."""
_REMEDY = "write one text a line"
_MARK = b"\xef\xbb\xbf"
"""The byte order mark, which some editors put before UTF-8."""
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""By the two bytes that a file in one begins with."""


class Text(NamedTuple):
    """A text, and where it was found."""

    place: str
    """Such as `line 3`."""
    text: str | None
    """None where a data set says that there is none."""


def read_texts(path: Path, column: str) -> Iterator[Text]:
    r"""The texts of a file, in order.

    A line ends with `\n` or `\r\n`; blanks at its ends are part of the text, and lines of nothing but blanks are
    passed over. A byte order mark at the file's beginning is no text.

    Parameters
    ----------
    path
        A file whose name ends with one of `PLAIN` or `OBJECTS`.
    column
        The key of the text in JSON objects.

    Yields
    ------
    Text
        With the number of its line.

    Raises
    ------
    UsageError
        When the file cannot be read; when a line is no UTF-8, has a NUL byte, is longer than `LONGEST_LINE`, or should
        be a JSON object with such a text and is none.
    """
    for number, line in _lines(path):
        place = f"line {number}"
        if path.name.endswith(PLAIN):
            yield Text(place, line)
        else:
            yield Text(place, _of_object(f"prompts {path}: {place}", line, column))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with reading(f"prompts {path} cannot be read"), _opened(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            text = _decoded(f"prompts {path}: line {number}", line, is_first=number == 1)
            if text.strip():
                yield number, text


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.name.endswith(".gz") else path.open("rb")


def _decoded(what: str, line: bytes, *, is_first: bool) -> str:
    if len(line) > LONGEST_LINE:
        raise UsageError(f"{what} has more than {LONGEST_LINE:,} bytes: {_REMEDY}")
    if is_first:
        if other := _OTHER_ENCODINGS.get(line[:2]):
            raise UsageError(f"{what} is {other}, wanted UTF-8: save the file as UTF-8")
        line = line.removeprefix(_MARK)
    if b"\0" in line:
        raise UsageError(f"{what} has a NUL byte, which no text has: save the file as UTF-8 text")
    try:
        return line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        wrong = line[error.start]
        raise UsageError(f"{what} is no UTF-8 (byte 0x{wrong:02x} at {error.start}): save the file as UTF-8") from error


def _of_object(what: str, line: str, column: str) -> str | None:
    with reading(f"{what} is no JSON", "write one JSON object a line"):
        found = json.loads(line)
    if not isinstance(found, dict):
        raise UsageError(f"{what} is {_kind(found)}, wanted a JSON object: write one JSON object a line")
    if column not in found:
        keys = shown(", ".join(map(str, found)))
        raise UsageError(f"{what} has no key {column!r} (it has {keys}): name the text's as prompts.column")
    text = found[column]
    if text is not None and not isinstance(text, str):
        raise UsageError(f"{what} has {_kind(text)} under {column!r}, wanted a text: name the text's as prompts.column")
    return None if text is None else checked(what, text)


def checked(what: str, text: str) -> str:
    r"""Refuse what is a string of Python and no text.

    Parameters
    ----------
    what
        Where it is from, for the message.
    text
        Any string.

    Returns
    -------
    str
        The same.

    Raises
    ------
    UsageError
        When it has surrogates, as half of an escaped pair in JSON (`\ud83d`) gives them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} has half of a surrogate pair, which is no character: leave it out") from None
    return text


def _kind(value: object) -> str:
    names = {
        list: "a list",
        dict: "an object",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "nothing")
