"""`kl`: the Kullback-Leibler divergence of the perturbed next-token distribution from the reference."""

import torch
from jaxtyping import Float
from torch import Tensor

from plateaulens.scan.outputs import Outputs


def measure(outputs: Outputs) -> Float[Tensor, " step"]:
    """`KL(p || q) = sum p log(p / q)` in nats, p being the reference: the direction that the paper's notebooks compute.

    Computed as the sum of `p (q / p - 1 - log(q / p))`, whose terms are never negative and vanish with the square of
    q's distance from p: adding `q - p` to each changes nothing, as that sums to 0. So precision is kept where p and q
    nearly agree; what rounding leaves below 0 is set to 0. See `plateaulens.scan.metrics.OutputMetric`.
    """
    terms = torch.sub(outputs.excess, outputs.log_q_over_p, out=outputs.scratch(0))
    return (terms @ outputs.p).clamp_(min=0)
