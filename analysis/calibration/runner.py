"""Replications of every cell, on several cores, each cell kept when it is done."""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import plateaulens
from calibration.outcomes import Key, Tallies, Tally
from calibration.questions import QUESTIONS

_BATCHES = 16
"""Pieces that a cell is cut into for the worker processes."""


@dataclass(frozen=True)
class Effort:
    """How much is computed, and from which random numbers."""

    replications: int = 1000
    resamples: int = 999
    seed: int = 0


@dataclass(frozen=True)
class Cell:
    """One question on one design at one number of base prompts."""

    question: str
    design: str
    samples: int

    @property
    def name(self) -> str:
        """Unique among cells."""
        return f"{self.question}-{self.design}-{self.samples}"


def cells(only: Sequence[str] = ()) -> tuple[Cell, ...]:
    """The cells of the table.

    Parameters
    ----------
    only
        Names of the questions to ask; all of them where it is empty.

    Returns
    -------
    tuple of Cell
        The quick ones with few base prompts first.
    """
    chosen = (
        Cell(name, design, samples)
        for name, question in QUESTIONS.items()
        if not only or name in only
        for design in question.designs
        for samples in question.samples
    )
    return tuple(sorted(chosen, key=lambda cell: cell.samples))


def calibrate(
    chosen: Iterable[Cell], effort: Effort, folder: Path, *, processes: int, report: Callable[[Cell], object]
) -> dict[Cell, Tallies]:
    """Run what `folder` does not hold yet of some cells. A stopped calibration goes on where it was.

    Cells of another effort, or of another state of the code, are run again.

    Replication i of a cell depends on the seed, the cell and i alone: neither the number of processes nor the other
    cells matter.

    Parameters
    ----------
    chosen
        Cells to run.
    effort
        How much is computed for each.
    folder
        Where finished cells are kept; made if it is not there.
    processes
        How many processes share the replications; with 1 it is this one.
    report
        Called with each cell when it is done.

    Returns
    -------
    dict of Cell to Tallies
        The counts of every cell, from this run or from an earlier one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    with _workers(processes) as parallel:
        for cell in chosen:
            place = folder / f"{cell.name}.json"
            stored = _read(place, effort)
            if stored is None:
                stored = Tallies()
                for part in parallel(_replicate, *zip(*_batches(cell, effort), strict=True)):
                    stored.merge(part)
                _write(place, effort, stored)
            results[cell] = stored
            report(cell)
    return results


@contextmanager
def _workers(processes: int) -> Iterator[Callable[..., Iterable[Tallies]]]:
    """What maps a function over its arguments: in this process, or in several."""
    if processes == 1:
        yield map
        return
    # Matrix products of these sizes gain nothing from a second thread, and the processes share the cores.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _batches(cell: Cell, effort: Effort) -> Iterable[tuple[Cell, Effort, range]]:
    size = -(-effort.replications // _BATCHES)
    starts = range(0, effort.replications, size)
    return ((cell, effort, range(start, min(start + size, effort.replications))) for start in starts)


def _replicate(cell: Cell, effort: Effort, replications: range) -> Tallies:
    question, tallies = QUESTIONS[cell.question], Tallies()
    design = question.designs[cell.design]
    for number in replications:
        rng = np.random.default_rng([effort.seed, zlib.crc32(cell.name.encode()), number])
        tallies.add(question.replicate(design, cell.samples, effort.resamples, rng))
    return tallies


@cache
def _code() -> str:
    """A digest of the code that is calibrated, and of that which calibrates it."""
    root, digest = Path(plateaulens.__file__).parent, hashlib.sha256()
    folders = (root / "compare", root / "summary", Path(__file__).parent)
    for file in sorted(file for folder in folders for file in folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(place: Path, effort: Effort) -> Tallies | None:
    if not place.exists():
        return None
    stored = json.loads(place.read_text(encoding="utf-8"))
    if (stored["effort"], stored["code"]) != (asdict(effort), _code()):
        return None
    return Tallies({Key(*row["key"]): Tally(*row["tally"]) for row in stored["rows"]})


def _write(place: Path, effort: Effort, tallies: Tallies) -> None:
    rows = [{"key": key, "tally": (tally.hits, tally.total, tally.width)} for key, tally in tallies.rows.items()]
    building = place.with_suffix(".new")
    building.write_text(json.dumps({"effort": asdict(effort), "code": _code(), "rows": rows}), encoding="utf-8")
    building.replace(place)
