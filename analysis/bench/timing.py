"""Timing in turns: what is compared runs alternately, so that a machine that slows down slows all of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import torch

Task = Callable[[], object]


def seconds(task: Task, device: torch.device) -> float:
    """Wall-clock time of one call, what it left to do on a device included.

    Parameters
    ----------
    task
        What to call.
    device
        Waited for when it is a GPU.

    Returns
    -------
    float
        In seconds.
    """
    began = time.perf_counter()
    task()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def in_turns(tasks: Mapping[str, Task], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """The times of every task in each round, after one call of each that does not count.

    Parameters
    ----------
    tasks
        What to call, by name.
    rounds
        How often.
    device
        See `seconds`.

    Returns
    -------
    dict of name to times
        In seconds, one for each round.
    """
    for task in tasks.values():
        task()
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            taken[name].append(seconds(task, device))
    return taken


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """The median of two tasks' ratios in the same rounds: a machine that others slow down for a while slows both.

    Parameters
    ----------
    first, second
        Their times, round by round.

    Returns
    -------
    float
        The first's by the second's.

    Examples
    --------
    >>> paired_ratio([1.0, 4.0, 1.2], [2.0, 8.0, 2.0])
    0.5
    """
    return median(one / other for one, other in zip(first, second, strict=True))


def medians(taken: Mapping[str, list[float]]) -> dict[str, float]:
    """The median time of each task.

    Parameters
    ----------
    taken
        What `in_turns` gave.

    Returns
    -------
    dict of name to time
        In seconds.
    """
    return {name: median(values) for name, values in taken.items()}
