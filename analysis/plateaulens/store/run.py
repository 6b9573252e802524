"""One run being written: created whole and empty, filled block by block, continued after any interruption.

A store that exists is complete in shape: it is built beside its path and renamed into place. zarr replaces a chunk's
file at once, and `completed` follows everything else of its block, so that a process killed at any moment leaves
nothing behind that counts as measured and is not. Blocks hold the same bytes whoever writes them: a continued run
equals an uninterrupted one in every file but /provenance. (A power failure is another matter, for nothing is flushed
to the disk; `verify` finds what it tore.)
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from plateaulens.errors import UsageError
from plateaulens.store.identity import Attributes, differences, resume_differences
from plateaulens.store.location import local
from plateaulens.store.lock import WriterLock
from plateaulens.store.reading import check_kind
from plateaulens.store.region import Values, check_region, check_values
from plateaulens.store.schema import COMPLETED, RUN_ATTRIBUTES, RUN_KIND, SCHEMA_VERSION, GroupSpec, RunSpec
from plateaulens.store.template import write_template

_LEFTOVER = re.compile(r"\.[0-9a-f]{32}\.partial$")
"""How zarr's LocalStore names the file that it writes before it renames it."""


class RunStore:
    """A run open for writing by this process alone; a context manager. To read a run, `open_run` needs no lock."""

    def __init__(
        self, path: Path, spec: RunSpec, attributes: Attributes, lock: WriterLock, session: Attributes
    ) -> None:
        self.path = path
        self.spec = spec
        self.attributes = attributes
        self._lock = lock
        self._root = zarr.open_group(path, mode="r+", use_consolidated=False)
        self._earlier_sessions = json.loads(str(self._root["provenance"].attrs["sessions"]))
        self._session: dict[str, Any] = {"started": _now(), "seconds": 0.0, "blocks": 0, **session}

    @classmethod
    def create(cls, path: str | Path, spec: RunSpec, attrs: Attributes, prompts: Values) -> Self:
        """Make the whole run, with its prompts and nothing else in it, and open it.

        `attrs` has exactly the keys of `RUN_ATTRIBUTES`; `prompts` has `token` (sample, position) int32 and `text`
        (sample) as NumPy's StringDType. Raises `UsageError` when something is at `path` or another process is writing
        there, `ValueError` for attributes or prompts that do not fit.
        """
        _check_attributes(attrs)
        place = local(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(place)
        try:
            attributes = {"kind": RUN_KIND, "schema_version": SCHEMA_VERSION, **attrs, "layout": spec.to_json()}
            _build(place, spec, attributes, prompts)
            return cls(place, spec, attributes, lock, _software(attrs))
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: str | Path, software: Attributes | None = None) -> Self:
        """Open a run to go on writing; removes what a killed writer left half-written.

        `software` (attributes of which `versions` and `commit` are used) describes this session in /provenance.
        Raises `UsageError` when there is no run at `path`, it cannot be read, or another process is writing it.
        """
        place = local(path)
        attributes = check_kind(path, RUN_KIND)
        lock = WriterLock(place)
        try:
            spec = RunSpec.from_json(str(attributes.get("layout")))
            for file in place.rglob("*.partial"):
                if _LEFTOVER.search(file.name):
                    file.unlink()
            return cls(place, spec, attributes, lock, _software(software or {}))
        except (OSError, ValueError, KeyError) as error:
            lock.release()
            raise UsageError(f"{path} cannot be opened for writing ({error}): see `plateaulens verify`") from error
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Let another writer in."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def blocks(self, group: str) -> tuple[slice, ...]:
        """The sample ranges that are written at once, in order."""
        return self._layout(group).blocks

    def pending(self, group: str) -> tuple[slice, ...]:
        """The blocks of `activations` or an experiment that are not completed, in order.

        Raises `UsageError` when what says so is damaged.
        """
        completed = self._completed(group, slice(None))
        return tuple(block for block in self.blocks(group) if not completed[..., block].all())

    def read(self, group: str, samples: slice) -> xr.Dataset:
        """A range of samples of a group, in memory, coordinates included; fill values where nothing is written yet.

        Raises `UsageError` when the group is damaged.
        """
        self._layout(group)
        with self._blaming(group):
            dataset: xr.Dataset = xr.open_zarr(self.path, group=group, consolidated=False, chunks=None)
            return dataset.isel(sample=samples).load()

    def write(self, group: str, samples: slice, values: Values) -> None:
        """Write a range of whole blocks, then mark it completed.

        `values` has every variable of the group but `completed`, with the dimensions and the dtype of the schema;
        `sample` has the length of the range. Raises `ValueError` that says what is wrong: a range that cuts a chunk
        or is completed already, unknown or missing variables, a wrong shape or dtype, a value that is not finite, a
        curve that does not start at 0.
        """
        assert self._lock.held, "the store is closed"
        layout = self._layout(group)
        check_region(group, layout, samples)
        check_values(group, layout, samples, values)
        if self._completed(group, samples).any():
            raise ValueError(f"{group}: samples {samples.start} to {samples.stop} are completed: write pending() only")
        _write_region(self.path, group, layout, samples, values)
        mark = np.ones(layout.shape(layout[COMPLETED], samples), dtype=np.bool_)
        _write_region(self.path, group, layout, samples, {COMPLETED: mark})

    def record_session(self, seconds: float, blocks: int = 1) -> None:
        """Add the wall-clock time of work done to this session's entry in /provenance, replacing it at once."""
        self._session["seconds"] = round(self._session["seconds"] + seconds, 3)
        self._session["blocks"] += blocks
        sessions = json.dumps([*self._earlier_sessions, self._session])
        self._root["provenance"].update_attributes({"sessions": sessions})

    def _layout(self, group: str) -> GroupSpec:
        if group not in self.spec.groups:
            raise ValueError(f"{self.path} has no group {group!r}: it has {', '.join(self.spec.groups)}")
        return self.spec.groups[group]

    def _completed(self, group: str, samples: slice) -> NDArray[np.bool_]:
        if not self._layout(group).has_completed:
            raise ValueError(f"{self.path}: {group} is written whole when the run is created")
        with self._blaming(group):
            array = self._root[f"{group}/{COMPLETED}"]
            assert isinstance(array, zarr.Array)
            return np.asarray(array[..., samples], dtype=np.bool_)

    @contextmanager
    def _blaming(self, group: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{self.path}: {group} is damaged ({error}): see `plateaulens verify`") from error


def open_or_create(path: str | Path, spec: RunSpec, attrs: Attributes, prompts: Values) -> RunStore:
    """Continue the run at `path`, or create it when there is nothing.

    Raises `UsageError` when the stored run is another one, naming every key that differs with both values.
    """
    _check_attributes(attrs)
    if not local(path).exists():
        return RunStore.create(path, spec, attrs, prompts)
    store = RunStore.open(path, software=attrs)
    try:
        _check_same_run(store, spec, attrs, prompts)
    except BaseException:
        store.close()
        raise
    return store


def _check_same_run(store: RunStore, spec: RunSpec, attrs: Attributes, prompts: Values) -> None:
    try:
        found = resume_differences(store.attributes, {"schema_version": SCHEMA_VERSION, **attrs})
    except ValueError as error:
        raise UsageError(f"{store.path}: root attributes are damaged ({error}): see `plateaulens verify`") from error
    found = found or differences(asdict(store.spec), asdict(spec), "asked", "layout.")
    if not found:
        stored = store.read("prompts", slice(None))
        found = [f"prompts.{name} differs" for name, values in prompts.items() if not (stored[name] == values).all()]
    if found:
        raise UsageError(
            f"{store.path} cannot be continued with other settings; use another name, or its own: {'; '.join(found)}"
        )


def _check_attributes(attrs: Attributes) -> None:
    if sorted(attrs) != sorted(RUN_ATTRIBUTES):
        raise ValueError(f"attributes {sorted(attrs)} instead of {sorted(RUN_ATTRIBUTES)}")


def _build(place: Path, spec: RunSpec, attributes: dict[str, str | int], prompts: Values) -> None:
    if place.exists():
        raise UsageError(f"{place} exists: choose another name, or remove it first")
    building = place.with_name(place.name + ".partial")
    shutil.rmtree(building, ignore_errors=True)
    layout = spec.groups["prompts"]
    everything = slice(0, spec.samples)
    check_values("prompts", layout, everything, prompts)
    write_template(LocalStore(building), spec, attributes, {"created": _now(), "sessions": "[]"})
    _write_region(building, "prompts", layout, everything, prompts)
    building.rename(place)


def _write_region(place: Path, group: str, layout: GroupSpec, samples: slice, values: Values) -> None:
    variables = {name: (layout[name].dims, array) for name, array in values.items()}
    # A chunk that holds nothing but fill values is written too: a completed block has all its files.
    xr.Dataset(variables).to_zarr(
        place, group=group, region={"sample": samples}, mode="r+", consolidated=False, write_empty_chunks=True
    )


def _software(attributes: Attributes) -> dict[str, str | int]:
    return {key: attributes[key] for key in ("versions", "commit") if key in attributes}


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
