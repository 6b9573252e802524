"""What the files of a store are, run or summary: groups, arrays, chunks whose checksum matches, and the rest."""

import itertools
import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec
from zarr.core.metadata import ArrayV3Metadata

from plateaulens.store.location import Place
from plateaulens.store.remote import METADATA

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
