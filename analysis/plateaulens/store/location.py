"""Where a store is: on a local path, or at any URL that fsspec has a driver for (`s3://bucket/runs/name.zarr`)."""

import os
from pathlib import Path

from plateaulens.errors import UsageError
from plateaulens.store.inside import METADATA
from plateaulens.store.local import LocalPlace
from plateaulens.store.remote import RemotePlace, is_remote

Place = LocalPlace | RemotePlace
"""Where a store is, or will be: both kinds have the same methods, and leave the same tree behind."""

Location = str | Path | LocalPlace | RemotePlace
"""What a caller may say instead: a path or a URL as text, a path, or a place."""


def locate(path: Location) -> Place:
    """The place that a path or a URL names.

    Parameters
    ----------
    path
        A path, a URL (one of `file:` is a local path), or a place, which is returned as it is.

    Returns
    -------
    LocalPlace or RemotePlace
        The place; nothing is touched yet.

    Raises
    ------
    UsageError
        For what is no path, a URL whose driver is unknown or not installed, and the root of the file system.

    Examples
    --------
    >>> locate("data/runs/smollm2.zarr").name, locate("memory://runs/smollm2.zarr").name
    ('smollm2.zarr', 'smollm2.zarr')
    """
    if isinstance(path, LocalPlace | RemotePlace):
        return path
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"the place of a store is a {type(path).__name__}: give a path or a URL")
    text = str(path)
    if text.startswith("file:"):
        return _local(Path("/" + text.removeprefix("file:").lstrip("/")))
    return RemotePlace(text) if is_remote(text) else _local(Path(path))


def check_folder(folder: Path) -> None:
    """Refuse a folder for other files that is a store, or lies in one.

    Parameters
    ----------
    folder
        A path of this machine, which need not exist.

    Raises
    ------
    UsageError
        Names the store.
    """
    locate(folder).check_outside()
    if (folder / METADATA).exists():
        raise UsageError(f"{folder} is a store, which holds nothing else: choose another folder")


def _local(path: Path) -> LocalPlace:
    """The place of a path; one like `.` or `run.zarr/..` is resolved, as what is beside a store is called after it."""
    named = path if path.name not in {"", ".."} else path.resolve()
    if not named.name:
        raise UsageError(f"{path} is the root of the file system, which is no place for a store: name a folder")
    return LocalPlace(named)
