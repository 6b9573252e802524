"""Finding damage in a run or a summary.

First what the files of a store are: groups, arrays, chunks whose checksum matches, and the rest. Then, of a run,
whether its metadata is what its specification makes it, and its contents what `completed` says.
"""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import MemoryStore

from plateaulens.errors import UsageError
from plateaulens.store.identity import differences
from plateaulens.store.location import Location, Place, locate
from plateaulens.store.remote import METADATA
from plateaulens.store.schema import (
    COMPLETED,
    JSON_ATTRIBUTES,
    RUN_ATTRIBUTES,
    RUN_KIND,
    SCHEMA_VERSION,
    SINCE,
    GroupSpec,
    RunSpec,
    Variable,
)
from plateaulens.store.template import write_template

Node = zarr.Array[Any] | zarr.Group


class Inventory:
    """The files of the store at `place`, every chunk among them read once, one at a time."""

    def __init__(self, place: Place) -> None:
        self.files = place.files()
        self.nodes: dict[str, Node] = {}
        """Groups and arrays by name; the root's is empty."""
        self.unreadable: set[str] = set()
        """The nodes whose metadata is damaged."""
        self.sound: set[str] = set()
        """The files of chunks that decode."""
        self.problems = [*self._open_nodes(place.open(read_only=True)), *self._read_chunks(), *self._strays()]

    def _open_nodes(self, store: Store) -> Iterator[str]:
        for file in sorted(file for file in self.files if PurePosixPath(file).name == METADATA):
            name = file.removesuffix(METADATA).rstrip("/")
            try:
                self.nodes[name] = zarr.open(store, path=name, mode="r", zarr_format=3)
            except Exception as error:  # noqa: BLE001 (zarr raises all sorts of things on damaged metadata)
                self.unreadable.add(name)
                yield f"{name or '/'}: {METADATA} is damaged: {_one_line(error)}"

    def _read_chunks(self) -> Iterator[str]:
        for name, array in self.nodes.items():
            if not isinstance(array, zarr.Array):
                continue
            assert isinstance(array.metadata, ArrayV3Metadata), "only zarr v3 is opened"
            if not isinstance(array.metadata.codecs[-1], Crc32cCodec):
                yield f"{name}: its chunks have no crc32c checksum, so damage would not show"
            for key, region in _chunks(array, array.metadata):
                file = f"{name}/{key}"
                if file in self.files:
                    try:
                        array[region]
                    except Exception as error:  # noqa: BLE001 (under damaged metadata, any codec's own)
                        yield f"{name} chunk {key}: damaged: {_one_line(error)}"
                    else:
                        self.sound.add(file)

    def _strays(self) -> Iterator[str]:
        known = {f"{name}/{METADATA}".lstrip("/") for name in (*self.nodes, *self.unreadable)}
        for name, array in self.nodes.items():
            if isinstance(array, zarr.Array) and isinstance(array.metadata, ArrayV3Metadata):
                known.update(f"{name}/{key}" for key, _ in _chunks(array, array.metadata))
        for file in sorted(self.files - known):
            if not any(file.startswith(f"{name}/") for name in self.unreadable if name):
                yield f"{file}: belongs to nothing; an interrupted write leaves such files, and continuing removes them"


def _chunks(array: zarr.Array[Any], metadata: ArrayV3Metadata) -> Iterator[tuple[str, tuple[slice, ...]]]:
    """The key and the region of every chunk (of every shard, where an array has some)."""
    sizes = array.shards or array.chunks
    counts = (math.ceil(extent / size) for extent, size in zip(array.shape, sizes, strict=True))
    for index in itertools.product(*map(range, counts)):
        region = tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, sizes, strict=True))
        yield metadata.encode_chunk_key(index), region


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def run_problems(inventory: Inventory) -> Iterator[str]:
    """What is wrong with a run beyond what its inventory says already, one line each."""
    root = inventory.nodes[""].attrs
    yield from _attribute_problems(inventory)
    try:
        spec = RunSpec.from_json(str(root.get("layout")))
    except ValueError as error:
        yield f"/: root attribute layout is damaged, the rest is unchecked: {error}"
        return
    yield from _structure_problems(inventory, spec)
    for group, layout in spec.groups.items():
        yield from _GroupContents(inventory, group, layout).problems()


def _attribute_problems(inventory: Inventory) -> Iterator[str]:
    root = inventory.nodes[""].attrs
    version = root.get("schema_version")
    known = version if isinstance(version, int) and 1 <= version <= SCHEMA_VERSION else None
    if known is None:
        yield f"/: root attribute schema_version is {version!r} instead of 1 to {SCHEMA_VERSION}"
    for key in (*RUN_ATTRIBUTES, "layout"):
        if key not in root and (known is None or known >= SINCE.get(key, 1)):
            yield f"/: root attribute {key} is missing"
    texts = {f"/: root attribute {key}": root[key] for key in JSON_ATTRIBUTES if key in root}
    if "provenance" in inventory.nodes:
        texts["provenance: attribute sessions"] = inventory.nodes["provenance"].attrs.get("sessions")
    for place, text in texts.items():
        try:
            json.loads(str(text))
        except json.JSONDecodeError as error:
            yield f"{place} is not JSON: {error}"


def _structure_problems(inventory: Inventory, spec: RunSpec) -> Iterator[str]:
    """How groups and arrays differ from a template of the same specification."""
    store = MemoryStore()
    write_template(store, spec, {}, {})
    template: dict[str, Node] = dict(zarr.open_group(store, mode="r").members(max_depth=None))
    for name, expected in sorted(template.items()):
        node = inventory.nodes.get(name)
        if node is not None and name != "provenance":
            found = differences(node.metadata.to_dict(), expected.metadata.to_dict(), "expected")
            yield from (f"{name}: {problem}" for problem in found)
        elif node is None and name not in inventory.unreadable:
            yield f"{name}: missing"
    for name in sorted(set(inventory.nodes) - set(template) - {""}):
        yield f"{name}: not part of a run"


class _GroupContents:
    """The values of one group, span by span; what has no file or no readable metadata is passed over."""

    def __init__(self, inventory: Inventory, group: str, layout: GroupSpec) -> None:
        self.inventory = inventory
        self.group = group
        self.layout = layout
        self.variables = [variable for variable in layout.variables if self._fits(variable)]

    def problems(self) -> Iterator[str]:
        yield from self._coordinate_problems()
        for span in self.layout.spans:
            completed = self._completed(span)
            if completed is not None:
                for variable in self.variables:
                    yield from self._chunk_problems(variable, span, completed)

    def _coordinate_problems(self) -> Iterator[str]:
        for coordinate in self.layout.coordinates:
            name = f"{self.group}/{coordinate.name}"
            node = self.inventory.nodes.get(name)
            if not isinstance(node, zarr.Array):
                continue
            if f"{name}/c/0" not in self.inventory.files:
                yield f"{name} chunk c/0: missing"
            elif f"{name}/c/0" in self.inventory.sound and not np.array_equal(np.asarray(node[:]), coordinate.values):
                yield f"{name} chunk c/0: values are not those of the schema"

    def _completed(self, span: slice) -> xr.DataArray | None:
        """Which samples of a span are completed; None when damage leaves that open."""
        if not self.layout.has_completed:
            return xr.DataArray(data=True)
        marks = self.layout[COMPLETED]
        file = f"{self.group}/{COMPLETED}/{self._key(marks, span)}"
        damaged = file in self.inventory.files and file not in self.inventory.sound
        return None if damaged or marks not in self.variables else self._values(marks, span)

    def _chunk_problems(self, variable: Variable, span: slice, completed: xr.DataArray) -> Iterator[str]:
        key = self._key(variable, span)
        place, file = f"{self.group}/{variable.name} chunk {key}", f"{self.group}/{variable.name}/{key}"
        if file not in self.inventory.files:
            if completed.any():
                yield f"{place}: missing from a completed span"
        elif file in self.inventory.sound and variable.dtype == "float32":
            values = self._values(variable, span)
            absent = values.isnull()
            inner = [dim for dim in values.dims if dim not in completed.dims]
            if count := int((absent.any(inner) & completed).sum()):
                yield f"{place}: NaN in {count} completed entries"
            if count := int((~absent.all(inner) & ~completed).sum()):
                yield f"{place}: values in {count} entries that are not completed; continuing the run writes them again"
            if variable.name == "curve" and (count := int((values.isel(step=0).fillna(0) != 0).sum())):
                yield f"{place}: step 0 is not 0 in {count} curves"

    def _fits(self, variable: Variable) -> bool:
        node = self.inventory.nodes.get(f"{self.group}/{variable.name}")
        chunks = self.layout.shape(variable, slice(0, self.layout.samples_per_chunk))
        return isinstance(node, zarr.Array) and node.shape == self.layout.shape(variable) and node.chunks == chunks

    def _key(self, variable: Variable, span: slice) -> str:
        index = span.start // self.layout.samples_per_chunk
        return "/".join(["c", *(str(index if dim == "sample" else 0) for dim in variable.dims)])

    def _values(self, variable: Variable, span: slice) -> xr.DataArray:
        node = self.inventory.nodes[f"{self.group}/{variable.name}"]
        assert isinstance(node, zarr.Array)
        region = tuple(span if dim == "sample" else slice(None) for dim in variable.dims)
        return xr.DataArray(node[region], dims=variable.dims)


def verify(path: Location) -> list[str]:
    """Read the whole store at `path` and list what is wrong with it, one line each; empty for a sound store.

    Of any store: chunks whose checksum does not match (`sensitivity/curve chunk c/0/1/0/0`), arrays without checksums,
    unreadable metadata, files that belong to nothing. Of a run also: variables and coordinates that are missing or not
    as the schema has them, chunks missing from completed spans, floats that are NaN where `completed` is set or not
    NaN where it is not, and curves that do not start at 0. An unfinished run is sound, but for a span that an
    interruption left half-written; continuing the run mends that. A damaged span of a run is measured again after
    its `completed` chunk has been deleted.

    Reads one chunk at a time. Raises `UsageError` when there is no zarr store at `path`.
    """
    place = locate(path)
    if not place.has(METADATA):
        raise UsageError(f"{path} does not exist or is not a zarr v3 store: it has no {METADATA}")
    inventory = Inventory(place)
    root = inventory.nodes.get("")
    is_run = root is not None and root.attrs.get("kind") == RUN_KIND
    return [*inventory.problems, *(run_problems(inventory) if is_run else ())]
