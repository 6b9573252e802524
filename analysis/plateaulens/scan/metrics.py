"""How far a perturbed output is from the unperturbed one."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

NUMBERS_IN_CACHE = 2**18
"""Logits that are worked on at once on a CPU: a dozen passes over them are several times slower from main memory."""
LOG_FLOOR = -80.0
"""Smallest log probability of a reference token: even over the smallest p, q / p is a float32 number."""
GROUP = 256
"""Logits of which only the largest is kept in a first pass, on a CPU."""


def l2_distance(
    read: Float[Tensor, "*path step d_model"], reference: Float[Tensor, "*path d_model"]
) -> Float[Tensor, "*path step"]:
    """Euclidean distance at the read site, in units of the residual stream."""
    distance: Tensor = torch.linalg.vector_norm(read - reference.unsqueeze(-2), dim=-1)
    return distance


def divergences(
    logits: Float[Tensor, "step vocabulary"], reference: Float[Tensor, " vocabulary"]
) -> tuple[Float[Tensor, " step"], Float[Tensor, " step"]]:
    """KL divergence and Jensen-Shannon distance between the next-token distributions p (reference) and q (perturbed).

    The first is `KL(p || q) = sum p log(p / q)` in nats: the direction that the paper's notebooks compute. The second
    is `sqrt(JSD)`, with `JSD = (KL(p || m) + KL(q || m)) / 2` in bits and `m = (p + q) / 2`, a metric between 0 and 1
    (Endres and Schindelin 2003, doi:10.1109/TIT.2003.813506).

    Both are sums over tokens of terms that are never negative and vanish with the square of q's distance from p; for
    KL that takes adding `q - p`, which sums to 0. So they keep their precision where p and q nearly agree. What
    rounding leaves below 0 is set to 0, and logits equal to the reference give exactly 0.

    >>> import torch
    >>> same, apart = torch.tensor([0.0, 0.0]), torch.tensor([[0.0, -200.0]])
    >>> kl, js = divergences(same[None], same)
    >>> kl.item(), js.item()
    (0.0, 0.0)
    >>> kl, js = divergences(apart, torch.tensor([-200.0, 0.0]))
    >>> kl.item(), round(js.item(), 5)
    (200.0, 1.0)
    """
    log_p = torch.log_softmax(reference, dim=-1)
    # tokens that p rules out weigh nothing in p, however they are floored; q's own floor makes equal logits stay equal
    floor = torch.where(log_p < LOG_FLOOR, LOG_FLOOR, -math.inf)
    log_p = torch.maximum(log_p, floor)
    p = log_p.exp()
    rows = max(1, NUMBERS_IN_CACHE // len(reference)) if logits.device.type == "cpu" else len(logits)
    kl, jsd = zip(*(_sums(block, log_p, p, floor) for block in logits.split(rows)), strict=True)
    return torch.cat(kl).clamp_(min=0), torch.cat(jsd).div_(2 * math.log(2)).clamp_(min=0).sqrt_()


def top_token(logits: Float[Tensor, "step vocabulary"]) -> Int[Tensor, " step"]:
    """Id of the most likely next token; the lowest id in a tie.

    On a CPU, `argmax` takes seven times as long as `amax`: so the largest logit of each group of ids is found first,
    then the group that has the largest of all, then the id in it.

    >>> top_token(torch.tensor([[0.0, 2.0, 2.0, 1.0]])).tolist()
    [1]
    """
    groups = logits.shape[1] // GROUP
    if logits.device.type != "cpu" or groups == 0:
        return logits.argmax(dim=-1)
    grouped, rest = logits.split([groups * GROUP, logits.shape[1] - groups * GROUP], dim=-1)
    grouped = grouped.unflatten(-1, (groups, GROUP))
    # ids that fill no group are groups of their own
    best = torch.cat([grouped.amax(dim=-1), rest], dim=-1).argmax(dim=-1)
    within = grouped[torch.arange(len(logits)), best.clamp(max=groups - 1)].argmax(dim=-1)
    return torch.where(best < groups, best * GROUP + within, best + groups * (GROUP - 1))


def _sums(
    logits: Float[Tensor, "step vocabulary"],
    log_p: Float[Tensor, " vocabulary"],
    p: Float[Tensor, " vocabulary"],
    floor: Float[Tensor, " vocabulary"],
) -> tuple[Float[Tensor, " step"], Float[Tensor, " step"]]:
    """`KL(p || q)` and `KL(p || m) + KL(q || m)` in nats, in three arrays that stay in cache."""
    log_q = torch.log_softmax(logits, dim=-1)
    log_q_over_p = torch.maximum(log_q, floor, out=log_q).sub_(log_p)
    excess = torch.expm1(log_q_over_p)  # q / p - 1
    spare = excess - log_q_over_p
    kl = spare @ p
    log_m_over_p = torch.mul(excess, 0.5, out=spare).log1p_()
    log_q_over_m = log_q_over_p.sub_(log_m_over_p)
    terms = torch.sub(log_q_over_m, log_m_over_p, out=spare).addcmul_(excess, log_q_over_m)
    return kl, terms @ p
