"""`cosine`: how far the read site's activation has turned."""

import torch
from jaxtyping import Float
from torch import Tensor


def measure(
    read: Float[Tensor, "*path step d_model"], reference: Float[Tensor, "*path d_model"]
) -> Float[Tensor, "*path step"]:
    """1 minus the cosine of `r(x_k)` and `r(x_0)`, between 0 and 2.

    Computed as half the squared distance of the two unit vectors, which keeps its precision where they nearly agree and
    is exactly 0 where they are equal. An activation of length 0 has no direction: its distance to another one is 1/2.
    See `plateaulens.scan.metrics.ReadMetric`.
    """
    units, unit = (torch.nn.functional.normalize(each, dim=-1) for each in (read, reference))
    difference: Tensor = units - unit.unsqueeze(-2)
    return difference.square().sum(dim=-1) / 2
