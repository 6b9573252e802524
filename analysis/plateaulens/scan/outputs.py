"""Next-token distributions along a path, beside that of the path's first point, and what output metrics share of them.

Output metrics are sums over the vocabulary of terms in p (the reference) and q (perturbed). What they share is computed
once, for as many points at a time as stay in a CPU's caches.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

NUMBERS_IN_CACHE = 2**18
"""Logits that are worked on at once on a CPU: a dozen passes over them are several times slower from main memory."""
LOG_FLOOR = -80.0
"""Smallest log probability of a reference token: even over the smallest p, q / p is a float32 number."""
FUSED_METRICS = ("kl", "js")
"""Output metrics that `plateaulens.scan.fused` computes by kernels on a GPU, when no others are asked for."""
GROUP = 256
"""Logits of which only the largest is kept in a first pass, on a CPU."""


class Reference:
    """The next-token distribution p that the points of a path are compared with.

    Tokens that p rules out weigh nothing in p, however they are floored; q gets the same floor where it is needed, so
    that equal logits stay equal.

    Parameters
    ----------
    logits
        Of the reference, shaped (vocabulary,).
    """

    def __init__(self, logits: Float[Tensor, " vocabulary"]) -> None:
        log_p = torch.log_softmax(logits, dim=-1)
        self.floor: Tensor = torch.where(log_p < LOG_FLOOR, LOG_FLOOR, -math.inf)
        self.log_p: Tensor = torch.maximum(log_p, self.floor)
        self.p: Tensor = self.log_p.exp()

    def beside(self, logits: Float[Tensor, "step vocabulary"]) -> Iterator["Outputs"]:
        """The distributions of some points, in the order of the points, as many at a time as stay in cache.

        Parameters
        ----------
        logits
            Of the points, shaped (step, vocabulary).

        Returns
        -------
        Iterator of Outputs
            Each of consecutive points, computed when it is asked for.
        """
        on_cpu = logits.device.type == "cpu"
        rows = max(1, NUMBERS_IN_CACHE // len(self.p)) if on_cpu else len(logits)
        return (Outputs(self, part) for part in logits.split(rows))


class Outputs:
    """The distributions q of some points beside p, as the quotients that divergences are made of.

    Parameters
    ----------
    reference
        The distribution p.
    logits
        Of the points, shaped (step, vocabulary).
    """

    def __init__(self, reference: Reference, logits: Float[Tensor, "step vocabulary"]) -> None:
        self.p: Float[Tensor, " vocabulary"] = reference.p
        log_q = torch.log_softmax(logits, dim=-1)
        self.log_q_over_p: Float[Tensor, "step vocabulary"] = torch.maximum(log_q, reference.floor, out=log_q).sub_(
            reference.log_p
        )
        self.excess: Float[Tensor, "step vocabulary"] = torch.expm1(self.log_q_over_p)
        """q / p - 1"""
        self._scratch: list[Tensor] = []

    def scratch(self, number: int) -> Float[Tensor, "step vocabulary"]:
        """Memory that a metric may write intermediate results into, shared with the metrics that follow.

        Parameters
        ----------
        number
            Which piece, from 0.

        Returns
        -------
        Tensor
            Of the shape of `excess`, with any content.
        """
        while len(self._scratch) <= number:
            self._scratch.append(torch.empty_like(self.excess))
        return self._scratch[number]


def top_token(logits: Float[Tensor, "step vocabulary"]) -> Int[Tensor, " step"]:
    """Id of the most likely next token; the lowest id in a tie.

    On a CPU, `argmax` takes seven times as long as `amax`: so the largest logit of each group of ids is found first,
    then the group that has the largest of all, then the id in it.

    Parameters
    ----------
    logits
        Shaped (step, vocabulary).

    Returns
    -------
    Tensor
        Ids shaped (step,).

    Examples
    --------
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


def likely_tokens(
    logits: Float[Tensor, "step vocabulary"], count: int
) -> tuple[Int[Tensor, "step rank"], Float[Tensor, "step rank"]]:
    """The most likely next tokens and their probabilities, the most likely first; the lowest id first in a tie.

    Parameters
    ----------
    logits
        Shaped (step, vocabulary).
    count
        How many tokens; of several that tie for the last place, which one is left open.

    Returns
    -------
    tuple of Tensor
        Ids and probabilities, both shaped (step, rank).

    Examples
    --------
    >>> token, probability = likely_tokens(torch.tensor([[0.0, 2.0, 2.0, 1.0]]).log(), 3)
    >>> token.tolist(), [round(each, 6) for each in probability[0].tolist()]
    ([[1, 2, 3]], [0.4, 0.4, 0.2])
    """
    token = logits.topk(count, dim=-1).indices.sort(dim=-1).values
    largest, order = logits.gather(-1, token).sort(dim=-1, descending=True, stable=True)
    return token.gather(-1, order), (largest - logits.logsumexp(dim=-1, keepdim=True)).exp()
