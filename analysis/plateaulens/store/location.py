"""The one place that knows what a store's `path` may be: a local path so far; URLs would come in here."""

from pathlib import Path

from plateaulens.errors import UsageError


def local(path: str | Path) -> Path:
    """The local path of a store. Raises `UsageError` for a URL.

    >>> local("data/runs/smollm2.zarr").name
    'smollm2.zarr'
    """
    if "://" in str(path):
        raise UsageError(f"{path} is a URL, and stores are read and written on local paths only: copy it first")
    return Path(path)
