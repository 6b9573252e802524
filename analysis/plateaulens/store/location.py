"""Where a store is: on a local path, or at any URL that fsspec has a driver for (`s3://bucket/runs/name.zarr`)."""

from pathlib import Path

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
        For a URL whose driver is unknown or not installed.

    Examples
    --------
    >>> locate("data/runs/smollm2.zarr").name, locate("memory://runs/smollm2.zarr").name
    ('smollm2.zarr', 'smollm2.zarr')
    """
    if isinstance(path, LocalPlace | RemotePlace):
        return path
    text = str(path)
    if text.startswith("file:"):
        return LocalPlace(Path("/" + text.removeprefix("file:").lstrip("/")))
    return RemotePlace(text) if is_remote(text) else LocalPlace(Path(path))
