"""What the two conventions share: curves and their completeness, the answer of a statistic, lines and areas."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONVENTIONS = ("corrected", "authors")

STATISTICS = {
    "max_slope": "max-slope step",
    "first_nonlinearity": "first nonlinear step",
    "auc_ratio": "step of the largest triangle-to-area ratio",
    "plateau_length": "plateau length",
}
"""The statistics in the order in which they are stored, each with its name in words. All are counted in steps."""

DEFINITIONS = {
    "corrected": {
        "max_slope": "step that the steepest rise of the window arrives at; censored below the minimum slope",
        "first_nonlinearity": "first step that leaves the line; censored when there is none",
        "auc_ratio": "triangle and area on one base, whole window; censored when no ratio exceeds 1",
        "plateau_length": "first step at the threshold; censored when there is none",
    },
    "authors": {
        "max_slope": "step that the steepest rise before the target arrives at; 99 when none exceeds 0.02",
        "first_nonlinearity": "step before the first that leaves the line; the number of points when there is none",
        "auc_ratio": "triangle one step wider than the area, points before the target",
        "plateau_length": "first step at 20, L2 only; 100 when there is none",
    },
}
"""What each convention makes of each statistic, in a few words that a summary carries along."""

METRIC_DEFINITIONS = {
    "l2": "L2 distance at the read site",
    "kl": "KL(reference || perturbed) of the next token, in the authors' published runs too",
    "js": "Jensen-Shannon distance of the next token, root of the divergence in bits",
}
"""The metrics in words; what a curve of each one shows."""

LINE_END = 9
"""First nonlinearity: the straight line that a curve is held against runs from step 0 to this step."""
RATIO_START = 5
"""Triangle-to-area ratio: the first step looked at; before it, rounding noise around 0 makes ratios of any size."""


class StepValues(NamedTuple):
    """A statistic of each curve: the step, and whether the event lies beyond the window, where the step is NaN."""

    value: NDArray[np.float64]
    censored: NDArray[np.bool_]


class Curves(NamedTuple):
    """Curves as float64 with a last axis of steps, 0 throughout where incomplete, and which of them are complete."""

    points: NDArray[np.float64]
    complete: NDArray[np.bool_]

    @property
    def steps(self) -> int:
        """The number of points, step 0 included."""
        return int(self.points.shape[-1])


def as_curves(curve: ArrayLike) -> Curves:
    """Split curves from their completeness. A curve with a NaN or an infinity anywhere is incomplete."""
    points = np.asarray(curve, dtype=np.float64)
    complete = np.asarray(np.isfinite(points).all(axis=-1))
    return Curves(np.where(complete[..., np.newaxis], points, 0.0), complete)


def conclude(step: ArrayLike, happened: ArrayLike, curves: Curves, sentinel: float = np.nan) -> StepValues:
    """The step where the event happened, else censored with `sentinel`; incomplete curves are NaN and not censored."""
    value = np.where(curves.complete, np.where(happened, step, sentinel), np.nan)
    return StepValues(value, np.asarray(curves.complete & ~np.asarray(happened)))


def undefined(curves: Curves) -> StepValues:
    """The answer of a statistic that such curves do not have: NaN everywhere, and nothing censored."""
    return StepValues(np.full(curves.complete.shape, np.nan), np.zeros(curves.complete.shape, dtype=np.bool_))


def straight_line(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The line through steps 0 and 9 of each curve, at the steps after 9."""
    start, end = points[..., :1], points[..., LINE_END : LINE_END + 1]
    return start + (end - start) / LINE_END * np.arange(LINE_END + 1, points.shape[-1])


def cumulative_area(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area below each curve from step 0 to every step, by the trapezoid rule with unit step; 0 at step 0.

    >>> cumulative_area(np.array([0.0, 2.0, 2.0]))
    array([0., 1., 3.])
    """
    area = np.zeros_like(points)
    np.cumsum((points[..., 1:] + points[..., :-1]) / 2, axis=-1, out=area[..., 1:])
    return area
