"""`l2`: the Euclidean distance at the read site."""

import torch
from jaxtyping import Float
from torch import Tensor


def measure(
    read: Float[Tensor, "*path step d_model"], reference: Float[Tensor, "*path d_model"]
) -> Float[Tensor, "*path step"]:
    """`|r(x_k) - r(x_0)|`, in units of the residual stream; see `plateaulens.scan.metrics.ReadMetric`."""
    distance: Tensor = torch.linalg.vector_norm(read - reference.unsqueeze(-2), dim=-1)
    return distance
