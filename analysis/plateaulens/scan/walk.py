"""Straight paths from a base activation towards a target.

How many base prompts go through the model at once.

Work on all cores, one item on each.

The paths of many prompts, cut into batches and spread over what the machine has.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.names import DEFAULT_METRICS
from plateaulens.scan.engine import Forward, PathCurves, scan


def relative(
    base: Float[Tensor, "*path d_model"], target: Float[Tensor, "*path d_model"], steps: int
) -> Float[Tensor, "*path step d_model"]:
    """`A (1 - t) + T t` for `steps` equally spaced t from 0 to 1: the ends are A and T to the last bit.

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

    >>> fixed(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), 3, 10.0)[0].tolist()
    [[0.0, 0.0], [6.0, 8.0], [12.0, 16.0]]
    """
    length = torch.arange(steps, dtype=base.dtype, device=base.device)[:, None] * step_length
    direction = torch.nn.functional.normalize(target - base, dim=-1, eps=torch.finfo(base.dtype).tiny)
    return base.unsqueeze(-2) + length * direction.unsqueeze(-2)


SHARE = 0.8
"""Of the memory that is free on a device, how much is used; what is left is for fragments between tensors."""

PromptsPerBatch = int | Literal["auto"]


def prompts_per_batch(setting: PromptsPerBatch, device: torch.device, measure_one: Callable[[], object]) -> int:
    """The number that a configuration asks for; `auto` is as many as fit, where a device has memory of its own.

    `measure_one` does the work of one prompt, and is called to see what memory that takes. On a CPU `auto` is 1: each
    core works on a prompt of its own, and more prompts at once leave the caches without going any faster.
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
    """How many prompts fit that need so many bytes each; 1 where not even one seems to.

    >>> fitting(1000, 100), fitting(10, 100)
    (8, 1)
    """
    return max(1, int(SHARE * free) // max(1, needed))


Item = TypeVar("Item")
Result = TypeVar("Result")


def one_per_core(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map`, with as many items under way as torch has threads, and each of them computed by one thread.

    Sharing every single tensor operation among the cores would have them wait for each other thousands of times per
    item, which takes far longer than the work itself as soon as another program wants one of the cores. It would also
    let the rounding depend on the number of cores.

    >>> list(one_per_core(lambda item: (item, torch.get_num_threads()), "ab"))
    [('a', 1), ('b', 1)]
    """
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, items)
    finally:
        torch.set_num_threads(cores)


PathMaker = Callable[[Tensor, Tensor], Tensor]
"""From starts and ends, each shaped (prompt, path, d_model), to points (prompt, path, step, d_model)."""


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
    """The curves of all paths, batch by batch in the order of the prompts, still on `device`."""

    def measure(batch: tuple[Tensor, Tensor, Tensor]) -> PathCurves:
        prompts, starts, ends = (part.to(device) for part in batch)
        return scan(forward, prompts, make_path(starts, ends), metrics)

    by_prompt = (tokens, start, end)
    size = prompts_per_batch(at_once, device, lambda: measure((tokens[:1], start[:1], end[:1])))
    batches = zip(*(part.split(size) for part in by_prompt), strict=True)
    yield from (one_per_core if forward.concurrent else map)(measure, batches)
