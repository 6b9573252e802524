"""Temporary folders: those of dead processes are removed, and of nobody else."""

import multiprocessing
import tempfile
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from plateaulens import replacing
from plateaulens.replacing import scratch, write_at_once


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def hold(place: Path, ready: Event, done: Event) -> None:
    tempfile.tempdir = str(place)
    with scratch("work-") as folder:
        (folder / "file").write_text("theirs")
        ready.set()
        done.wait(60)


def test_a_folder_is_there_for_as_long_as_it_is_needed(place: Path) -> None:
    with scratch("work-") as folder:
        assert folder.parent == place
        assert folder.name.startswith("work-")
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("text")
        with scratch("work-") as other:
            assert sorted(place.iterdir()) == sorted([folder, other])
    assert list(place.iterdir()) == []


def test_it_goes_when_something_fails(place: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch("work-"):
        raise KeyboardInterrupt
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_a_living_process_keeps_its_folder_and_a_dead_one_does_not(place: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(place, ready, done))
    other.start()
    assert ready.wait(60)
    (theirs,) = place.iterdir()
    (place / "work-notes.txt").write_text("a file, and nobody's")
    (place / "else").mkdir()
    with scratch("work-"):
        assert (theirs / "file").read_text() == "theirs"
    other.kill()
    other.join()
    with scratch("work-"):
        assert not theirs.exists()
    assert sorted(path.name for path in place.iterdir()) == ["else", "work-notes.txt"]


def test_what_is_not_ours_to_remove_stays(place: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (place / "work-link").symlink_to(tmp_path / "precious")
    with scratch("work-"):
        pass
    assert (tmp_path / "precious").is_dir()
    assert (place / "work-link").is_symlink()


def test_without_locks_of_the_kernel_nothing_else_is_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "fcntl", None)
    (place / "work-old").mkdir()
    with scratch("work-") as folder:
        assert folder.is_dir()
    assert [path.name for path in place.iterdir()] == ["work-old"]


def test_a_text_is_written_at_once_and_through_no_link(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "folder" / "a.json"
    path.parent.mkdir()
    victim.write_text("precious")
    path.symlink_to(victim)
    path.with_name(".a.json.partial").symlink_to(victim)
    write_at_once(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert victim.read_text() == "precious"
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]
