"""Real processes of the command line, alike in what could change a byte of their results."""

import os
import subprocess
import sys
from pathlib import Path

import plateaulens

PATIENCE = 900
"""Seconds that a process may take on a busy machine before something is wrong."""


def environment(**changes: str) -> dict[str, str]:
    """One thread, no hub and no commit, as the tests themselves have them; and the code of this clone."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHONWARN"))},
        "PYTHONPATH": str(Path(plateaulens.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
        "GIT_DIR": os.devnull,
        **changes,
    }


def start(*arguments: str, folder: Path, start_new_session: bool = False) -> subprocess.Popen[str]:
    """The command line with these arguments, started in `folder`, perhaps in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "plateaulens", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def run_code(code: str, *arguments: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """A Python program, run in `folder` until it ends."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
