"""`plateaulens collect` as a real process that is killed or interrupted at random moments, and goes on from there."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tests.processes import PATIENCE, start
from tests.tiny import measured, write_preset

from plateaulens.collect.collect import collect
from plateaulens.presets import read_config
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore
from plateaulens.store.verify import verify

pytestmark = pytest.mark.slow

SAMPLES = {"sensitivity__samples": 8, "sensitivity_absolute__samples": 6, "plateau__samples": 6}
BLOCKS = 8 + 8 + 6 + 6
CONTINUED = (
    "continuing the run writes them again",
    "an interrupted write leaves such files, and continuing removes them",
)
"""What is wrong with a run whose process was killed: a span was half written, perhaps a file of it."""


@pytest.fixture
def preset(tiny_files: Path, tmp_path: Path) -> Path:
    """A run of 28 spans: one for each of 8 samples in `/activations`, and one for each sample of an experiment."""
    return write_preset(tmp_path / "tiny.toml", tiny_files, engine__samples_per_chunk=1, **SAMPLES)


@pytest.fixture
def whole(preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of an uninterrupted run."""
    monkeypatch.setenv("GIT_DIR", os.devnull)
    collect(read_config(preset), tmp_path / "whole.zarr")
    return measured(tmp_path / "whole.zarr")


def finished_blocks(path: Path) -> int:
    return sum(file.is_file() for file in path.glob("*/completed/c/**/*"))


def stop_within_the_next_blocks(process: subprocess.Popen[str], path: Path, how: signal.Signals) -> int:
    """Send the signal at a random moment after a few more spans; returns how many are finished after all."""
    rng = np.random.default_rng()
    enough = finished_blocks(path) + rng.integers(2, 9)
    deadline = time.monotonic() + PATIENCE
    while finished_blocks(path) < enough:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    process.send_signal(how)
    process.wait(PATIENCE)
    return finished_blocks(path)


def test_killed_twice(preset: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    command = ("collect", "--preset", str(preset), "--out", str(path))
    finished = 0
    for _ in range(2):
        with start(*command, folder=tmp_path) as process:
            before, finished = finished, stop_within_the_next_blocks(process, path, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert before < finished < BLOCKS
        assert all(problem.endswith(CONTINUED) for problem in verify(path))
    with start(*command, folder=tmp_path) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == f"finished: {path}"
    assert measured(path) == whole
    assert verify(path) == []


def test_a_clock_that_jumps(
    preset: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By up to a year, back and forth, whenever somebody asks what time it is."""
    path, clock, rng = tmp_path / "run.zarr", time.time, np.random.default_rng(0)
    monkeypatch.setattr(time, "time", lambda: clock() + rng.uniform(-366, 366) * 86400)
    noted = RunStore.record_session

    def stop(store: RunStore, seconds: float, spans: int = 1) -> None:
        noted(store, seconds, spans)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "record_session", stop)
        with pytest.raises(KeyboardInterrupt):
            collect(read_config(preset), path)
    collect(read_config(preset), path)
    assert measured(path) == whole
    sessions = json.loads(open_run(path)["provenance"].attrs["sessions"])
    assert [session["seconds"] >= 0 for session in sessions] == [True, True]


@pytest.mark.parametrize("group", ["activations", "sensitivity", "provenance", ""])
def test_a_group_removed_meanwhile(group: str, preset: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    with start("collect", "--preset", str(preset), "--out", str(path), folder=tmp_path) as process:
        deadline = time.monotonic() + PATIENCE
        while finished_blocks(path) < 5:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)  # so that it writes nothing into what is being removed
        if finished_blocks(path) == BLOCKS:
            process.kill()
            pytest.skip("a busy machine: all was measured before anything could be removed")
        shutil.rmtree(path / group)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=PATIENCE)
    if process.returncode == 0:
        # stopped between looking at the group and writing its one file anew, with all that it had
        assert group == "provenance"
        assert verify(path) == []
        return
    assert process.returncode == 1
    assert "finished" not in out
    (line,) = err.splitlines()
    assert line.startswith(f"plateaulens: error: {path}")
    assert group in line


def test_interrupted(preset: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data" / "runs" / "tiny.zarr"
    # a shell without job control starts what it runs in the background deaf to Ctrl-C, and children inherit that
    heard = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = start("collect", "--preset", str(preset), folder=tmp_path)
    finally:
        signal.signal(signal.SIGINT, heard)
    with process:
        finished = stop_within_the_next_blocks(process, path, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == "plateaulens: stopped; the same command goes on from here\n"
    assert finished < BLOCKS
    assert not path.with_name("tiny.zarr.lock").exists()
    collect(read_config(preset), path)
    assert measured(path) == whole
