"""How far a perturbed output is from the unperturbed one."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def l2_distance(
    read: Float[Tensor, "*path step d_model"], reference: Float[Tensor, "*path d_model"]
) -> Float[Tensor, "*path step"]:
    """Euclidean distance at the read site, in units of the residual stream."""
    return (read - reference.unsqueeze(-2)).norm(dim=-1)


def divergences(
    logits: Float[Tensor, "step vocabulary"], reference: Float[Tensor, " vocabulary"]
) -> tuple[Float[Tensor, " step"], Float[Tensor, " step"]]:
    """KL divergence and Jensen-Shannon distance between the next-token distributions p (reference) and q (perturbed).

    The first is `KL(p || q) = sum p (log p - log q)` in nats: the direction that the paper's notebooks compute. The
    second is `sqrt(JSD)`, with `JSD = (KL(p || m) + KL(q || m)) / 2` in bits and `m = (p + q) / 2`, a metric between
    0 and 1 (Endres and Schindelin 2003, doi:10.1109/TIT.2003.813506). Both are sums of differences of logarithms
    rather than differences of entropies, so that they keep their precision where p and q nearly agree; what rounding
    leaves below 0 is set to 0, and logits equal to the reference give exactly 0.

    >>> import torch
    >>> same, apart = torch.tensor([0.0, 0.0]), torch.tensor([[0.0, -200.0]])
    >>> kl, js = divergences(same[None], same)
    >>> kl.item(), js.item()
    (0.0, 0.0)
    >>> round(divergences(apart, torch.tensor([-200.0, 0.0]))[1].item(), 6)
    1.0
    """
    log_p, log_q = torch.log_softmax(reference, dim=-1), torch.log_softmax(logits, dim=-1)
    p, q = log_p.exp(), log_q.exp()
    kl = (log_p - log_q) @ p
    log_m = (p + q).mul_(0.5).log_()
    # 0 log 0 = 0: a probability that underflows adds nothing
    log_m = torch.where(log_m > -math.inf, log_m, 0.0)
    q_part = (q * (log_q - log_m).masked_fill_(q == 0, 0.0)).sum(dim=-1)
    p_part = (p * (log_p - log_m).masked_fill_(p == 0, 0.0)).sum(dim=-1)
    bits = (p_part + q_part) / (2 * math.log(2))
    return kl.clamp_(min=0), bits.clamp_(min=0).sqrt_()
