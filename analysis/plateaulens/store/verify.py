"""Finding damage in a run or a summary.

An inventory says of any store what its files are: groups, arrays, chunks whose checksum matches, and the rest. Of a run
it is checked as well whether the metadata is what its specification makes it, and the contents what `completed` says.
"""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import MemoryStore

from plateaulens.errors import UsageError, first_line, reading, reason, shortened
from plateaulens.store import integrity
from plateaulens.store.identity import differences
from plateaulens.store.inside import METADATA, is_inside
from plateaulens.store.location import Location, Place, locate
from plateaulens.store.reading import check_kind
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
STRAY = "belongs to nothing"
LONGEST_LINE = 2000
"""Characters of what is said about one problem."""


class Problem(NamedTuple):
    """Something that is wrong with a store: one line, and the file that it is about, where it is about one."""

    text: str
    file: str | None = None


def verify(path: Location) -> list[str]:
    """Read a whole store, one chunk at a time, and list what is wrong with it.

    Of any store: chunks whose checksum does not match (`sensitivity/curve chunk c/0/1/0/0`), arrays without checksums,
    unreadable metadata, files that belong to nothing, and files that hold something else than what was written there,
    by the digests of `/integrity` (two chunks exchanged, attributes changed; stores of schema 1 have no digests). Of a
    run also: variables and coordinates that are missing or not as the schema has them, chunks missing from completed
    spans, floats that are NaN where `completed` is set or not NaN where it is not, and curves that do not start at 0.

    An unfinished run is sound, but for a span that an interruption left half-written; continuing the run mends that.

    Parameters
    ----------
    path
        Where the store is.

    Returns
    -------
    list of str
        One line per problem; empty for a sound store.

    Raises
    ------
    UsageError
        When there is no zarr store at `path`.
    """
    return [shortened(problem.text, LONGEST_LINE) for problem in _problems(_place(path))]


@contextmanager
def blaming_damage(path: Location) -> Iterator[None]:
    """Say that a store is damaged, where that is why something fails which reads it.

    Parameters
    ----------
    path
        Where the store is that is read.

    Yields
    ------
    None
        While it is read.

    Raises
    ------
    UsageError
        When reading fails, in one line: with what `verify` finds or, where every file is as it was written, that what
        was written is not what this version reads. Want of memory, and what the system refuses, is passed on as it is
        when nothing is damaged.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        problems = verify(path)
        if not problems and isinstance(error, OSError | MemoryError):
            raise
        if not problems:
            raise UsageError(
                f"{path} cannot be used ({type(error).__name__}: {reason(error)}): every file is as it was written, "
                "but not as this version writes it: make it again"
            ) from error
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(
            f"{path} is damaged: {problems[0]}{more}: of a run, `plateaulens verify --repair` drops what is damaged, "
            "and `collect` measures it again"
        ) from error


def repair(path: Location) -> list[str]:
    """Drop from a run what is damaged, so that `collect` measures it again.

    Spans with a damaged, exchanged or missing chunk lose all their files, and so count as not completed; files that
    belong to nothing are removed. Damage of metadata, coordinates and prompts cannot be mended, and stays.

    Parameters
    ----------
    path
        Where the run is. Nobody may be writing it.

    Returns
    -------
    list of str
        One line per span that was dropped and file that was removed.

    Raises
    ------
    UsageError
        When there is no run at `path`, or another process is writing it; when its root's metadata is not what was
        written, as that says what the run's files are; and when folders of it are symbolic links.
    """
    place = _place(path)
    lock = place.lock()
    try:
        attributes = check_kind(place, RUN_KIND)
        place.check_own()
        if place.has(f"{integrity.GROUP}/{METADATA}"):
            integrity.check_metadata(place, attributes["schema_version"], only_root=True)
        with reading(f"{place}: root attribute layout is damaged", "collect the run again"):
            spec = RunSpec.from_json(str(attributes.get("layout")))
        problems = _problems(place)
        damaged = {problem.file for problem in problems}
        done = []
        for name, layout in spec.groups.items():
            for span in layout.spans if layout.has_completed else ():
                files = [f"{name}/{one.name}/{layout.chunk_key(one, span)}" for one in layout.variables]
                if damaged.intersection(files):
                    # the mark goes first: a process killed in between leaves a span that is not completed
                    for file in sorted(files, key=lambda file: f"/{COMPLETED}/" not in file):
                        place.remove(file)
                    done.append(f"{name}: samples {span.start} to {span.stop} dropped")
        for problem in problems:
            if problem.file is not None and problem.text.startswith(f"{problem.file}: {STRAY}"):
                place.remove(problem.file)
                done.append(f"{problem.file}: removed")
        return [shortened(line, LONGEST_LINE) for line in done]
    finally:
        lock.release()


def _place(path: Location) -> Place:
    place = locate(path)
    if not place.has(METADATA):
        raise UsageError(f"{path} does not exist or is not a zarr v3 store: it has no {METADATA}")
    return place


class Inventory:
    """The files of a store, every chunk among them read once, one at a time.

    Parameters
    ----------
    place
        Where the store is.
    """

    def __init__(self, place: Place) -> None:
        self.files = place.files()
        """By their relative path."""
        self.nodes: dict[str, Node] = {}
        """Groups and arrays by name; the root's is empty."""
        self.unreadable: set[str] = set()
        """The nodes whose metadata is damaged."""
        self.sound: set[str] = set()
        """The files of chunks that decode."""
        self.problems = [*self._open_nodes(place), *self._read_chunks(), *self._strays(), *self._links(place)]
        """What is wrong with the store as a store, one line each."""

    def _open_nodes(self, place: Place) -> Iterator[Problem]:
        store = place.open(read_only=True)
        for file in sorted(file for file in self.files if PurePosixPath(file).name == METADATA):
            name = file.removesuffix(METADATA).rstrip("/")
            try:
                kind = json.loads(place.read(file))["node_type"]  # zarr opens one that has none, xarray does not
                self.nodes[name] = zarr.open(store, path=name, mode="r", zarr_format=3)
                assert kind == ("array" if isinstance(self.nodes[name], zarr.Array) else "group"), "another kind"
            except Exception as error:  # noqa: BLE001 (zarr raises all sorts of things on damaged metadata)
                self.unreadable.add(name)
                yield Problem(f"{name or '/'}: {METADATA} is damaged: {_one_line(error)}", file)

    def _read_chunks(self) -> Iterator[Problem]:
        for name, array in self.nodes.items():
            if not isinstance(array, zarr.Array):
                continue
            assert isinstance(array.metadata, ArrayV3Metadata), "only zarr v3 is opened"
            if not isinstance(array.metadata.codecs[-1], Crc32cCodec):
                yield Problem(
                    f"{name}: its chunks have no crc32c checksum, so damage would not show", f"{name}/{METADATA}"
                )
            for key, region in _chunks(array, array.metadata, self._below(name)):
                file = f"{name}/{key}"
                try:
                    array[region]
                except Exception as error:  # noqa: BLE001 (under damaged metadata, any codec's own)
                    yield Problem(f"{name} chunk {key}: damaged: {_one_line(error)}", file)
                else:
                    self.sound.add(file)

    def _strays(self) -> Iterator[Problem]:
        known = {f"{name}/{METADATA}".lstrip("/") for name in (*self.nodes, *self.unreadable)}
        for name, array in self.nodes.items():
            if isinstance(array, zarr.Array) and isinstance(array.metadata, ArrayV3Metadata):
                known.update(f"{name}/{key}" for key, _ in _chunks(array, array.metadata, self._below(name)))
        for file in sorted(self.files - known):
            if not any(file.startswith(f"{name}/") for name in self.unreadable if name):
                yield Problem(
                    f"{file}: {STRAY}; an interrupted write leaves such files, and continuing removes them", file
                )

    def _below(self, name: str) -> set[str]:
        """The files of a node, relative to it."""
        return self._by_node.get(name, set())

    @cached_property
    def _by_node(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for file in self.files:
            parts = file.split("/")
            # a node's chunks are below it, with no other node in between
            for cut in range(len(parts) - 1, -1, -1):
                if (name := "/".join(parts[:cut])) in self.nodes:
                    found.setdefault(name, set()).add("/".join(parts[cut:]))
                    break
        return found

    @staticmethod
    def _links(place: Place) -> Iterator[Problem]:
        for folder in place.linked():
            yield Problem(f"{folder}: a symbolic link to a folder or to nothing, which is neither read nor written")


def _chunks(
    array: zarr.Array[Any], metadata: ArrayV3Metadata, files: set[str]
) -> Iterator[tuple[str, tuple[slice, ...]]]:
    """The key and the region of every chunk that is there (of every shard, where an array has some).

    Files are asked what chunks they are, and not the shape what chunks there may be: it may promise any number.
    """
    sizes = array.shards or array.chunks
    counts = [-(-extent // max(size, 1)) for extent, size in zip(array.shape, sizes, strict=True)]
    indices = {file: tuple(int(part) for part in re.findall(r"[0-9]+", file)) for file in files if len(file) < _KEY}
    for file, index in sorted(indices.items(), key=lambda found: found[1]):
        is_index = len(index) == len(counts) and all(i < count for i, count in zip(index, counts, strict=True))
        if is_index and metadata.encode_chunk_key(index) == file:
            yield file, tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, sizes, strict=True))


_KEY = 1000
"""Characters of the key of a chunk, generously."""


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def run_problems(inventory: Inventory) -> Iterator[Problem]:
    """What is wrong with a run beyond what its inventory says already.

    Parameters
    ----------
    inventory
        The run's files; its root's metadata is readable.

    Yields
    ------
    Problem
        One for each; the rest is unchecked when the specification itself is damaged.
    """
    root = inventory.nodes[""].attrs
    yield from _attribute_problems(inventory)
    try:
        spec = RunSpec.from_json(str(root.get("layout")))
    except ValueError as error:
        yield Problem(f"/: root attribute layout is damaged, the rest is unchecked: {error}", METADATA)
        return
    yield from _structure_problems(inventory, spec)
    for group, layout in spec.groups.items():
        yield from _GroupContents(inventory, group, layout).problems()


def _attribute_problems(inventory: Inventory) -> Iterator[Problem]:
    root = inventory.nodes[""].attrs
    version = root.get("schema_version")
    known = version if isinstance(version, int) and 1 <= version <= SCHEMA_VERSION else None
    if known is None:
        yield Problem(f"/: root attribute schema_version is {version!r} instead of 1 to {SCHEMA_VERSION}", METADATA)
    for key in (*RUN_ATTRIBUTES, "layout"):
        if key not in root and (known is None or known >= SINCE.get(key, 1)):
            yield Problem(f"/: root attribute {key} is missing", METADATA)
    texts = {f"/: root attribute {key}": root[key] for key in JSON_ATTRIBUTES if key in root}
    if "provenance" in inventory.nodes:
        texts["provenance: attribute sessions"] = inventory.nodes["provenance"].attrs.get("sessions")
    for place, text in texts.items():
        try:
            json.loads(str(text))
        except (ValueError, RecursionError) as error:
            yield Problem(f"{place} is not JSON: {first_line(error)}", METADATA)


def _structure_problems(inventory: Inventory, spec: RunSpec) -> Iterator[Problem]:
    """How groups and arrays differ from a template of the same specification."""
    store = MemoryStore()
    write_template(store, spec, {}, {})
    version = inventory.nodes[""].attrs.get("schema_version")
    if isinstance(version, int) and version >= integrity.SINCE:
        integrity.write_template(store, spec)
    template: dict[str, Node] = dict(zarr.open_group(store, mode="r").members(max_depth=None))
    for name, expected in sorted(template.items()):
        node = inventory.nodes.get(name)
        if node is not None and name not in {"provenance", integrity.GROUP}:
            found = differences(node.metadata.to_dict(), expected.metadata.to_dict(), "expected")
            yield from (Problem(f"{name}: {problem}", f"{name}/{METADATA}") for problem in found)
        elif node is None and name not in inventory.unreadable:
            yield Problem(f"{name}: missing", f"{name}/{METADATA}")
    for name in sorted(set(inventory.nodes) - set(template) - {""}):
        yield Problem(f"{name}: not part of a run", f"{name}/{METADATA}")


class _GroupContents:
    """The values of one group, span by span; what has no file or no readable metadata is passed over."""

    def __init__(self, inventory: Inventory, group: str, layout: GroupSpec) -> None:
        self.inventory = inventory
        self.group = group
        self.layout = layout
        self.variables = [variable for variable in layout.variables if self._fits(variable)]

    def problems(self) -> Iterator[Problem]:
        yield from self._coordinate_problems()
        for span in self.layout.spans:
            completed = self._completed(span)
            if completed is not None:
                for variable in self.variables:
                    yield from self._chunk_problems(variable, span, completed)

    def _coordinate_problems(self) -> Iterator[Problem]:
        for coordinate in self.layout.coordinates:
            name = f"{self.group}/{coordinate.name}"
            node = self.inventory.nodes.get(name)
            if not isinstance(node, zarr.Array) or node.shape != coordinate.values.shape:
                continue
            if f"{name}/c/0" not in self.inventory.files:
                yield Problem(f"{name} chunk c/0: missing", f"{name}/c/0")
            elif f"{name}/c/0" in self.inventory.sound and not np.array_equal(np.asarray(node[:]), coordinate.values):
                yield Problem(f"{name} chunk c/0: values are not those of the schema", f"{name}/c/0")

    def _completed(self, span: slice) -> xr.DataArray | None:
        """Which samples of a span are completed; None when damage leaves that open."""
        if not self.layout.has_completed:
            return xr.DataArray(data=True)
        marks = self.layout[COMPLETED]
        file = f"{self.group}/{COMPLETED}/{self.layout.chunk_key(marks, span)}"
        damaged = file in self.inventory.files and file not in self.inventory.sound
        return None if damaged or marks not in self.variables else self._values(marks, span)

    def _chunk_problems(self, variable: Variable, span: slice, completed: xr.DataArray) -> Iterator[Problem]:
        key = self.layout.chunk_key(variable, span)
        place, file = f"{self.group}/{variable.name} chunk {key}", f"{self.group}/{variable.name}/{key}"
        if file not in self.inventory.files:
            if completed.any():
                yield Problem(f"{place}: missing from a completed span", file)
        elif file in self.inventory.sound and variable.dtype == "float32":
            values = self._values(variable, span)
            absent = values.isnull()
            inner = [dim for dim in values.dims if dim not in completed.dims]
            if count := int((absent.any(inner) & completed).sum()):
                yield Problem(f"{place}: NaN in {count} completed entries", file)
            if count := int((~absent.all(inner) & ~completed).sum()):
                yield Problem(
                    f"{place}: values in {count} entries that are not completed; continuing the run writes them again",
                    file,
                )
            if variable.name == "curve" and (count := int((values.isel(step=0).fillna(0) != 0).sum())):
                yield Problem(f"{place}: step 0 is not 0 in {count} curves", file)

    def _fits(self, variable: Variable) -> bool:
        node = self.inventory.nodes.get(f"{self.group}/{variable.name}")
        chunks = self.layout.shape(variable, slice(0, self.layout.samples_per_chunk))
        if not isinstance(node, zarr.Array) or node.shape != self.layout.shape(variable) or node.chunks != chunks:
            return False
        return variable.dtype == "string" or node.dtype == np.dtype(variable.dtype)

    def _values(self, variable: Variable, span: slice) -> xr.DataArray:
        node = self.inventory.nodes[f"{self.group}/{variable.name}"]
        assert isinstance(node, zarr.Array)
        region = tuple(span if dim == "sample" else slice(None) for dim in variable.dims)
        return xr.DataArray(node[region], dims=variable.dims)


def _problems(place: Place) -> list[Problem]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, of what is a problem here anyway
        return _found(place)


def _found(place: Place) -> list[Problem]:
    inventory = Inventory(place)
    found = list(inventory.problems)
    root = inventory.nodes.get("")
    if root is not None and root.attrs.get("kind") == RUN_KIND:
        found += run_problems(inventory)
    return [*found, *_digest_problems(place, inventory, {problem.file for problem in found})]


def _digest_problems(place: Place, inventory: Inventory, blamed: set[str | None]) -> Iterator[Problem]:
    """Files that are not what was written there, but for those that something is known to be wrong with already."""
    version = inventory.nodes[""].attrs.get("schema_version") if "" in inventory.nodes else None
    group = inventory.nodes.get(integrity.GROUP)
    if group is None:
        if isinstance(version, int) and version >= integrity.SINCE and integrity.GROUP not in inventory.unreadable:
            yield Problem(f"{integrity.GROUP}: missing, so exchanged or changed files would not show")
        return
    expected = group.attrs.get(integrity.FILES)
    if not isinstance(expected, dict):
        yield Problem(f"{integrity.GROUP}: attribute {integrity.FILES} is damaged")
        return
    for file, digest in expected.items():
        if file in blamed:
            continue
        if file not in inventory.files:
            yield Problem(f"{file}: missing", file if is_inside(file) else None)
        elif sha256(place.read(file)).hexdigest() != digest:
            yield Problem(f"{file}: not what was written there", file)
    sealed = inventory.nodes["provenance"].attrs.get(integrity.SEAL) if "provenance" in inventory.nodes else None
    intact = not any(str(file).startswith(f"{integrity.GROUP}/") for file in blamed)
    spec = _specification(inventory)  # without it nobody knows how large the digests may be
    can_tell = sealed is not None and spec is not None and intact
    if can_tell and isinstance(group, zarr.Group) and integrity.seal(group) != sealed:
        yield Problem(f"{integrity.GROUP}: not the digests that the run was sealed with")
    for name, array in inventory.nodes.items():
        of = name.removeprefix(f"{integrity.GROUP}/")
        if spec is not None and of != name and isinstance(array, zarr.Array):
            yield from _exchanged(place, inventory, spec, group=of, digests=array, blamed=blamed)


def _specification(inventory: Inventory) -> RunSpec | None:
    """What a run says that it holds; None for another store, and where it is damaged."""
    try:
        return RunSpec.from_json(str(inventory.nodes[""].attrs.get("layout"))) if "" in inventory.nodes else None
    except ValueError:
        return None


def _exchanged(
    place: Place,
    inventory: Inventory,
    spec: RunSpec,
    *,
    group: str,
    digests: zarr.Array[Any],
    blamed: set[str | None],
) -> Iterator[Problem]:
    """Chunks of completed spans that are not those that were written there."""
    layout = spec.groups.get(group)
    if layout is None or digests.shape != (len(layout.spans), len(integrity.digested(layout)), integrity.SIZE):
        return  # the structure has been complained of
    for number, span in enumerate(layout.spans):
        if f"{digests.path}/c/{number}/0/0" in inventory.files - inventory.sound:
            continue
        own = np.asarray(digests[number])
        for name, digest in zip(integrity.digested(layout), own, strict=True):
            key = layout.chunk_key(layout[name], span)
            file = f"{group}/{name}/{key}"
            is_there = file in inventory.sound and file not in blamed and digest.any()
            if is_there and sha256(place.read(file)).digest() != digest.tobytes():
                yield Problem(f"{group}/{name} chunk {key}: not the chunk that was written there", file)
