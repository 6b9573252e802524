"""One run being written: created whole and empty, filled span by span, continued after any interruption.

A store that exists is complete in shape (see `plateaulens.store.local` and `plateaulens.store.remote`), and each of its
spans is whole or counts as absent (see `plateaulens.store.spans`). A continued run therefore equals an uninterrupted
one in every file but those of /provenance. (A power failure is another matter, for nothing is flushed to the disk;
`plateaulens.store.verify` finds what it tore.)
"""

import json
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import zarr
from pydantic import TypeAdapter

from plateaulens.errors import UsageError, reading
from plateaulens.store import integrity
from plateaulens.store.identity import LEARNED, Attributes, differences, likely_tokens, resume_differences
from plateaulens.store.inside import METADATA
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
        self._earlier_sessions = TypeAdapter(list[Any]).validate_json(str(self._root["provenance"].attrs["sessions"]))
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
            When there is no run at `path`, it cannot be read, another process is writing it, or folders of it are
            symbolic links.
        """
        place = locate(path)
        attributes = check_kind(place, RUN_KIND)
        lock = place.lock()
        try:
            with reading(f"{path} cannot be opened for writing", "see `plateaulens verify`"):
                spec = RunSpec.from_json(str(attributes.get("layout")))
                place.check_own()
                place.tidy()
                integrity.check_metadata(place, attributes["schema_version"])
                return cls(place, spec, attributes, lock, _software(software or {}))
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
        with self._noticing_removal("provenance"):
            self._root["provenance"].update_attributes({"sessions": sessions})

    def seal(self) -> None:
        """Note in /provenance, when the run is complete, what all its digests are; nothing happens before.

        Raises
        ------
        UsageError
            When another writer has taken over, what says which spans are completed is damaged, or files of a complete
            run are missing, since somebody has removed them meanwhile.
        """
        self._lock.check()
        if any(self.pending(name) for name, layout in self.spec.groups.items() if layout.has_completed):
            return
        if gone := sorted(self._expected() - self.place.files()):
            raise UsageError(
                f"{self.place} lacks {len(gone)} of its files, {gone[0]} among them, which were removed while it was "
                "being written: run `plateaulens verify --repair`, then `collect`"
            )
        if integrity.GROUP in self._root:
            group = self._root[integrity.GROUP]
            assert isinstance(group, zarr.Group)
            self._root["provenance"].update_attributes({integrity.SEAL: integrity.seal(group)})

    def _expected(self) -> set[str]:
        """The files that make a complete run, but for coordinates of one of schema 1."""
        nodes = {"provenance", *self.spec.groups}
        chunks = set()
        for name, layout in self.spec.groups.items():
            for variable in layout.variables:
                nodes.add(f"{name}/{variable.name}")
                chunks |= {f"{name}/{variable.name}/{layout.chunk_key(variable, span)}" for span in layout.spans}
        if int(self.attributes["schema_version"]) >= integrity.SINCE:
            nodes.add(integrity.GROUP)
            for name, layout in self.spec.groups.items():
                if layout.has_completed:
                    nodes.add(f"{integrity.GROUP}/{name}")
                    chunks |= {f"{integrity.GROUP}/{name}/c/{number}/0/0" for number in range(len(layout.spans))}
            whole = self._root[integrity.GROUP].attrs.get(integrity.FILES) if integrity.GROUP in self._root else None
            chunks |= set(map(str, whole)) if isinstance(whole, dict) else set()
        return {METADATA, *(f"{node}/{METADATA}" for node in nodes), *chunks}


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
    with reading(f"{store.place}: root attributes are damaged", "see `plateaulens verify`"):
        found = resume_differences(store.attributes, attrs, drawn=not store.pending("activations"))
    # a run from before it was written down what targets are mixed of goes on without it
    asked = spec if store.spec.mixed else replace(spec, mixed=0)
    if not store.spec.encoded:  # nor one from before the SAE's view of targets was
        asked = replace(asked, encoded=False)
    if likely_tokens(attrs) == "auto":  # nobody minds how many tokens there are
        asked = replace(asked, likely=store.spec.likely)
    found = found or differences(asdict(store.spec), asdict(asked), "asked", "layout.")
    if not found:
        stored = store.read("prompts", slice(None))
        found = [f"prompts.{name} differs" for name, values in prompts.items() if not (stored[name] == values).all()]
    if found and all(each.startswith(f"identity.{LEARNED}.") for each in found):
        raise UsageError(
            f"{store.place} has targets that are not drawn yet, and types have learned other numbers here than where "
            f"it was begun: continue it there, with as many threads (OMP_NUM_THREADS), or begin anew: "
            f"{'; '.join(found)}"
        )
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
