"""How many base prompts go through the model at once."""

from collections.abc import Callable
from typing import Literal

import torch

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
