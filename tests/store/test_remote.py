"""What is particular to URLs, on fsspec's file system in memory."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
from fsspec import AbstractFileSystem

from plateaulens.errors import UsageError
from plateaulens.store.location import locate
from plateaulens.store.lock import ObjectLock
from plateaulens.store.reading import open_run
from plateaulens.store.run import open_or_create
from plateaulens.store.schema import RunSpec
from plateaulens.store.verify import verify
from plateaulens.testing import generate_run, synthetic_attributes, synthetic_prompts

Files = dict[str, bytes]
URL = "memory://runs/run.zarr"


@pytest.fixture(autouse=True)
def memory() -> Iterator[Any]:
    """The file system, empty before and after."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield memory
    memory.store.clear()


def beside(memory: Any) -> set[str]:
    """The objects that are not in the store."""
    return {name for name in memory.find("/") if not name.startswith("/runs/run.zarr/")}


def test_a_finished_run_leaves_nothing_beside_it(memory: Any, spec: RunSpec, seed: int) -> None:
    generate_run(URL, spec, seed)
    assert beside(memory) == set()
    assert verify(URL) == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("operation", range(1, 50, 7))
@pytest.mark.slow
def test_a_creation_that_was_killed_is_no_store_and_is_made_anew(
    memory: Any,
    spec: RunSpec,
    seed: int,
    finished: Path,
    measured: Callable[[Path], Files],
    operation: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 0
    whole = type(memory).pipe_file

    def pipe_or_die(self: Any, path: str, *arguments: Any, **options: Any) -> None:
        nonlocal count
        count += not path.endswith(".lock")
        if count >= operation:
            raise Killed
        whole(self, path, *arguments, **options)

    attributes, prompts = synthetic_attributes(spec, seed), synthetic_prompts(spec, seed)
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "pipe_file", pipe_or_die)
        with pytest.raises(Killed):
            open_or_create(URL, spec, attributes, prompts)
    assert not locate(URL).exists()
    with pytest.raises(UsageError, match="no plateaulens run at"):
        open_run(URL)
    generate_run(URL, spec, seed)
    assert beside(memory) == set()
    found = {name: memory.cat_file(f"/runs/run.zarr/{name}") for name in locate(URL).files()}
    assert {name: content for name, content in found.items() if not name.startswith("provenance/")} == measured(
        finished
    )


def test_what_somebody_keeps_there_is_never_touched(memory: Any, spec: RunSpec, seed: int) -> None:
    memory.pipe_file("/runs/run.zarr/thesis.pdf", b"years of work")
    with pytest.raises(UsageError, match=r"run\.zarr holds something that is not a zarr store: choose another name"):
        generate_run(URL, spec, seed)
    with pytest.raises(UsageError, match=r"memory://runs holds something"), locate("memory://runs").replace():
        pass
    assert memory.find("/") == ["/runs/run.zarr/thesis.pdf"]


def test_a_replaced_store_has_nothing_of_the_old_one(memory: Any) -> None:
    for name in ("old", "new"):
        with locate(URL).replace() as store:
            tree = xr.DataTree.from_dict({"group": xr.Dataset({name: ("x", np.arange(3.0))})})
            tree.to_zarr(store, mode="w-", consolidated=False, zarr_format=3)
    left: Any = locate(URL).open(read_only=True)
    with xr.open_datatree(left, engine="zarr", consolidated=False) as tree:
        assert list(tree["group"].data_vars) == ["new"]
    assert not any("old" in name for name in memory.find("/"))


class TestLock:
    def test_a_second_writer_is_refused_and_told_who_writes(self, memory: Any) -> None:
        lock = ObjectLock("the run", memory, "/a.lock")
        holder = json.loads(memory.cat_file("/a.lock"))
        with pytest.raises(UsageError, match=f"the run is being written by process {holder['process']} on "):
            ObjectLock("the run", memory, "/a.lock")
        ObjectLock("another run", memory, "/b.lock").release()
        lock.check()
        lock.release()
        lock.release()
        assert memory.find("/") == []
        with pytest.raises(AssertionError, match="the store is closed"):
            lock.check()

    def test_a_living_writer_is_heard_of(self, memory: Any) -> None:
        lock = ObjectLock("the run", memory, "/a.lock", beat=0.02, forgotten=1.0)
        time.sleep(1.2)
        with pytest.raises(UsageError, match="last heard of 0 s ago"):
            ObjectLock("the run", memory, "/a.lock", forgotten=1.0)
        lock.check()
        lock.release()

    def test_a_dead_writer_is_forgotten(self, memory: Any) -> None:
        dead = {"host": "gone", "process": 1, "id": "dead", "stamp": time.time() - 700}
        memory.pipe_file("/a.lock", json.dumps(dead).encode())
        memory.store["/a.lock"].modified -= timedelta(seconds=700)
        lock = ObjectLock("the run", memory, "/a.lock")
        assert json.loads(memory.cat_file("/a.lock"))["id"] != "dead"
        lock.release()

    @pytest.mark.parametrize("jump", [-366 * 86400, 366 * 86400])
    def test_only_the_server_s_clock_counts(self, jump: float, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A living writer whose own clock is a year behind, or ahead, and then a dead one of either kind."""
        clock = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: clock() + jump)
            lock = ObjectLock("the run", memory, "/a.lock")
        with pytest.raises(UsageError, match="last heard of 0 s ago"):
            ObjectLock("the run", memory, "/a.lock")
        assert list(memory.find("/")) == ["/a.lock"]
        memory.store["/a.lock"].modified -= timedelta(seconds=700)
        with ExitStack() as stack:
            stack.callback(ObjectLock("the run", memory, "/a.lock").release)
            with pytest.raises(UsageError, match="the run was taken over by another writer"):
                lock.check()
        lock.release()

    def test_where_the_driver_does_not_say_when_an_object_was_written(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(memory), "modified", AbstractFileSystem.modified)
        lock = ObjectLock("the run", memory, "/a.lock")
        with pytest.raises(UsageError, match="last heard of 0 s ago"):
            ObjectLock("the run", memory, "/a.lock")
        dead = json.loads(memory.cat_file("/a.lock")) | {"stamp": time.time() - 700}
        memory.pipe_file("/a.lock", json.dumps(dead).encode())
        ObjectLock("the run", memory, "/a.lock").release()
        lock.release()
        assert memory.find("/") == []

    def test_a_writer_that_slept_too_long_finds_out(self, memory: Any) -> None:
        sleeper = ObjectLock("the run", memory, "/a.lock", beat=0.02)
        other = {"host": "other", "process": 1, "id": "other", "stamp": time.time()}
        memory.pipe_file("/a.lock", json.dumps(other).encode())
        with pytest.raises(UsageError, match="the run was taken over by another writer"):
            sleeper.check()  # before it next stamps it
        sleeper._stamper.join(60)
        with pytest.raises(UsageError, match="the run was taken over by another writer"):
            sleeper.check()
        sleeper.release()
        assert json.loads(memory.cat_file("/a.lock"))["id"] == "other"

    def test_a_strange_object_is_left_alone(self, memory: Any) -> None:
        memory.pipe_file("/a.lock", b"strange")
        with pytest.raises(UsageError, match=r"/a\.lock is no lock of PlateauLens: remove it if nobody writes there"):
            ObjectLock("the run", memory, "/a.lock")
        assert memory.cat_file("/a.lock") == b"strange"


def test_names_of_something_else_are_refused() -> None:
    place = locate("memory://inside/run.zarr")
    for name in ("../victim", "a/../../b", "/victim", ""):
        for way in (place.read, place.has, place.remove, lambda name: place.read_all([name])):
            with pytest.raises(UsageError, match="which is none of a store"):
                way(name)


@pytest.mark.parametrize("name", ["run[1].zarr", "run*.zarr", "run?.zarr", "ru[n"])
def test_a_name_that_would_be_taken_for_a_pattern_is_refused(name: str, memory: Any, spec: RunSpec, seed: int) -> None:
    generate_run("memory://runs/run1.zarr", spec, seed)
    there = set(memory.find("/"))
    with pytest.raises(UsageError, match=r"would be taken for a pattern: give the store a name without any of \*\?\["):
        generate_run(f"memory://runs/{name}", spec, seed)
    assert set(memory.find("/")) == there


def test_an_object_is_asked_for_by_its_very_name(memory: Any) -> None:
    place = locate(URL)
    memory.pipe_file("/runs/run.zarr/a1", b"one")
    memory.pipe_file("/runs/run.zarr/a[1]", b"odd")
    assert place.read_all(["a[1]", "a1", "a*", "b?"]) == {"a[1]": b"odd", "a1": b"one"}
    assert place.read_all(["a*"]) == {}


def test_a_replaced_store_leaves_no_odd_name(memory: Any) -> None:
    for odd in ([], ["a[1]", "b*"], ["b*"]):
        with locate(URL).replace() as store:
            xr.DataTree.from_dict({"group": xr.Dataset()}).to_zarr(store, mode="w-", consolidated=False, zarr_format=3)
        assert not any(letter in name for name in memory.find("/") for letter in "*[")
        for name in odd:
            memory.pipe_file(f"/runs/run.zarr/{name}", b"odd")
    with locate(URL).replace() as store:
        xr.DataTree.from_dict({"group": xr.Dataset()}).to_zarr(store, mode="w-", consolidated=False, zarr_format=3)
    assert not any(letter in name for name in memory.find("/") for letter in "*[")
