from pathlib import Path

import numpy as np
import zarr

from plateaulens.store.location import locate
from plateaulens.store.template import COMPRESSORS
from plateaulens.store.verify import Inventory


def test_every_node_and_every_chunk_is_found(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "a.zarr")
    group = root.create_group("group")
    array = group.create_array("array", shape=(3, 5), chunks=(2, 5), dtype="float64", compressors=COMPRESSORS)
    array[:] = 1.0
    scalar = group.create_array("scalar", shape=(), dtype="float64", compressors=COMPRESSORS)
    scalar[...] = 2.0
    inventory = Inventory(locate(tmp_path / "a.zarr"))
    assert sorted(inventory.nodes) == ["", "group", "group/array", "group/scalar"]
    assert inventory.sound == {"group/array/c/0/0", "group/array/c/1/0", "group/scalar/c"}
    assert inventory.problems == []


def test_a_shard_counts_as_one_chunk(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "a.zarr")
    root.create_array("array", data=np.arange(8.0), chunks=(2,), shards=(4,))
    assert Inventory(locate(tmp_path / "a.zarr")).sound == {"array/c/0", "array/c/1"}


def test_arrays_without_checksums_are_named(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "a.zarr")
    root.create_array("array", data=np.arange(8.0))
    assert [problem.text for problem in Inventory(locate(tmp_path / "a.zarr")).problems] == [
        "array: its chunks have no crc32c checksum, so damage would not show"
    ]
