"""One run being written: created whole and empty, filled span by span, continued after any interruption.

A store that exists is complete in shape (see `plateaulens.store.local` and `plateaulens.store.remote`), and each of its
spans is whole or counts as absent (see `plateaulens.store.spans`). A continued run therefore equals an uninterrupted
one in every file but those of /provenance. (A power failure is another matter, for nothing is flushed to the disk;
`plateaulens.store.verify` finds what it tore.)
"""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import zarr

from plateaulens.errors import UsageError
from plateaulens.store import integrity
from plateaulens.store.identity import Attributes, differences, resume_differences
from plateaulens.store.location import Location, Place, locate
from plateaulens.store.reading import check_kind
from plateaulens.store.schema import RUN_ATTRIBUTES, RUN_KIND, SCHEMA_VERSION, RunSpec
from plateaulens.store.spans import SpanStore, Values, check_values, write_region
from plateaulens.store.template import write_template


class Lock(Protocol):
    """What keeps other writers out, from its making until it is released."""

    def check(self) -> None:
        """Do nothing as long as the lock is held.

        Raises
        ------
        UsageError
            When another writer has taken over.
        """
        ...

    def release(self) -> None:
        """Let the next writer in; nothing happens the second time."""
        ...


class RunStore(SpanStore):
    """A run open for writing by this process, or by workers that it shares spans out to; a context manager.

    Made by `create` and `open`. To read a run, `plateaulens.store.reading.open_run` needs no lock.

    Parameters
    ----------
    place
        Where the run is.
    spec
        Its extent.
    attributes
        Its root attributes.
    lock
        Held until the run is closed.
    session
        What this session's entry in /provenance says beside its beginning and the work that was done.
    """

    def __init__(self, place: Place, spec: RunSpec, attributes: Attributes, lock: Lock, session: Attributes) -> None:
        super().__init__(place, spec)
        self.attributes = attributes
        self._lock = lock
        self._earlier_sessions = json.loads(str(self._root["provenance"].attrs["sessions"]))
        self._session: dict[str, Any] = {"started": _now(), "seconds": 0.0, "spans": 0, **session}

    @classmethod
    def create(cls, path: Location, spec: RunSpec, attrs: Attributes, prompts: Values) -> Self:
        """Make the whole run, with its prompts and nothing else in it, and open it.

        Parameters
        ----------
        path
            Where the run will be.
        spec
            Its extent.
        attrs
            What the run says about itself, with exactly the keys of `RUN_ATTRIBUTES`.
        prompts
            `token` (sample, position), int32, and `text` (sample,), NumPy's StringDType.

        Returns
        -------
        RunStore
            To be closed.

        Raises
        ------
        UsageError
            When something is at `path`, or another process is writing there.
        ValueError
            For attributes or prompts that do not fit.
        """
        _check_attributes(attrs)
        check_values("prompts", spec.groups["prompts"], slice(0, spec.samples), prompts)
        place = locate(path)
        lock = place.lock()
        try:
            attributes = {"kind": RUN_KIND, "schema_version": SCHEMA_VERSION, **attrs, "layout": spec.to_json()}
            _build(place, spec, attributes, prompts)
            return cls(place, spec, attributes, lock, _software(attrs))
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: Location, software: Attributes | None = None) -> Self:
        """Open a run to go on writing; removes what a killed writer left half-written.

        Parameters
        ----------
        path
            Where the run is.
        software
            Attributes of which `versions` and `commit` describe this session in /provenance.

        Returns
        -------
        RunStore
            To be closed.

        Raises
        ------
        UsageError
            When there is no run at `path`, it cannot be read, or another process is writing it.
        """
        place = locate(path)
        attributes = check_kind(place, RUN_KIND)
        lock = place.lock()
        try:
            spec = RunSpec.from_json(str(attributes.get("layout")))
            place.tidy()
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

    def write(self, group: str, samples: slice, values: Values) -> None:
        """Write a range of whole spans as `SpanStore.write` does, and none twice.

        Parameters
        ----------
        group
            `activations` or an experiment.
        samples
            Whole spans that follow each other.
        values
            As `SpanStore.write` takes them.

        Raises
        ------
        ValueError
            When a sample of the range is completed already, and as `SpanStore.write` does.
        UsageError
            When another writer has taken over, or what says which samples are completed is damaged.
        """
        self._lock.check()
        if self._completed(group, samples).any():
            raise ValueError(f"{group}: samples {samples.start} to {samples.stop} are completed: write pending() only")
        super().write(group, samples, values)

    def record_session(self, seconds: float, spans: int = 1) -> None:
        """Add work that was done to this session's entry in /provenance, replacing it at once.

        Parameters
        ----------
        seconds
            Wall-clock time of the process that did the work; times of several processes are added up.
        spans
            How many spans were written in it.

        Raises
        ------
        UsageError
            When another writer has taken over.
        """
        self._lock.check()
        self._session["seconds"] = round(self._session["seconds"] + seconds, 3)
        self._session["spans"] += spans
        sessions = json.dumps([*self._earlier_sessions, self._session])
        self._root["provenance"].update_attributes({"sessions": sessions})

    def seal(self) -> None:
        """Note in /provenance, when the run is complete, what all its digests are; nothing happens before.

        Raises
        ------
        UsageError
            When another writer has taken over, or what says which spans are completed is damaged.
        """
        self._lock.check()
        fillable = (name for name, layout in self.spec.groups.items() if layout.has_completed)
        if integrity.GROUP in self._root and not any(self.pending(name) for name in fillable):
            group = self._root[integrity.GROUP]
            assert isinstance(group, zarr.Group)
            self._root["provenance"].update_attributes({integrity.SEAL: integrity.seal(group)})


def open_or_create(path: Location, spec: RunSpec, attrs: Attributes, prompts: Values) -> RunStore:
    """Continue the run at `path`, or create it when there is nothing.

    Parameters
    ----------
    path, spec, attrs, prompts
        As `RunStore.create` takes them.

    Returns
    -------
    RunStore
        To be closed.

    Raises
    ------
    UsageError
        When the stored run is another one, naming every key that differs with both values; when it is damaged; and as
        `RunStore.create` and `RunStore.open` do.
    ValueError
        For attributes that do not fit, and for prompts of a new run that do not.
    """
    _check_attributes(attrs)
    place = locate(path)
    if not place.exists():
        return RunStore.create(place, spec, attrs, prompts)
    store = RunStore.open(place, software=attrs)
    try:
        _check_same_run(store, spec, attrs, prompts)
    except BaseException:
        store.close()
        raise
    return store


def _check_same_run(store: RunStore, spec: RunSpec, attrs: Attributes, prompts: Values) -> None:
    try:
        found = resume_differences(store.attributes, attrs)
    except ValueError as error:
        raise UsageError(f"{store.place}: root attributes are damaged ({error}): see `plateaulens verify`") from error
    found = found or differences(asdict(store.spec), asdict(spec), "asked", "layout.")
    if not found:
        stored = store.read("prompts", slice(None))
        found = [f"prompts.{name} differs" for name, values in prompts.items() if not (stored[name] == values).all()]
    if found:
        raise UsageError(
            f"{store.place} cannot be continued with other settings; use another name, or its own: {'; '.join(found)}"
        )


def _check_attributes(attrs: Attributes) -> None:
    if sorted(attrs) != sorted(RUN_ATTRIBUTES):
        raise ValueError(f"attributes {sorted(attrs)} instead of {sorted(RUN_ATTRIBUTES)}")


def _build(place: Place, spec: RunSpec, attributes: dict[str, str | int], prompts: Values) -> None:
    with place.create() as store:
        write_template(store, spec, attributes, {"created": _now(), "sessions": "[]"})
        integrity.write_template(store, spec)
        write_region(store, "prompts", spec.groups["prompts"], slice(0, spec.samples), prompts)
        integrity.write_files(store)


def _software(attributes: Attributes) -> dict[str, str | int]:
    return {key: attributes[key] for key in ("versions", "commit") if key in attributes}


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
