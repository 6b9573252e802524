"""Ctrl-C while modules are imported: one line, status 130, at whatever moment."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.processes import PATIENCE, environment, run_code
from tests.tiny import write_preset

from plateaulens.cli import entry, interrupt, main
from plateaulens.cli.interrupt import INTERRUPTED, STOPPED, leaving_at_once

SWALLOWING = """
import os, signal, sys

# a shell without job control starts what it runs in the background deaf to Ctrl-C, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
from plateaulens.cli.interrupt import leaving_at_once

with leaving_at_once():
    print("importing")
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        pass
print("not reached")
"""
AFTERWARDS = SWALLOWING.replace("    try:", "    pass\nif True:\n    try:")
BEGIN = """
import signal, sys

put = signal.signal
put(signal.SIGINT, signal.default_int_handler)
from plateaulens.cli import main

def say(number, handler):
    signal.signal = put
    before = put(number, handler)
    print(flush=True)
    return before

signal.signal = say
sys.exit(main())
"""
"""The command, which says when it begins to heed Ctrl-C: before that, Python's own start ends in its own way."""


def test_a_module_that_catches_everything_cannot_keep_it(tmp_path: Path) -> None:
    done = run_code(SWALLOWING, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "importing\n", STOPPED)


def test_afterwards_it_is_an_exception_again(tmp_path: Path) -> None:
    done = run_code(AFTERWARDS, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "importing\nnot reached\n", "")


def test_somebody_else_s_handler_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with leaving_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_is_changed() -> None:
    seen = []

    def look() -> None:
        with leaving_at_once():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
    assert interrupt.INTERRUPTED == 128 + signal.SIGINT


@pytest.mark.parametrize("where", ["_parser", "run"])
def test_around_the_command(where: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """While the command line is made ready, and in the moment between two that deal with it."""

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, where, interrupted)
    assert main(["show", "nothing"]) == INTERRUPTED
    assert capfd.readouterr().err == STOPPED


@pytest.mark.slow
def test_collect_while_it_imports_torch(tiny_files: Path, tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "tiny.toml", tiny_files)
    rng = np.random.default_rng()
    folder = tmp_path / "here"
    folder.mkdir()
    command = [sys.executable, "-c", BEGIN, "collect", "--preset", str(preset), "--out", "run.zarr"]
    for longest in (0.05, 0.3, 1.0, 2.0):
        moment = rng.uniform(0, longest)
        with subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "\n"
            time.sleep(moment)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (INTERRUPTED, STOPPED), f"after {moment:.3f} s"
        assert list(folder.iterdir()) == []
