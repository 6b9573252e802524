"""Opening a finished or growing store for reading: lazily, without dask, and only if it is what the caller expects.

Walking through the base prompts of a run in pieces that fit in memory.
"""

from collections.abc import Iterator
from typing import Any

import xarray as xr
import zarr

from plateaulens.errors import UsageError
from plateaulens.store.location import Location, locate
from plateaulens.store.schema import RUN_KIND, SCHEMA_VERSION, SUMMARY_KIND, SWEEP_SUMMARY_KIND, RunSpec


def open_run(path: Location) -> xr.DataTree:
    """The run at `path`, every variable lazy and every coordinate in memory; unwritten values are NaN, -1 or False.

    Raises `UsageError` when the path does not exist, is not a zarr store, is not a run, or has a newer schema.
    """
    return _open(path, RUN_KIND, "run `plateaulens collect` first")


def open_summary(path: Location) -> xr.DataTree:
    """The summary at `path`, every variable lazy and every coordinate in memory.

    Raises `UsageError` when the path does not exist, is not a zarr store, is not a summary, or has a newer schema.
    """
    return _open(path, SUMMARY_KIND, "run `plateaulens analyze` first")


def open_sweep_summary(path: Location) -> xr.DataTree:
    """The summary of a sweep at `path`, as `open_summary` opens that of a run.

    Raises `UsageError` when the path does not exist, is not a zarr store, is not a sweep's, or has a newer schema.
    """
    return _open(path, SWEEP_SUMMARY_KIND, "run `plateaulens analyze` on a sweep first")


def root_attributes(path: Location) -> dict[str, Any]:
    """The root attributes of the zarr store at `path`. Raises `UsageError` when there is no readable store."""
    place = locate(path)
    if not place.exists():
        raise UsageError(f"{path} does not exist")
    try:
        return dict(zarr.open_group(place.open(read_only=True), mode="r", zarr_format=3, use_consolidated=False).attrs)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is not a readable zarr v3 store: {error}") from None


def check_kind(path: Location, kind: str) -> dict[str, Any]:
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


def experiment_names(run: xr.DataTree) -> tuple[str, ...]:
    """The experiments that an open run says it has, in its own order.

    Raises `UsageError` when what says so is damaged.
    """
    try:
        return tuple(each.name for each in RunSpec.from_json(str(run.attrs.get("layout"))).experiments)
    except ValueError as error:
        raise UsageError(f"the run's attribute layout is damaged ({error}): see `plateaulens verify`") from None


def _open(path: Location, kind: str, remedy: str) -> xr.DataTree:
    place = locate(path)
    if not place.exists():
        raise UsageError(f"no {kind} at {path}: {remedy}")
    check_kind(place, kind)
    try:
        store: Any = place.open(read_only=True)  # xarray's annotations leave zarr's stores out
        return xr.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is damaged ({error}): see `plateaulens verify`") from error


SAMPLES_PER_SPAN = 512
"""With nine activation types, three metrics and 101 steps, a span of curves is 11 MB in double precision."""


def sample_spans(samples: int, size: int = SAMPLES_PER_SPAN) -> Iterator[slice]:
    """Consecutive ranges that together cover `samples` base prompts, each of at most `size`.

    >>> list(sample_spans(5, size=2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return (slice(start, min(start + size, samples)) for start in range(0, samples, size))
