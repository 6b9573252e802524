"""What takes long to make and is the same each time, kept on this machine: nothing is lost when it is removed.

An entry is a folder of plain files with a note of what it is of and of the files' digests. It is written beside its
place and renamed, so that a killed writer leaves none, and of two writers the first one's stays. What is damaged is
removed and made again; what cannot be written is not kept. Entries hold no code: JSON and safetensors only.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import platformdirs

from plateaulens.replacing import discard, leftovers
from plateaulens.resources import sha256_of

VARIABLE = "PLATEAULENS_CACHE"
"""The environment's name for the folder; where it is empty, nothing is kept."""
MOST = 4_000_000_000
"""Bytes of all entries; the ones that were not used for longest make room."""
FORMAT = 1
"""Of the note and of what is kept; another one is made again."""
_NOTE = "entry.json"
_ENTRY = re.compile(r"[a-z]+-[0-9a-f]{32}")
"""What the folder of an entry is called."""
_PART = "part"
_TURN = threading.Lock()
"""Processes have names of their own for what they write, but threads of one have not."""

Key = Mapping[str, object]
"""Everything that an entry depends on, as JSON has it."""


def folder() -> Path | None:
    """Where entries are kept.

    Returns
    -------
    Path or None
        `$PLATEAULENS_CACHE`, else the system's place for caches of this user; None where the variable is empty.
    """
    named = os.environ.get(VARIABLE)
    if named == "":
        return None
    return Path(named) if named else Path(platformdirs.user_cache_dir("plateaulens", appauthor=False))


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Neither use nor keep anything for the time of a `with` statement, in this process and in those it starts.

    Yields
    ------
    None
        While it is off.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = ""
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def find(kind: str, key: Key) -> Path | None:
    """The folder of an entry whose files are all as they were written.

    Parameters
    ----------
    kind
        What it is, a word.
    key
        Everything that it depends on.

    Returns
    -------
    Path or None
        None when there is no such entry; a damaged one is removed.
    """
    place = _place(kind, key)
    if place is None or not place.is_dir():
        return None
    try:
        whole = _is_whole(place, key)
    except (OSError, ValueError, RecursionError):  # somebody removes it, or has written something else there
        whole = False
    if not whole:
        discard(place)
        return None
    with contextlib.suppress(OSError):
        os.utime(place / _NOTE)  # the oldest ones make room
    return place


def keep(kind: str, key: Key, size: int, write: Callable[[Path], object]) -> bool:
    """Make an entry, unless there is one, it is too large, or there is no room.

    Parameters
    ----------
    kind
        What it is, a word.
    key
        Everything that it depends on.
    size
        About how many bytes it takes.
    write
        Puts the files into an empty folder, none of them in a folder below it.

    Returns
    -------
    bool
        Whether it is there now. A failure to write is no error: what was to be kept is in memory.
    """
    place = _place(kind, key)
    if place is None or size > MOST // 2:
        return False
    part = place.parent / f".{kind}.{os.getpid()}.{_PART}"
    with _TURN:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            for left in leftovers(place.parent / kind, _PART):
                discard(left)
            part.mkdir()
            write(part)
            files = {file.name: sha256_of(file) for file in sorted(part.iterdir())}
            note = {"format": FORMAT, "key": _plain(key), "files": files}
            (part / _NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")
            if not place.exists():
                part.rename(place)
            _make_room(place.parent, place)
        except Exception:  # noqa: BLE001  a full disk above all, of which each library has errors of its own
            return place.exists()
        finally:
            discard(part)
    return place.exists()


def forget(kind: str, key: Key) -> None:
    """Remove an entry that turned out to be of no use.

    Parameters
    ----------
    kind
        What it is, a word.
    key
        Everything that it depends on.
    """
    if (place := _place(kind, key)) is not None:
        discard(place)


def entries() -> dict[Path, int]:
    """What is kept.

    Returns
    -------
    dict of Path to int
        The folders of the entries and their bytes, those first that were not used for longest.
    """
    place = folder()
    return {} if place is None else _sizes(place)


def clear() -> int:
    """Remove every entry, and what killed writers left; other files in the folder stay.

    Returns
    -------
    int
        How many bytes the entries had.
    """
    found = entries()
    for each in found:
        discard(each)
    place = folder()
    for kind in {each.name.rpartition("-")[0] for each in found} | {"model", "pool", "learned", "way"}:
        for left in () if place is None else leftovers(place / kind, _PART):
            discard(left)
    return sum(found.values())


def code_digest(package: str) -> str:
    """The SHA-256 of a subpackage's source files, on which what it computes depends beside the versions.

    Parameters
    ----------
    package
        A folder of `plateaulens`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    together = hashlib.sha256()
    for file in sorted((Path(__file__).parent / package).glob("*.py")):
        together.update(f"{file.name} {sha256_of(file)}\n".encode())
    return together.hexdigest()


def _place(kind: str, key: Key) -> Path | None:
    where = folder()
    if where is None:
        return None
    return where / f"{kind}-{hashlib.sha256(json.dumps(_plain(key)).encode()).hexdigest()[:32]}"


def _plain(key: Key) -> dict[str, object]:
    """The key as it comes back from JSON, in an order of its own."""
    plain: dict[str, object] = json.loads(json.dumps(key, sort_keys=True))
    return plain


def _is_whole(place: Path, key: Key) -> bool:
    note = json.loads((place / _NOTE).read_text(encoding="utf-8"))
    if not isinstance(note, dict) or note.get("format") != FORMAT or note.get("key") != _plain(key):
        return False
    files = note.get("files")
    there = {file.name for file in place.iterdir()} - {_NOTE}
    return (
        isinstance(files, dict)
        and set(files) == there
        and all((place / name).is_file() and sha256_of(place / name) == digest for name, digest in files.items())
    )


def _sizes(where: Path) -> dict[Path, int]:
    found: list[tuple[float, Path, int]] = []
    for note in where.glob(f"*-*/{_NOTE}"):
        if not _ENTRY.fullmatch(note.parent.name):
            continue  # somebody else's
        with contextlib.suppress(OSError):  # somebody removes it at this moment
            size = sum(file.stat().st_size for file in note.parent.iterdir())
            found.append((note.stat().st_mtime, note.parent, size))
    return {place: size for _, place, size in sorted(found)}


def _make_room(where: Path, newest: Path) -> None:
    sizes = _sizes(where)
    others = [(place, size) for place, size in sizes.items() if place != newest]
    # from the newest back, the new one first: what no longer fits goes
    totals = itertools.accumulate((size for _, size in reversed(others)), initial=sizes.get(newest, 0))
    for (place, _), total in zip(reversed(others), itertools.islice(totals, 1, None), strict=True):
        if total > MOST:
            discard(place)
