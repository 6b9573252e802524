"""`js`: the Jensen-Shannon distance between the perturbed next-token distribution and the reference."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from plateaulens.scan.outputs import Outputs


def measure(outputs: Outputs) -> Float[Tensor, " step"]:
    """`sqrt(JSD)`, `JSD = (KL(p || m) + KL(q || m)) / 2` in bits and `m = (p + q) / 2`: a metric between 0 and 1.

    Endres and Schindelin 2003, doi:10.1109/TIT.2003.813506. Computed as the sum of
    `p (log(q / m) - log(m / p) + (q / p - 1) log(q / m))`, whose terms are never negative and vanish with the square of
    q's distance from p; what rounding leaves below 0 is set to 0. See `plateaulens.scan.metrics.OutputMetric`.
    """
    log_m_over_p = torch.mul(outputs.excess, 0.5, out=outputs.scratch(0)).log1p_()
    log_q_over_m = torch.sub(outputs.log_q_over_p, log_m_over_p, out=outputs.scratch(1))
    terms = torch.sub(log_q_over_m, log_m_over_p, out=outputs.scratch(0)).addcmul_(outputs.excess, log_q_over_m)
    return (terms @ outputs.p).div_(2 * math.log(2)).clamp_(min=0).sqrt_()
