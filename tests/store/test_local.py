"""A replacement that is killed at any step leaves the old store or the new one; the next one leaves nothing else."""

import ctypes
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import plateaulens
from plateaulens import replacing
from plateaulens.errors import UsageError
from plateaulens.store import local
from plateaulens.store.local import LocalPlace
from plateaulens.store.location import locate

STEPS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
"""What Python announces before it changes a folder."""


def build(place: LocalPlace, content: str) -> None:
    """Two files in two folders, so that a store can be half there in several ways."""
    with place.replace() as store:
        (store.root / "group").mkdir(parents=True)
        for name in ("zarr.json", "group/zarr.json"):
            (store.root / name).write_text(content)


def contents(path: Path) -> dict[str, str]:
    return {name: (path / name).read_text() for name in LocalPlace(path).files()}


def whole(content: str) -> dict[str, str]:
    return {"zarr.json": content, "group/zarr.json": content}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "exchange", lambda *_: False)


def replace_and_die(path: Path, content: str, step: int, *, can_exchange: bool) -> None:
    """Replace a store as a process that is killed before a step; one after the last one ends well."""
    count = 0

    def die_at(event: str, _: object = ()) -> None:
        nonlocal count
        if event in STEPS:
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    def announced(one: Path, other: Path) -> bool:
        die_at("os.rename")
        return exchange(one, other)

    exchange: Callable[[Path, Path], bool] = replacing.exchange if can_exchange else lambda *_: False
    pytest.MonkeyPatch().setattr(local, "exchange", announced)
    sys.addaudithook(die_at)
    build(LocalPlace(path), content)


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        pass
    return process.pid


@pytest.mark.slow
@pytest.mark.parametrize("can_exchange", [True, False])
def test_killed_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(plateaulens.__file__).parents[1]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["plateaulens.testing"])
    path = tmp_path / "summary.zarr"
    build(LocalPlace(path), "0")
    found = []
    for step in range(1, 30):
        writer = context.Process(
            target=replace_and_die, args=(path, str(step), step), kwargs={"can_exchange": can_exchange}
        )
        before = contents(path)
        writer.start()
        writer.join()
        if can_exchange:
            assert path.exists()  # even to a reader that moves nothing back
        assert locate(path).exists()
        assert contents(path) in (before, whole(str(step)))
        found.append(contents(path) == before)
        if writer.exitcode == 0:
            break
        assert writer.exitcode == -signal.SIGKILL
        build(LocalPlace(path), f"after {step}")
        assert contents(path) == whole(f"after {step}")
        assert names(tmp_path) == ["summary.zarr"]
    assert writer.exitcode == 0
    # the old one up to some step, the new one from there on
    assert found == sorted(found, reverse=True)
    assert found.count(True) >= 3
    assert found.count(False) >= 5


@pytest.fixture(params=["in one step", "in two"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How what is there is replaced."""
    if request.param == "in two":
        without_exchange(monkeypatch)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("there", ["nothing", "a store", "a file", "a link"])
def test_whatever_is_there_is_replaced(tmp_path: Path, there: str) -> None:
    path, elsewhere = tmp_path / "summary.zarr", tmp_path / "elsewhere"
    elsewhere.mkdir()
    match there:
        case "a store":
            build(LocalPlace(path), "old")
        case "a file":
            path.write_text("old")
        case "a link":
            path.symlink_to(elsewhere)
    build(LocalPlace(path), "new")
    assert contents(path) == whole("new")
    assert names(tmp_path) == ["elsewhere", "summary.zarr"]


def fail_halfway(folder: Path) -> None:
    folder.mkdir()
    (folder / "zarr.json").write_text("ne")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("way")
def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path / "summary.zarr")
    build(place, "old")
    with pytest.raises(OSError, match="No space left"), place.replace() as store:
        fail_halfway(store.root)
    with pytest.raises(FileNotFoundError), place.replace():
        pass  # nothing was built: the old one had stepped aside already
    assert contents(place.path) == whole("old")
    assert names(tmp_path) == ["summary.zarr"]


def test_what_a_process_killed_between_two_renames_moved_aside_comes_back(tmp_path: Path, dead: int) -> None:
    path = tmp_path / "summary.zarr"
    build(LocalPlace(path), "old")
    for process in (dead, os.getpid()):  # in containers the numbers are often the same
        path.rename(tmp_path / f".summary.zarr.{process}.old")
        assert locate(path).exists()
        assert contents(path) == whole("old")
        assert names(tmp_path) == ["summary.zarr"]


@pytest.mark.usefixtures("way")
def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path: Path, dead: int) -> None:
    path = tmp_path / "summary.zarr"
    living = os.getppid()
    theirs = [f".summary.zarr.{living}.new", f".summary.zarr.{living}.old", ".summary.zarr.1.new"]
    others = [
        f".other.zarr.{dead}.new",
        f".summary.zarr.5.{dead}.new",
        f".summary.zarr.{dead}.news",
        ".summary.zarr.old",
    ]
    gone = [f".summary.zarr.{number}.{role}" for number in (dead, os.getpid(), 10**30) for role in ("new", "old")]
    for there in (False, True):
        for name in (*theirs, *others, *gone):
            (tmp_path / name / "group").mkdir(parents=True, exist_ok=True)
        assert LocalPlace(path).exists() or not there
        build(LocalPlace(path), "new")
        assert names(tmp_path) == sorted([*theirs, *others, "summary.zarr"])


def test_a_writer_removes_what_a_killed_one_was_creating(run: Path) -> None:
    (run.with_name("run.zarr.partial") / "group").mkdir(parents=True)
    LocalPlace(run).tidy()
    assert names(run.parent) == ["run.zarr"]


def test_a_system_that_cannot_exchange_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    assert not replacing.exchange(one, other)
    other.write_text("2")
    assert replacing.exchange(one, other) is sys.platform.startswith("linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    before = one.read_text()
    assert not replacing.exchange(one, other)
    assert one.read_text() == before


OUTSIDE = ["../victim", "group/../../victim", "", "/"]


@pytest.mark.parametrize("way", ["read", "has", "remove"])
def test_nothing_outside_a_store_is_touched(tmp_path: Path, way: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place = LocalPlace(tmp_path / "run.zarr")
    build(place, "own")
    for name in (*OUTSIDE, str(victim)):
        with pytest.raises(UsageError, match="which is none of a store"):
            getattr(place, way)(name)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("way", ["read", "has", "remove"])
def test_nothing_is_reached_through_a_linked_folder(tmp_path: Path, way: str) -> None:
    place, other = LocalPlace(tmp_path / "run.zarr"), LocalPlace(tmp_path / "other.zarr")
    build(place, "own")
    build(other, "precious")
    (place.path / "linked").symlink_to(other.path / "group")
    with pytest.raises(UsageError, match=r"run\.zarr: linked is a symbolic link"):
        getattr(place, way)("linked/zarr.json")
    assert place.linked() == ["linked"]
    with pytest.raises(UsageError, match=r"run\.zarr: linked is a symbolic link to a folder"):
        place.check_own()
    assert contents(other.path) == whole("precious")


def test_links_to_files_and_of_the_store_itself_are_nobodys_worry(tmp_path: Path) -> None:
    build(LocalPlace(tmp_path / "run.zarr"), "own")
    (tmp_path / "kept").write_text("precious")
    (tmp_path / "run.zarr/group/linked").symlink_to(tmp_path / "kept")
    (tmp_path / "alias.zarr").symlink_to(tmp_path / "run.zarr")
    place = LocalPlace(tmp_path / "alias.zarr")
    place.check_own()
    assert place.read("group/linked") == b"precious"
    place.remove("group/linked")
    assert not place.has("group/linked")
    assert (tmp_path / "kept").read_text() == "precious"


def test_a_folder_in_the_place_of_a_file_is_removed(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path / "run.zarr")
    build(place, "own")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/kept").write_text("precious")
    (place.path / "group/chunk/deep").mkdir(parents=True)
    (place.path / "group/chunk/link").symlink_to(tmp_path / "elsewhere")
    place.remove("group/chunk")
    place.remove("zarr.json/c/0")  # below a file there is nothing
    assert contents(place.path) == whole("own")
    assert not (place.path / "group/chunk").exists()
    assert (tmp_path / "elsewhere/kept").read_text() == "precious"


def test_a_store_is_not_made_in_another_one(tmp_path: Path) -> None:
    build(LocalPlace(tmp_path / "run.zarr"), "own")
    (tmp_path / "alias").symlink_to(tmp_path / "run.zarr/group")
    for path in (tmp_path / "run.zarr/sub.zarr", tmp_path / "run.zarr/a/b.zarr", tmp_path / "alias/sub.zarr"):
        with pytest.raises(UsageError, match=r"lies inside the store .*run\.zarr"), LocalPlace(path).create():
            pass
        with pytest.raises(UsageError, match=r"lies inside the store .*run\.zarr"), LocalPlace(path).replace():
            pass
    assert contents(tmp_path / "run.zarr") == whole("own")


def test_a_store_is_not_created_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run.zarr.partial").symlink_to(tmp_path / "elsewhere")
    with LocalPlace(tmp_path / "run.zarr").create() as store:
        store.root.mkdir()
        (store.root / "zarr.json").write_text("own")
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "run.zarr").is_symlink()
    (tmp_path / "broken.zarr").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"), LocalPlace(tmp_path / "broken.zarr").create():
        pass
