"""What the two conventions share: curves and their completeness, the answer of a statistic, lines and areas.

Curves have any shape with the steps last, (..., step); step 0 is the first point, and answers have the shape (...).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plateaulens.names import statistic

LINE_END = 9
"""First nonlinearity: the straight line that a curve is held against runs from step 0 to this step."""
RATIO_START = statistic("auc_ratio").start
"""Triangle-to-area ratio: the first step looked at."""


class Thresholds(NamedTuple):
    """What counts as an event on the curves of one metric."""

    minimum_slope: float
    """The rise per step below which a curve never moves, in the metric's units."""
    tolerance: float
    """The relative departure from a straight line that counts as one."""
    plateau: float | None
    """The value at which a plateau has ended, in the metric's units; None for a metric without plateaus."""


class StepValues(NamedTuple):
    """A statistic of each curve: the step at which the event happens, and whether it lies beyond the window."""

    value: NDArray[np.float64]
    """In steps; of a censored curve NaN, or the number that the authors give it."""
    censored: NDArray[np.bool_]
    """In the same shape; False for an incomplete curve, whose value is NaN."""


class Curves(NamedTuple):
    """Curves, and which of them are complete."""

    points: NDArray[np.float64]
    """(..., step); 0 throughout where a curve is incomplete."""
    complete: NDArray[np.bool_]
    """(...)."""

    @property
    def steps(self) -> int:
        """The number of points, step 0 included."""
        return int(self.points.shape[-1])


def as_curves(curve: ArrayLike) -> Curves:
    """Split curves from their completeness.

    Parameters
    ----------
    curve
        (..., step).

    Returns
    -------
    Curves
        In float64; a curve with a NaN or an infinity anywhere is incomplete.
    """
    points = np.asarray(curve, dtype=np.float64)
    complete = np.asarray(np.isfinite(points).all(axis=-1))
    return Curves(np.where(complete[..., np.newaxis], points, 0.0), complete)


def answer(step: ArrayLike, happened: ArrayLike, curves: Curves, sentinel: float = np.nan) -> StepValues:
    """The answer of a statistic that every complete curve has.

    Parameters
    ----------
    step
        (...), the step of the event where it happened; anything elsewhere.
    happened
        (...), whether the event happens inside the window.
    curves
        The curves, of which incomplete ones have no answer.
    sentinel
        The value where the event did not happen.

    Returns
    -------
    StepValues
        (...); where the event did not happen the curve is censored. Incomplete curves are NaN and not censored.
    """
    value = np.where(curves.complete, np.where(happened, step, sentinel), np.nan)
    return StepValues(value, np.asarray(curves.complete & ~np.asarray(happened)))


def undefined(curves: Curves) -> StepValues:
    """The answer of a statistic that such curves do not have.

    Parameters
    ----------
    curves
        The curves.

    Returns
    -------
    StepValues
        (...), NaN everywhere and nothing censored.
    """
    return StepValues(np.full(curves.complete.shape, np.nan), np.zeros(curves.complete.shape, dtype=np.bool_))


def straight_line(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The line through steps 0 and 9 of each curve, at the steps after 9.

    Parameters
    ----------
    points
        (..., step), more than 9 steps.

    Returns
    -------
    ndarray
        (..., step - 10), from step 10 on, in the units of the curves.
    """
    start, end = points[..., :1], points[..., LINE_END : LINE_END + 1]
    return start + (end - start) / LINE_END * np.arange(LINE_END + 1, points.shape[-1])


def cumulative_area(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area below each curve from step 0 to every step, by the trapezoid rule with unit step.

    Parameters
    ----------
    points
        (..., step).

    Returns
    -------
    ndarray
        (..., step), in the units of the curves times steps; 0 at step 0.

    Examples
    --------
    >>> cumulative_area(np.array([0.0, 2.0, 2.0]))
    array([0., 1., 3.])
    """
    area = np.zeros_like(points)
    np.cumsum((points[..., 1:] + points[..., :-1]) / 2, axis=-1, out=area[..., 1:])
    return area
