"""Putting finished files into the output folder, each in one step, whoever else writes there and however one dies."""

import os
import re
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

_TURN = threading.Lock()
"""Names tell processes apart, but not the threads of one."""


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
    """
    out.mkdir(parents=True, exist_ok=True)
    places = [out / file.name for file in files]
    arriving = [place.with_name(f".{place.name}.{os.getpid()}.part") for place in places]
    with _TURN:
        for place in places:
            _remove_leftovers(place)
        try:
            for file, part in zip(files, arriving, strict=True):
                shutil.copyfile(file, part)
            for part, place in zip(arriving, places, strict=True):
                part.replace(place)
        finally:
            for part in arriving:
                part.unlink(missing_ok=True)
    return places


def _remove_leftovers(place: Path) -> None:
    """Remove what processes left beside a place that died before they renamed it."""
    name = re.compile(rf"\.{re.escape(place.name)}\.(\d+)\.part")
    for part in place.parent.iterdir():
        found = name.fullmatch(part.name)
        if found and not _is_alive(int(found[1])):
            part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Whether a process runs on this machine; True where nothing can be known."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
