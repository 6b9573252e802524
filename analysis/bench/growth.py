"""How the engine's time grows with each size of the work, the other sizes held."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypedDict

import numpy as np

from bench.subjects import written_at
from bench.timing import Task, in_turns, medians
from bench.work import Size, engine, make_work
from plateaulens.scan.direct import choose_forward
from plateaulens.subject.model import Subject

BLOCKS = "blocks after the write site"
"""The axis that is not a size of the work: how many blocks every point goes through."""


class Growth(TypedDict):
    """Times along one axis, and how they grow."""

    values: list[int]
    seconds: list[float]
    exponent: float
    """Slope of the line through the logarithms of both: 1 where time is proportional to the size."""
    per_unit: float
    """Slope of the line through both, in seconds."""
    fixed: float
    """Where that line starts, in seconds: what the time would be at size 0."""


def measure_growth(subject: Subject, size: Size, axes: Mapping[str, Sequence[int]], rounds: int) -> dict[str, Growth]:
    """The growth along each size of the work, and with the write site.

    Parameters
    ----------
    subject
        The model.
    size
        The other sizes.
    axes
        The values to measure at, by the size's name in `Size`.
    rounds
        How often each is timed.

    Returns
    -------
    dict of axis to Growth
        That of the write site under `BLOCKS`.
    """
    found = {}
    forward = choose_forward(subject)
    for axis, values in axes.items():
        tasks: dict[str, Task] = {}
        for value in values:
            work = make_work(subject, dataclasses.replace(size, **{axis: value}))
            tasks[str(value)] = partial(engine, subject, forward, work)
        times = medians(in_turns(tasks, rounds, subject.device))
        found[axis] = fit(values, [times[str(value)] for value in values])
    blocks, times_by_blocks = [], []
    for block in _spread(subject.blocks):
        moved = written_at(subject, block)
        work, moved_forward = make_work(moved, size), choose_forward(moved)
        task = {"": partial(engine, moved, moved_forward, work)}
        blocks.append(subject.blocks - block)
        times_by_blocks.append(medians(in_turns(task, rounds, subject.device))[""])
    found[BLOCKS] = fit(blocks, times_by_blocks)
    return found


def _spread(blocks: int) -> list[int]:
    """Four blocks from the last to the second, evenly apart.

    Examples
    --------
    >>> _spread(30), _spread(3)
    ([29, 20, 10, 1], [2, 1])
    """
    return sorted({round(block) for block in np.linspace(1, blocks - 1, 4)}, reverse=True)


def fit(values: Sequence[int], seconds: Sequence[float]) -> Growth:
    """Least squares through the points, and through their logarithms.

    Parameters
    ----------
    values
        Sizes of the work.
    seconds
        The time at each.

    Returns
    -------
    Growth
        Both slopes.

    Examples
    --------
    >>> fit([1, 2, 4], [2.0, 4.0, 8.0])["exponent"].__round__(6)
    1.0
    """
    per_unit, fixed = np.polyfit(values, seconds, 1)
    exponent, _ = np.polyfit(np.log(values), np.log(seconds), 1)
    return Growth(
        values=list(values),
        seconds=list(seconds),
        exponent=float(exponent),
        per_unit=float(per_unit),
        fixed=float(fixed),
    )
