"""What is put in the place of sound files, and what a command that reads it may do."""

import contextlib
import copy
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from plateaulens.cli import main
from plateaulens.errors import UsageError

DEEP = 30_000
"""Levels of nesting that no reader follows by recursion."""


def fuzz(examples: int) -> settings:
    """So many inputs, the same ones at every run, however long each takes."""
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=quiet)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with some of its bytes flipped, cut off, inserted, left out or overwritten, most of them at its start."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        end = len(changed)
        place = draw(st.integers(0, min(end, 64)) | st.integers(0, end))
        match draw(st.sampled_from(["flip", "cut", "insert", "drop", "overwrite"])):
            case "flip" if place < end:
                changed[place] ^= draw(st.integers(1, 255))
            case "cut":
                del changed[place:]
            case "insert":
                changed[place:place] = draw(st.binary(min_size=1, max_size=12))
            case "drop":
                del changed[place : place + draw(st.integers(1, 12))]
            case _:
                changed[place : place + 8] = draw(st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\0" * 7 + b"\x10"]))
    return bytes(changed)


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that are not the content of a sound file, and often nearly."""
    return (mutated(content) | st.binary(max_size=200)).filter(lambda found: found != content)


HUGE = "an integer of 5,001 digits"
"""Python reads or writes none so long as decimal digits; Hypothesis could not say which example failed."""
NUMBERS = st.sampled_from(
    [0, -1, 1, 2, 3, 7, 2**31, 2**63, -(2**63), 10**12, 10**30, 0.5, -0.5, 1e-300, 1e308, math.inf, math.nan, HUGE]
)
TEXTS = st.sampled_from(["", "x", "real", "../x", "a\0b", "\x1b[1m", "a\nb", "\ud800", "é", "1", "9" * 500, "<b>"])
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.text(max_size=8) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
"""Values of every type that JSON has, and some that it should not."""


def _places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield (*above, key)
        yield from _places(value, (*above, key))


@st.composite
def altered(draw: st.DrawFn, tree: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with some values of another kind in the places of its own, keys left out, or keys added."""
    changed = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 2))):
        *above, last = draw(st.sampled_from(list(_places(changed)) or [("key",)]))
        inner = changed
        for key in above:
            inner = inner[key]
        match draw(st.sampled_from(["replace", "replace", "replace", "drop", "add"])):
            case "drop" if last in inner or isinstance(inner, list):
                del inner[last]
            case "add" if isinstance(inner, dict):
                inner[draw(TEXTS)] = draw(ODD)
            case _:
                inner[last] = draw(ODD)
    return changed


def as_json(tree: Any) -> bytes:
    """JSON as Python writes it, surrogates and NaN included; digits without end are spelled out."""
    if isinstance(tree, dict):
        return b"{" + b", ".join(json.dumps(str(key)).encode() + b": " + as_json(tree[key]) for key in tree) + b"}"
    if isinstance(tree, list):
        return b"[" + b", ".join(map(as_json, tree)) + b"]"
    if tree == HUGE:
        return b"1" + b"0" * 5000
    return json.dumps(tree).encode()


NESTED = st.sampled_from([b"[", b'{"a":']).map(lambda opening: opening * DEEP)
"""JSON without end."""


def json_files(tree: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """What may stand in the place of a JSON file that holds this object."""
    return altered(tree).map(as_json) | altered(tree).map(as_json) | damaged(as_json(tree)) | ODD.map(as_json) | NESTED


@contextlib.contextmanager
def replaced(file: Path, content: bytes) -> Iterator[None]:
    """While it lasts, a file holds something else."""
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def check(error: UsageError, place: object) -> None:
    """The message of an error is one line that names the place and can be read."""
    message = str(error)
    assert len(message.splitlines()) == 1, message
    assert len(message) < 3000, len(message)
    assert str(place) in message, message


def run(*arguments: str | Path) -> str | None:
    """What a command says of its failure, which is one line; None when it succeeds, and then it says nothing."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main([str(argument) for argument in arguments])
    lines = said.getvalue().splitlines()
    if status == 0:
        assert lines == []
        return None
    assert status == 1
    (line,) = lines
    assert line.isprintable()
    assert line.startswith("plateaulens: error: ")
    return line.removeprefix("plateaulens: error: ")
