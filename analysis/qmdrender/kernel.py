"""Running pieces of code one after another in a fresh kernel of the interpreter that runs this program."""

import os
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from qmdrender.errors import RenderError

Output = Mapping[str, Any]

_to_notebook: Callable[[object], nbformat.NotebookNode] = nbformat.from_dict  # which has no annotations

_ANSI = re.compile(r"\x1b\[[\d;]*m")
_CELL_FILE = re.compile(r"\S*ipykernel_\d+/\d+\.py")
_RAISED_AT = re.compile(r"Cell In\[\d+\], line (?P<line>\d+)")
_SYNTAX_ERROR_PLACE = re.compile(r" \(\d+\.py, line \d+\)$")


@dataclass(frozen=True)
class Job:
    """A piece of code, what messages call it, and where it stands: the file and the line of its first line."""

    name: str
    file: str
    line: int
    source: str
    may_fail: bool = False


def run(jobs: Sequence[Job], folder: Path, scratch: Path | None = None) -> list[list[Output]]:
    """Run jobs in order, in one kernel.

    Parameters
    ----------
    jobs
        What to run.
    folder
        The kernel's working folder.
    scratch
        Where temporary files are kept meanwhile; None leaves that to the system.

    Returns
    -------
    list of list of Output
        The notebook outputs (nbformat 4) of each job.

    Raises
    ------
    RenderError
        Names the first job that fails, its line and the exception; the traceback is in `details`.
    """
    notebook = _notebook(jobs)
    with tempfile.TemporaryDirectory(prefix="qmdrender-", dir=scratch) as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the Jupyter packages are not the reader's concern
        client = NotebookClient(
            notebook, timeout=None, record_timing=False, coalesce_streams=True, kernel_name=NATIVE_KERNEL_NAME
        )
        manager = client.create_kernel_manager()
        # Without folders to search, the native kernel's specification is made on the spot from `sys.executable`,
        # whatever kernels are registered on the machine under its name.
        manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
        manager.connection_file = str(Path(place) / "kernel.json")
        log = Path(place) / "kernel.log"
        doing = "the Python kernel did not start"
        try:
            with (
                log.open("wb") as stderr,
                # And not `client.execute`, which takes Ctrl-C for itself and then fails over it.
                client.setup_kernel(cwd=str(folder), env=_environment(place), stdout=subprocess.DEVNULL, stderr=stderr),
            ):
                for index, (job, cell) in enumerate(zip(jobs, notebook.cells, strict=True)):
                    doing = f"{_place(job)}: Python died in it"
                    _execute(client, job, cell, index)
        except (DeadKernelError, RuntimeError, TimeoutError) as error:
            raise RenderError(doing, f"{error}\n{log.read_text(encoding='utf-8', errors='replace')}") from None
    return [list(cell.outputs) for cell in notebook.cells]


def _execute(client: NotebookClient, job: Job, cell: nbformat.NotebookNode, index: int) -> None:
    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise _failure(job, error) from None


def plain(text: str) -> str:
    """Text without the codes that colour it on a terminal, and without the name of the kernel's passing file.

    Parameters
    ----------
    text
        What a cell put out, or a traceback.

    Returns
    -------
    str
        The same for every run.
    """
    return _CELL_FILE.sub("cell", _ANSI.sub("", text))


def _notebook(jobs: Sequence[Job]) -> nbformat.NotebookNode:
    cells = [
        {
            "cell_type": "code",
            "source": job.source,
            "metadata": {"tags": ["raises-exception"]} if job.may_fail else {},
            "outputs": [],
        }
        for job in jobs
    ]
    return _to_notebook({"metadata": {}, "cells": cells})


def _environment(scratch: str) -> dict[str, str]:
    """The caller's environment, less what would make the result depend on who runs it."""
    settled = {
        "IPYTHONDIR": scratch,  # no start-up files of a user's profile
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TMPDIR": scratch,  # it goes when the caller does, or is removed after it
    }
    return {"PYTHONHASHSEED": "0", **os.environ, **settled}


def _place(job: Job, offset: int = 0) -> str:
    return f"{job.file}:{job.line + offset}: {job.name}"


def _failure(job: Job, error: CellExecutionError) -> RenderError:
    traceback = plain(error.traceback)
    raised_at = _RAISED_AT.search(traceback)
    offset = int(raised_at["line"]) - 1 if raised_at else 0
    lines = job.source.splitlines()
    code = f" (in `{lines[offset].strip()}`)" if offset < len(lines) else ""
    what = _SYNTAX_ERROR_PLACE.sub("", " ".join(f"{error.ename}: {error.evalue}".split()))
    return RenderError(f"{_place(job, offset)} failed: {what}{code}", traceback)
