"""Files get into the output folder whole, whoever else writes there and however one dies."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import plateaulens.replacing
import qmdrender.publish

Publish = Callable[[Sequence[Path], Path], list[Path]]
NAMES = ("index.html", "index.pdf")


@pytest.fixture(params=["qmdrender", "plateaulens"])
def publish(request: pytest.FixtureRequest) -> Publish:
    """The same in both packages, since neither needs the other."""
    return qmdrender.publish.publish if request.param == "qmdrender" else plateaulens.replacing.publish


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        pass
    return process.pid


def write(folder: Path, content: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        (folder / name).write_text(content)
    return [folder / name for name in NAMES]


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_of_before_are_replaced(publish: Publish, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    for content in ("old", "new"):
        assert publish(write(tmp_path / "scratch", content), out) == [out / name for name in NAMES]
        assert contents(out) == dict.fromkeys(NAMES, content)


def test_a_failure_in_the_middle_leaves_all_that_was_there(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    publish(write(tmp_path / "scratch", "old"), out)
    copy = shutil.copyfile

    def copy_or_fail(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == NAMES[-1]:
            target.write_text("ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copy_or_fail)
    with pytest.raises(OSError, match="No space left"):
        publish(write(tmp_path / "scratch", "new"), out)
    assert contents(out) == dict.fromkeys(NAMES, "old")


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(
    publish: Publish, tmp_path: Path, dead: int
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    stay = [f".index.html.{os.getppid()}.part", ".index.html.1.part", f".other.html.{dead}.part", ".index.html.part"]
    gone = [f".index.html.{number}.part" for number in (dead, os.getpid(), 10**30)]
    for name in (*stay, *gone):
        (out / name).write_text("half")
    publish(write(tmp_path / "scratch", "new"), out)
    assert contents(out) == dict.fromkeys(stay, "half") | dict.fromkeys(NAMES, "new")


def test_several_at_once_give_whole_files(publish: Publish, tmp_path: Path) -> None:
    out, letters, size = tmp_path / "out", "abcd", 100_000
    scratch = {letter: write(tmp_path / letter, letter * size) for letter in letters}
    publish(scratch["a"], out)
    ended = threading.Event()
    seen = set[str]()

    def look() -> None:
        while not ended.is_set():
            seen.update((out / name).read_text() for name in NAMES)

    with ThreadPoolExecutor(len(letters) + 1) as pool:
        looking = pool.submit(look)
        for future in [pool.submit(publish, scratch[letter], out) for letter in letters * 10]:
            future.result()
        ended.set()
        looking.result()
    assert seen <= {letter * size for letter in letters}
    assert sorted(contents(out)) == sorted(NAMES)
    assert set(contents(out).values()) <= seen | {letter * size for letter in letters}


def publish_and_die(publish: Publish, folder: Path, out: Path, step: int) -> None:
    """Publish as a process that is killed before it opens or renames a file; one after the last one ends well."""
    files = write(folder, "new")
    count = 0

    def die_at(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if (event == "open" and "w" in str(arguments[1])) or event == "os.rename":
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die_at)
    publish(files, out)


@pytest.mark.slow
def test_killed_at_any_step(publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(plateaulens.__file__).parents[1]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["plateaulens.testing"])
    out = tmp_path / "out"
    for step in range(1, 10):
        publish(write(tmp_path / "scratch", "old"), out)
        assert contents(out) == dict.fromkeys(NAMES, "old")
        writer = context.Process(target=publish_and_die, args=(publish, tmp_path / "theirs", out, step))
        writer.start()
        writer.join()
        assert {(out / name).read_text() for name in NAMES} <= {"old", "new"}
        if writer.exitcode == 0:
            break
        assert writer.exitcode == -signal.SIGKILL
    assert (writer.exitcode, step) == (0, 5)  # two files are copied, then renamed
    assert contents(out) == dict.fromkeys(NAMES, "new")
