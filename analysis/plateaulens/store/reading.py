"""Opening a finished or growing store for reading: lazily, without dask, and only if it is what the caller expects."""

from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from plateaulens.errors import UsageError
from plateaulens.store.location import local
from plateaulens.store.schema import RUN_KIND, SCHEMA_VERSION, SUMMARY_KIND


def open_run(path: str | Path) -> xr.DataTree:
    """The run at `path`, every variable lazy and every coordinate in memory; unwritten values are NaN, -1 or False.

    Raises `UsageError` when the path does not exist, is not a zarr store, is not a run, or has a newer schema.
    """
    return _open(path, RUN_KIND, "run `plateaulens collect` first")


def open_summary(path: str | Path) -> xr.DataTree:
    """The summary at `path`, every variable lazy and every coordinate in memory.

    Raises `UsageError` when the path does not exist, is not a zarr store, is not a summary, or has a newer schema.
    """
    return _open(path, SUMMARY_KIND, "run `plateaulens analyze` first")


def root_attributes(path: str | Path) -> dict[str, Any]:
    """The root attributes of the zarr store at `path`. Raises `UsageError` when there is no readable store."""
    store = local(path)
    if not store.exists():
        raise UsageError(f"{path} does not exist")
    try:
        return dict(zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False).attrs)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is not a readable zarr v3 store: {error}") from None


def check_kind(path: str | Path, kind: str) -> dict[str, Any]:
    """The root attributes of a store of that kind. Raises `UsageError` for another kind or a newer schema."""
    attributes = root_attributes(path)
    if attributes.get("kind") != kind:
        raise UsageError(f"{path} is not a {kind}: its `kind` is {attributes.get('kind')!r}")
    version = attributes.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema version {version!r}, but only up to {SCHEMA_VERSION} is known: update plateaulens"
        )
    return attributes


def _open(path: str | Path, kind: str, remedy: str) -> xr.DataTree:
    if not local(path).exists():
        raise UsageError(f"no {kind} at {path}: {remedy}")
    check_kind(path, kind)
    try:
        return xr.open_datatree(local(path), engine="zarr", consolidated=False, chunks=None)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is damaged ({error}): see `plateaulens verify`") from error
