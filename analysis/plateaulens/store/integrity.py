"""What every file of a store is meant to hold: digests beside the data, written as the data is.

A chunk's own checksum finds a damaged byte; it does not know which chunk it is, and metadata has none. The group
`/integrity` says both. Its attribute `sha256` names every file that is written whole when the store is made (metadata,
coordinates, prompts; of a summary, everything). Of a run it has one array for each group that is filled span by span,
with the SHA-256 of each chunk of a span, all zeros where the span is not written yet: a span's digests are written
after its values and before it counts as completed. `/provenance` changes with every session, and has none; when the run
is complete, it gets a digest of all digests, the seal.

A store that is open for reading asks for them, file by file, as files are read (`Checked`), so that values are those
that were written or an error that names the chunk.

This finds accidents: whoever can write the store can write its digests, too.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Self

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import TypeAdapter
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import WrapperStore

from plateaulens.errors import UsageError, reading
from plateaulens.store.inside import METADATA
from plateaulens.store.location import Place
from plateaulens.store.schema import COMPLETED, GroupSpec, RunSpec
from plateaulens.store.template import COMPRESSORS

GROUP = "integrity"
FILES = "sha256"
"""The attribute that has the digests of files by name."""
SEAL = "seal"
"""The attribute of `/provenance` that has the digest of all digests of a complete run."""
SIZE = 32
"""Bytes of a digest."""
SINCE = 2
"""The schema version from which on stores have digests."""
_WITHOUT = (f"{GROUP}/", "provenance/")


def digested(layout: GroupSpec) -> tuple[str, ...]:
    """The variables of a group whose chunks have a digest, in the order of the array's dimension `file`.

    Parameters
    ----------
    layout
        A group that is filled span by span.

    Returns
    -------
    tuple of str
        All but `completed`, whose content is known.
    """
    return tuple(variable.name for variable in layout.variables if variable.name != COMPLETED)


def write_template(store: Store, spec: RunSpec) -> None:
    """Lay down the empty digests of a run.

    Parameters
    ----------
    store
        Of the run, with its root group.
    spec
        The run's extent.
    """
    group = zarr.open_group(store, mode="r+", use_consolidated=False).create_group(GROUP)
    for name, layout in spec.groups.items():
        if layout.has_completed:
            shape = (len(layout.spans), len(digested(layout)), SIZE)
            group.create_array(
                name,
                shape=shape,
                chunks=(1, *shape[1:]),
                dtype="uint8",
                fill_value=0,
                compressors=COMPRESSORS,
                dimension_names=(f"span_{name}", f"file_{name}", "byte"),  # xarray reads them as one data set
                attributes={"long_name": "SHA-256 of each variable's chunk", "units": "1", "files": digested(layout)},
            )


def write_span(store: Store, root: zarr.Group, name: str, layout: GroupSpec, samples: slice) -> None:
    """Note what the chunks of a span hold that has just been written.

    Parameters
    ----------
    store
        Of the run.
    root
        Its root group, open for writing. A run without digests, of an earlier schema, stays without.
    name
        The group's name.
    layout
        The group.
    samples
        The span.
    """
    if GROUP not in root:
        return
    array = root[f"{GROUP}/{name}"]
    assert isinstance(array, zarr.Array)
    found = [
        _digest(_read(store, f"{name}/{one}/{layout.chunk_key(layout[one], samples)}")) for one in digested(layout)
    ]
    array[layout.spans.index(samples)] = np.stack(found)


def write_files(store: Store, attributes: Mapping[str, object] | None = None) -> None:
    """Note what every file of a store holds that is there now, but for those that change.

    Parameters
    ----------
    store
        A store that has just been made.
    attributes
        More attributes of the group `/integrity`.
    """
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    group = root.require_group(GROUP)
    names = sorted({METADATA, *sync(_listed(store))})
    digests = {name: sha256(_read(store, name)).hexdigest() for name in names if not name.startswith(_WITHOUT)}
    group.update_attributes({FILES: digests, **(attributes or {})})


def check_metadata(place: Place, version: object, *, only_root: bool = False) -> None:
    """Refuse a store whose metadata is not what was written: under another layout its chunks are other values.

    Parameters
    ----------
    place
        Where the store is.
    version
        Its schema version. One of schema 1 has no digests, and passes.
    only_root
        Whether only that of the root is looked at, which says what a run holds.

    Raises
    ------
    UsageError
        Names the first file that is missing, or not as it was written; for a store that has lost its digests, too.
    """
    if not place.has(f"{GROUP}/{METADATA}"):
        if isinstance(version, int) and version < SINCE:
            return
        raise UsageError(
            f"{place} is damaged ({GROUP}/{METADATA} is missing, so that exchanged or changed files would not show): "
            "put it back from a copy, or make the store again under another name"
        )
    with reading(f"{place}: {GROUP} is damaged", f"see `plateaulens verify {place}`"):
        attributes = json.loads(place.read(f"{GROUP}/{METADATA}"))["attributes"]
        digests = TypeAdapter(dict[str, str]).validate_python(attributes[FILES])
        names = sorted(name for name in digests if name.endswith(METADATA) and not (only_root and name != METADATA))
        if METADATA not in digests:
            raise ValueError(f"no digest of {METADATA}")
    found = place.read_all(names)
    for name in names:
        if name not in found or sha256(found[name]).hexdigest() != digests[name]:
            what = "not what was written there" if name in found else "missing"
            damaged = f"{place}: root attributes are damaged" if name == METADATA else f"{place} is damaged"
            raise UsageError(f"{damaged} ({name} is {what}): put it back from a copy, or see `plateaulens verify`")


def seal(group: zarr.Group) -> str:
    """The digest of all digests of a run.

    Parameters
    ----------
    group
        `/integrity`.

    Returns
    -------
    str
        A SHA-256 as a hex string.
    """
    whole = sha256(json.dumps(group.attrs.get(FILES), sort_keys=True).encode())
    for name, array in sorted(group.arrays()):
        whole.update(name.encode() + np.asarray(array[...]).tobytes())
    return whole.hexdigest()


class Checked(WrapperStore[Store]):
    """A store that gives out a file only as it was written.

    Parameters
    ----------
    store
        What is wrapped.
    digests
        What its files are meant to hold.
    """

    def __init__(self, store: Store, digests: "Digests") -> None:
        super().__init__(store)
        self._digests = digests

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._digests)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The content of a file.

        Parameters
        ----------
        key
            Its name.
        prototype, byte_range
            As zarr has them.

        Returns
        -------
        Buffer or None
            None for one that is not there, and is not meant to be.

        Raises
        ------
        UsageError
            For one that is missing or not what was written there.
        """
        content = await super().get(key, prototype, byte_range)
        if byte_range is None and (promised := await self._digests.of(key)) is not None:
            if content is None:
                raise UsageError(f"{self._digests.place}: {key} is missing: {self._digests.remedy(key)}")
            if sha256(content.to_bytes()).digest() != promised:
                raise UsageError(f"{self._digests.place}: {key} is damaged or changed: {self._digests.remedy(key)}")
        return content


class Digests:
    """What the files of a store are meant to hold, looked up one by one.

    Parameters
    ----------
    store
        The store's bytes.
    place
        What the store is called in messages.
    spec
        The run's extent; None for another store.
    """

    def __init__(self, store: Store, place: str, spec: RunSpec | None) -> None:
        self.place = place
        self._spec = spec
        root = zarr.open_group(store, mode="r", use_consolidated=False)
        group = root.get(GROUP)
        files = group.attrs.get(FILES) if isinstance(group, zarr.Group) else None
        self._files = files if isinstance(files, dict) else {}
        self._arrays = (
            {name: array.async_array for name, array in group.arrays()} if isinstance(group, zarr.Group) else {}
        )
        self._spans: dict[tuple[str, int], NDArray[np.uint8]] = {}
        """The digests of the spans that were asked for and are written."""

    async def of(self, key: str) -> bytes | None:
        """The digest of a file.

        Parameters
        ----------
        key
            Its name, relative to the store.

        Returns
        -------
        bytes or None
            None where nobody says what it is meant to hold: a span that is not written, what changes, a store of
            schema 1, and where the digest itself is damaged.
        """
        if key in self._files:
            with suppress(ValueError, TypeError):
                return bytes.fromhex(self._files[key])
        place = self._placed(key)
        if place is None:
            return None
        name, span, file = place
        try:
            row = (await self._of_span(name, span))[file]
        except (ValueError, IndexError, RuntimeError):  # `verify` says so
            return None
        return row.tobytes() if row.any() else None

    async def _of_span(self, name: str, span: int) -> NDArray[np.uint8]:
        """The digests of a span, (file, byte), read once for all of its files."""
        if (name, span) in self._spans:
            return self._spans[name, span]
        rows = np.asarray(await self._arrays[name].getitem((span,)))
        if rows.any():  # else it may still be written
            self._spans[name, span] = rows
        return rows

    def remedy(self, key: str) -> str:
        """What to do about a file.

        Parameters
        ----------
        key
            Its name, relative to the store.

        Returns
        -------
        str
            Words.
        """
        if self._spec is None:
            return "make the summary again with `plateaulens analyze`"
        if key in self._files:
            return "see `plateaulens verify`; it cannot be mended, so collect the run again under another name"
        return f"run `plateaulens verify {self.place} --repair`, then `plateaulens collect`"

    def _placed(self, key: str) -> tuple[str, int, int] | None:
        """Where the digest of a chunk of a span is: the group, the span's number and the variable's."""
        name, _, rest = key.partition("/")
        variable, _, chunk = rest.partition("/c/")
        layout = None if self._spec is None or name not in self._arrays else self._spec.groups.get(name)
        if layout is None or not layout.has_completed or variable not in digested(layout):
            return None
        number = int(chunk.split("/")[layout[variable].dims.index("sample")])
        return name, number, digested(layout).index(variable)


def _digest(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(sha256(content).digest(), dtype=np.uint8)


def _read(store: Store, name: str) -> bytes:
    content = sync(store.get(name, default_buffer_prototype()))
    if content is None:
        raise UsageError(f"{name} has just been written and is gone: somebody else removes files of this store")
    return content.to_bytes()


async def _listed(store: Store) -> list[str]:
    found: AsyncIterator[str] = store.list()
    return [name async for name in found]
