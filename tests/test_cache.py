"""What is kept on the machine: found again whole, made again when damaged, never in the way."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from plateaulens import cache
from plateaulens.cli import main

KEY = {"of": "a test", "number": 1}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(part: Path) -> None:
    (part / "a.txt").write_text("content")


def kept(key: cache.Key = KEY, size: int = 7) -> Path:
    assert cache.keep("thing", key, size, put)
    found = cache.find("thing", key)
    assert found is not None
    return found


def test_an_entry_is_found_by_its_kind_and_its_whole_key() -> None:
    assert cache.find("thing", KEY) is None
    assert (kept() / "a.txt").read_text() == "content"
    assert cache.find("thing", dict(reversed(KEY.items()))) is not None
    assert cache.find("thing", {**KEY, "number": 2}) is None
    assert cache.find("other", KEY) is None


def test_the_folder(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    assert cache.folder() == place
    monkeypatch.setenv(cache.VARIABLE, "")
    assert cache.folder() is None
    assert not cache.keep("thing", KEY, 7, put)
    assert cache.find("thing", KEY) is None
    monkeypatch.delenv(cache.VARIABLE)
    found = cache.folder()
    assert found is not None
    assert found.is_absolute()
    assert "plateaulens" in found.parts


def test_switched_off_for_a_while(place: Path) -> None:
    kept()
    with cache.switched_off():
        assert os.environ[cache.VARIABLE] == ""
        assert cache.find("thing", KEY) is None
    assert cache.find("thing", KEY) is not None


@pytest.mark.parametrize("how", ["changed", "cut", "gone", "more", "no note", "no JSON", "a list", "format"])
def test_a_damaged_entry_is_removed_and_made_again(how: str) -> None:
    entry = kept()
    file, note = entry / "a.txt", entry / "entry.json"
    if how == "changed":
        file.write_text("contend")
    elif how == "cut":
        file.write_text("")
    elif how == "gone":
        file.unlink()
    elif how == "more":
        (entry / "b.bin").write_text("pickle")
    elif how == "no note":
        note.unlink()
    elif how == "no JSON":
        note.write_text("{")
    elif how == "a list":
        note.write_text("[]")
    else:
        note.write_text(json.dumps(json.loads(note.read_text()) | {"format": 0}))
    assert cache.find("thing", KEY) is None
    assert not entry.exists()
    assert kept() == entry


def test_a_writer_that_fails_leaves_nothing(place: Path) -> None:
    def fail(part: Path) -> None:
        put(part)
        raise OSError(28, "No space left on device")

    assert not cache.keep("thing", KEY, 7, fail)
    assert list(place.iterdir()) == []


def test_what_a_killed_writer_left_is_removed(place: Path) -> None:
    (place / ".thing.99999999.part").mkdir(parents=True)
    kept()
    assert [entry.name[:6] for entry in place.iterdir()] == ["thing-"]


def test_of_two_writers_the_first_ones_stays() -> None:
    def late(part: Path) -> None:
        (part / "a.txt").write_text("late")

    entry = kept()
    assert cache.keep("thing", KEY, 7, late)
    assert (entry / "a.txt").read_text() == "content"


def test_threads_that_write_at_once() -> None:
    threads = [threading.Thread(target=kept, args=({"number": number % 2},)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.entries()) == 2


def test_a_folder_that_cannot_be_made_is_no_error(place: Path) -> None:
    place.write_text("a file")
    assert not cache.keep("thing", KEY, 7, put)
    assert cache.find("thing", KEY) is None
    assert cache.entries() == {}


def test_those_that_were_not_used_for_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [kept({"number": number}) for number in range(3)]
    for age, entry in enumerate(entries):
        os.utime(entry / "entry.json", (1000 + age, 1000 + age))
    assert cache.find("thing", {"number": 0}) == entries[0]  # used now
    monkeypatch.setattr(cache, "MOST", 3 * cache.entries()[entries[0]] + 20)
    newest = kept({"number": 3})
    assert set(cache.entries()) == {entries[2], entries[0], newest}


def test_what_is_too_large_is_not_kept(place: Path) -> None:
    assert not cache.keep("thing", KEY, cache.MOST, put)
    assert not place.exists()


def test_the_command_says_what_is_kept_and_removes_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = kept()
    (place / "mine.txt").write_text("somebody's")
    assert main(["cache"]) == 0
    assert entry.name in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert [each.name for each in place.iterdir()] == ["mine.txt"]
    shutil.rmtree(place)
    assert main(["cache"]) == 0
    assert "0.0 MB  of at most" in capsys.readouterr().out


def test_somebody_elses_folders_stay(place: Path) -> None:
    own = kept(KEY)
    others = [place / "my-project", place / "model-notes"]
    for other in others:
        other.mkdir(parents=True)
        (other / "entry.json").write_text("{}")
        (other / "thesis.tex").write_text("years of work")
    assert set(cache.entries()) == {own}
    cache.clear()
    assert not own.exists()
    assert all((other / "thesis.tex").exists() for other in others)
