"""The paths of many prompts, cut into batches and spread over what the machine has."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.scan.batches import PromptsPerBatch, prompts_per_batch
from plateaulens.scan.cores import one_per_core
from plateaulens.scan.engine import Curves, Forward, scan

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
) -> Iterator[Curves]:
    """The curves of all paths, batch by batch in the order of the prompts, still on `device`."""

    def measure(batch: tuple[Tensor, Tensor, Tensor]) -> Curves:
        prompts, starts, ends = (part.to(device) for part in batch)
        return scan(forward, prompts, make_path(starts, ends))

    by_prompt = (tokens, start, end)
    size = prompts_per_batch(at_once, device, lambda: measure((tokens[:1], start[:1], end[:1])))
    batches = zip(*(part.split(size) for part in by_prompt), strict=True)
    yield from (one_per_core if forward.concurrent else map)(measure, batches)
