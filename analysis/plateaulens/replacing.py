"""Putting what is finished in the place of what was there, in one step, and telling whose leftovers may be removed.

What is being written has the number of its process in its name (`.NAME.PID.ROLE`). Numbers are this machine's: a
process of another machine that writes at the same place of a shared file system looks like a dead one.
"""

import ctypes
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from plateaulens.errors import UsageError, reason

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_TURN = threading.Lock()
"""Names tell processes apart, but not the threads of one."""


def exchange(one: Path, other: Path) -> bool:
    """Swap what two names of one file system stand for, in one step, where Linux and the file system can.

    Parameters
    ----------
    one
        A path of something that is there.
    other
        Another one.

    Returns
    -------
    bool
        False when nothing was done: a rename is another way, and says what is wrong if that is not it.
    """
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or another C library
        return False
    renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    failed = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return not failed


def is_alive(process: int) -> bool:
    """Whether a process runs on this machine.

    Parameters
    ----------
    process
        Its number.

    Returns
    -------
    bool
        True for processes of other users as well, and where nothing can be known.
    """
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def leftovers(path: Path, *roles: str) -> Iterator[Path]:
    """What dead processes left beside a path.

    Parameters
    ----------
    path
        What they wrote.
    *roles
        What their files' or folders' names end with.

    Yields
    ------
    Path
        One of theirs. One that bears this process's own number is a dead one's, too, as long as this process has not
        begun to write there itself.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.(?:{'|'.join(roles)})")
    if not path.parent.is_dir():
        return
    for beside in sorted(path.parent.iterdir()):
        found = name.fullmatch(beside.name)
        if found and (int(found[1]) == os.getpid() or not is_alive(int(found[1]))):
            yield beside


def discard(path: Path) -> None:
    """Remove a folder or a file, if it is there and can be removed.

    Parameters
    ----------
    path
        Of a symbolic link, the link is removed and not what it points to.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def write_at_once(path: Path, text: str) -> None:
    """Put a text into a file, so that a reader finds what was there before or all of it.

    Parameters
    ----------
    path
        The file; of a symbolic link, the link is replaced.
    text
        What it is to hold, in UTF-8.
    """
    building = path.with_name(f".{path.name}.partial")
    discard(building)
    with building.open("x", encoding="utf-8") as file:  # never through a link that somebody has put there
        file.write(text)
    building.replace(path)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A temporary folder for the time of a `with` statement; those of dead processes are removed on the way.

    Each is held by a lock of the kernel, which ends with its process, so that a folder of a living one, on whatever
    machine or in whatever container that shares the place, stays. Where there are no such locks, nothing is removed
    but one's own.

    Parameters
    ----------
    name
        What the names of such folders begin with.

    Yields
    ------
    Path
        An empty folder in the system's place for temporary files.
    """
    made = Path(tempfile.mkdtemp(prefix=f".{name}"))
    held = _hold(made)
    # as long as it is not held it must not bear the name by which the dead's are found
    own = made.rename(made.with_name(made.name[1:]))
    try:
        for other in own.parent.glob(f"{name}*"):
            if (free := _hold(other)) is not None:
                discard(other)
                os.close(free)
        yield own
    finally:
        discard(own)
        if held is not None:
            os.close(held)


def _hold(folder: Path) -> int | None:
    """Lock a folder; None where another process has it, where it is not ours, and on systems without such locks."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def prepare(folder: Path) -> None:
    """Make a folder that something is about to be put into.

    Parameters
    ----------
    folder
        Of what will be written; it may be there.

    Raises
    ------
    UsageError
        Where it cannot be made, or nobody may write to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"folder {folder} cannot be made ({reason(error)}): choose another place") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"folder {folder} may not be written to: choose another place")


def publish(files: Sequence[Path], out: Path) -> list[Path]:
    """Put finished files into a folder under their own names: copied beside their places first, then renamed.

    Parameters
    ----------
    files
        The files, on any file system.
    out
        The folder, which is made where there is none.

    Returns
    -------
    list of Path
        The files in their places. When one cannot be copied, all earlier ones stay.

    Raises
    ------
    UsageError
        As `prepare` does, and where a folder has the name of a file.
    """
    prepare(out)
    for file in files:
        if (out / file.name).is_dir():
            raise UsageError(f"{out / file.name} is a folder, where a file is to go: choose another name")
    places = [out / file.name for file in files]
    arriving = [place.with_name(f".{place.name}.{os.getpid()}.part") for place in places]
    with _TURN:
        for place in places:
            for part in leftovers(place, "part"):
                discard(part)
        try:
            for file, part in zip(files, arriving, strict=True):
                shutil.copyfile(file, part)
            for part, place in zip(arriving, places, strict=True):
                part.replace(place)
        finally:
            for part in arriving:
                part.unlink(missing_ok=True)
    return places
