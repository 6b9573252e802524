"""One interpreter that has imported everything, and forks a process for each trial.

A fork copies the thread that forks and no other, so nothing here may start one: whatever opens a store, loads a model
or talks to a server does so in a process of its own.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120.0
"""Seconds after which a process that should have ended has hung."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

ALIKE = {
    **ONE_THREAD,
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
    "GIT_DIR": os.devnull,
    "SOURCE_DATE_EPOCH": "1700000000",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What could change a byte of a result, or start a thread. To be set before anything is imported."""


def preload() -> None:
    """Import what the trials' processes need."""
    import distributed
    import s3fs
    import torch
    from moto import server

    from plateaulens.cli import entry
    from plateaulens.collect import cluster, collect
    from plateaulens.report import build
    from plateaulens.store import verify
    from plateaulens.summary import analyze

    del distributed, s3fs, server, entry, cluster, collect, build, verify, analyze
    torch.set_num_threads(1)


def threads() -> int:
    """How many threads this process has, those that Python knows nothing of among them.

    Not counted is pyarrow's allocator's own, which starts anew in a fork.
    """
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return sum(name != "jemalloc_bg_thd" for name in names)


@dataclass
class Child:
    """A process that was forked from this one."""

    pid: int
    log: Path
    """What it says on both streams."""
    status: int | None = None
    """Its exit status, negative when a signal ended it; None as long as that has not been seen."""

    def ended(self) -> bool:
        """Whether it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for its end."""
        wait_until(self.ended, patience, self.said)
        assert self.status is not None
        return self.status

    def send(self, how: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if not self.ended():
            os.kill(self.pid, how)

    def kill(self) -> int:
        """Kill it, if it runs, and wait for its end."""
        self.send(signal.SIGKILL)
        return self.wait()

    def said(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


def fork(job: Callable[[], int | None], log: Path) -> Child:
    """Run a function in a process of its own, in the folder of its log; what it returns is the status, None being 0."""
    assert threads() == 1, f"{threads()} threads: a fork would lose them, and what they hold"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid, log)
    status = 70
    try:
        os.setsid()
        os.chdir(log.parent)
        opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, 1)
        os.dup2(opened, 2)
        # a shell without job control starts what it runs in the background deaf to Ctrl-C, and children inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = job() or 0
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has ended
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 (this process ends here)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait_until(condition: Callable[[], bool], patience: float, about: Callable[[], str]) -> None:
    """Wait for something to be true; what `about` says is the error when it takes too long."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened for {patience:.0f} s: {about()}"
        time.sleep(0.002)
