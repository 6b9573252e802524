"""By how much products in bfloat16 move what is read off the curves."""

from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from bench.work import Size, engine, make_work
from plateaulens.config import AnalysisConfig
from plateaulens.names import DEFAULT_METRICS as METRICS
from plateaulens.names import DEFAULT_STATISTICS as STATISTICS
from plateaulens.scan.direct import choose_forward
from plateaulens.steps.dataset import step_statistics
from plateaulens.subject.model import Subject


class Move(TypedDict):
    """One statistic of one metric in bfloat16 against float32."""

    statistic: str
    metric: str
    same: float
    """Share of the paths where it is the very same step."""
    within_one: float
    """Share where it is at most one step away."""
    mean: float
    """Mean of bfloat16 minus float32, in steps, where both have the event."""
    mean_size: float
    """Mean size of that difference."""
    float32_mean: float
    censored_changed: float
    """Share where one of the two has the event and the other has not."""


def compare(subject: Subject, size: Size, tokens: Int[Tensor, "prompt position"] | None = None) -> list[Move]:
    """Every statistic under the corrected convention, in bfloat16 against float32.

    Parameters
    ----------
    subject
        The model.
    size
        How many paths there are, and of what shape.
    tokens
        Prompts; see `make_work`.

    Returns
    -------
    list of Move
        One for each statistic and metric, but for those of which no path has the event in both.
    """
    work = make_work(subject, size, tokens)
    length = (work.end - work.start).norm(dim=-1).numpy()

    def statistics(precision: str) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]:
        forward = choose_forward(subject, "bf16" if precision == "bf16" else "float32")
        curve: Tensor = torch.cat([measured.curve for measured in engine(subject, forward, work)])
        by_metric = curve.movedim(-1, 0).numpy()
        found = step_statistics(by_metric, length, METRICS, step_length=None, settings=AnalysisConfig())
        return found.value[0], found.censored[0]

    (exact, exact_censored), (rounded, rounded_censored) = statistics("float32"), statistics("bf16")
    moves = []
    for s, statistic in enumerate(STATISTICS):
        for m, metric in enumerate(METRICS):
            both = np.isfinite(exact[s, m]) & np.isfinite(rounded[s, m])
            if not both.any():
                continue
            moved = (rounded[s, m] - exact[s, m])[both]
            moves.append(
                Move(
                    statistic=statistic,
                    metric=metric,
                    same=float((moved == 0).mean()),
                    within_one=float((np.abs(moved) <= 1).mean()),
                    mean=float(moved.mean()),
                    mean_size=float(np.abs(moved).mean()),
                    float32_mean=float(exact[s, m][both].mean()),
                    censored_changed=float((exact_censored[s, m] != rounded_censored[s, m]).mean()),
                )
            )
    return moves
