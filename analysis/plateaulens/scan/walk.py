"""Paths between activations, and the curves along all of them: prompts cut into batches, and spread over the machine.

`walk` has the paths made and measured. A GPU works on one batch at a time, of as many prompts as a configuration asks
for or as fit; on a CPU each core works on a batch of its own, where the way of running the model allows it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.names import DEFAULT_METRICS
from plateaulens.scan.engine import Forward, PathCurves, scan

PathMaker = Callable[[Tensor, Tensor], Tensor]
"""From starts and ends, each shaped (prompt, path, d_model), to points shaped (prompt, path, step, d_model)."""

PromptsPerBatch = int | Literal["auto"]
"""How many base prompts go through the model at once; see `prompts_per_batch`."""

SHARE = 0.8
"""Of the memory that is free on a device, how much is used; what is left is for fragments between tensors."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def walk(
    forward: Forward,
    tokens: Int[Tensor, "prompt position"],
    start: Float[Tensor, "prompt path d_model"],
    end: Float[Tensor, "prompt path d_model"],
    make_path: PathMaker,
    *,
    device: torch.device,
    at_once: PromptsPerBatch = 1,
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> Iterator[PathCurves]:
    """The curves of all paths, batch by batch in the order of the prompts.

    Parameters
    ----------
    forward
        The way of running the model.
    tokens
        The prompts, shaped (prompt, position).
    start
        Where each path begins, shaped (prompt, path, d_model).
    end
        Where each leads to, shaped (prompt, path, d_model).
    make_path
        The rule by which a path's points follow from its start and its end.
    device
        Where the model is. Prompts and activations may be elsewhere, and are moved there batch by batch.
    at_once
        Prompts in a batch, see `prompts_per_batch`.
    metrics
        Names of `plateaulens.names.METRICS`.

    Yields
    ------
    PathCurves
        Of the prompts of one batch, still on `device`.
    """

    def measure(batch: tuple[Tensor, Tensor, Tensor]) -> PathCurves:
        prompts, starts, ends = (part.to(device) for part in batch)
        return scan(forward, prompts, make_path(starts, ends), metrics)

    by_prompt = (tokens, start, end)
    size = prompts_per_batch(at_once, device, lambda: measure((tokens[:1], start[:1], end[:1])))
    batches = zip(*(part.split(size) for part in by_prompt), strict=True)
    yield from (one_per_core if forward.concurrent else map)(measure, batches)


def relative(
    base: Float[Tensor, "*path d_model"], target: Float[Tensor, "*path d_model"], steps: int
) -> Float[Tensor, "*path step d_model"]:
    """`A (1 - t) + T t` for equally spaced t from 0 to 1: the ends are A and T to the last bit.

    Parameters
    ----------
    base
        A, shaped (..., d_model).
    target
        T, shaped (..., d_model).
    steps
        Number of points, both ends included.

    Returns
    -------
    Tensor
        Shaped (..., step, d_model).

    Examples
    --------
    >>> relative(torch.zeros(1, 1), torch.ones(1, 1), 5).flatten().tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    fraction = torch.linspace(0, 1, steps, dtype=base.dtype, device=base.device)[:, None]
    return base.unsqueeze(-2) * (1 - fraction) + target.unsqueeze(-2) * fraction


def fixed(
    base: Float[Tensor, "*path d_model"], target: Float[Tensor, "*path d_model"], steps: int, step_length: float
) -> Float[Tensor, "*path step d_model"]:
    """`A + n s D` for n = 0 ... steps - 1, with D the unit vector from A to T and s the step length.

    The path may end before T or lead past it. Where T equals A there is no direction, and the path stays at A.

    Parameters
    ----------
    base
        A, shaped (..., d_model).
    target
        T, shaped (..., d_model).
    steps
        Number of points, A included.
    step_length
        s, in units of the residual stream.

    Returns
    -------
    Tensor
        Shaped (..., step, d_model).

    Examples
    --------
    >>> fixed(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), 3, 10.0)[0].tolist()
    [[0.0, 0.0], [6.0, 8.0], [12.0, 16.0]]
    """
    length = torch.arange(steps, dtype=base.dtype, device=base.device)[:, None] * step_length
    direction = torch.nn.functional.normalize(target - base, dim=-1, eps=torch.finfo(base.dtype).tiny)
    return base.unsqueeze(-2) + length * direction.unsqueeze(-2)


def prompts_per_batch(setting: PromptsPerBatch, device: torch.device, measure_one: Callable[[], object]) -> int:
    """How many base prompts go through the model at once.

    Parameters
    ----------
    setting
        The number that a configuration asks for, or `auto`: as many as fit, where a device has memory of its own. On a
        CPU `auto` is 1: each core works on a prompt of its own, and more prompts at once leave the caches without going
        any faster.
    device
        Where the model is.
    measure_one
        Does the work of one prompt. It is called on a GPU, where `auto` is asked for, to see what memory that takes.

    Returns
    -------
    int
        At least 1.
    """
    if setting != "auto":
        return setting
    if device.type != "cuda":
        return 1
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    measure_one()
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return fitting(free, peak - before)


def fitting(free: int, needed: int) -> int:
    """How many prompts fit that need so many bytes each.

    Parameters
    ----------
    free
        Bytes that are free, of which `SHARE` is used.
    needed
        Bytes that a prompt needs.

    Returns
    -------
    int
        At least 1, even where not one seems to fit.

    Examples
    --------
    >>> fitting(1000, 100), fitting(10, 100)
    (8, 1)
    """
    return max(1, int(SHARE * free) // max(1, needed))


def one_per_core(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map`, with as many items under way as torch has threads, and each of them computed by one thread.

    Sharing every single tensor operation among the cores would have them wait for each other thousands of times per
    item, which takes far longer than the work itself as soon as another program wants one of the cores. It would also
    let the rounding depend on the number of cores.

    Parameters
    ----------
    function
        What is done to an item, in a thread in which torch has one thread only.
    items
        Taken all at once, before the first result.

    Yields
    ------
    Result
        What the function returns, in the order of the items. torch has its threads back when all are through, or when
        one has failed.

    Examples
    --------
    >>> list(one_per_core(lambda item: (item, torch.get_num_threads()), "ab"))
    [('a', 1), ('b', 1)]
    """
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, items)
    finally:
        torch.set_num_threads(cores)
