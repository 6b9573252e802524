"""What a store's path may be: a local path, or any URL that fsspec has a driver for (`s3://bucket/runs/name.zarr`)."""

from pathlib import Path

from plateaulens.store.local import LocalPlace
from plateaulens.store.remote import RemotePlace, is_remote

Place = LocalPlace | RemotePlace
"""Where a store is, or will be: both kinds have the same methods, and leave the same tree behind."""

Location = str | Path | LocalPlace | RemotePlace


def locate(path: Location) -> Place:
    """The place that a path or a URL names; `file:` URLs are local paths.

    Raises `UsageError` for a URL whose driver is unknown or not installed. Nothing is touched yet.

    >>> locate("data/runs/smollm2.zarr").name, locate("memory://runs/smollm2.zarr").name
    ('smollm2.zarr', 'smollm2.zarr')
    """
    if isinstance(path, LocalPlace | RemotePlace):
        return path
    text = str(path)
    if text.startswith("file:"):
        return LocalPlace(Path("/" + text.removeprefix("file:").lstrip("/")))
    return RemotePlace(text) if is_remote(text) else LocalPlace(Path(path))
