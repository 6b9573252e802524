"""Straight paths from a base activation towards a target."""

import torch
from jaxtyping import Float
from torch import Tensor


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
