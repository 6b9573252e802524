"""The step statistics as PlateauLens defines them: over the whole stored window, with censoring in place of sentinels.

Every function takes curves that start at 0, (..., step), and names the step at which the event is first seen (the step
that is arrived at), (...). A curve whose event does not happen inside the window is censored, with the value NaN.
A curve with a NaN or an infinity is undefined: NaN and not censored, so that it drops out of every count.

The ideas are those of Giglemiani et al. (2024, arXiv 2409.15019) and of their notebooks, whose own variants are in
`plateaulens.steps.authors`; each function says what it changes.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plateaulens.steps.curves import (
    LINE_END,
    RATIO_START,
    StepValues,
    Thresholds,
    answer,
    as_curves,
    cumulative_area,
    straight_line,
    undefined,
)

RATIO_TOLERANCE = 1e-6
"""How far above 1 a triangle-to-area ratio must be to count: a straight line in single precision stays below."""

ROUNDING = 5e-4
"""By how much curves differ between a CPU and a GPU, as a share of their largest value: measured on L2, less on KL."""


def max_slope(curve: ArrayLike, minimum_slope: float) -> StepValues:
    """The step that the steepest rise arrives at: argmax over k >= 1 of y[k] - y[k-1], the first in a tie.

    Unlike the authors' it searches every stored step, so that the window does not depend on how far away the target is,
    and ties are settled.

    Parameters
    ----------
    curve
        (..., step), at least 2 points.
    minimum_slope
        The rise per step that the largest one must exceed, in the units of the curves.

    Returns
    -------
    StepValues
        (...), censored where the largest rise does not exceed `minimum_slope`.

    Examples
    --------
    >>> max_slope([0.0, 0.1, 3.0, 3.1], minimum_slope=0.02).value
    array(2.)
    >>> max_slope([0.0, 0.01, 0.02, 0.03], minimum_slope=0.02)
    StepValues(value=array(nan), censored=array(True))
    """
    curves = as_curves(curve)
    rises = np.diff(curves.points)
    return answer(rises.argmax(axis=-1) + 1, rises.max(axis=-1) > minimum_slope, curves)


def first_nonlinearity(curve: ArrayLike, tolerance: float, floor: float) -> StepValues:
    """The first step from 10 on that leaves the straight line through steps 0 and 9.

    With the line L[k] = y[0] + k (y[9] - y[0]) / 9 it is the first k >= 10 with |y[k] - L[k]| above both
    `tolerance` |L[k]| and `floor`. The authors name the step before this one.

    Parameters
    ----------
    curve
        (..., step).
    tolerance
        The departure that counts, as a fraction of the line.
    floor
        The departure that counts, in the units of the curves: one no larger than it is no departure. It decides where
        the line is flat or falls, where the authors' quotient by L[k] is infinite or negative, so that a curve which is
        0 (or rounding noise) for a while leaves its line when it really rises.

    Returns
    -------
    StepValues
        (...), censored where no step leaves the line; undefined for curves of fewer than 11 points.

    Examples
    --------
    >>> first_nonlinearity([0.0] * 15 + [1.0] * 5, tolerance=0.2, floor=0.02).value
    array(15.)
    """
    curves = as_curves(curve)
    if curves.steps <= LINE_END + 1:
        return undefined(curves)
    line = straight_line(curves.points)
    left = np.abs(curves.points[..., LINE_END + 1 :] - line) > np.maximum(tolerance * np.abs(line), floor)
    return answer(left.argmax(axis=-1) + LINE_END + 1, left.any(axis=-1), curves)


def auc_ratio(curve: ArrayLike, minimum_slope: float) -> StepValues:
    """The step k >= 5 at which the triangle below the chord is largest relative to the area below the curve.

    ratio[k] = (k y[k] / 2) / trapezoid area of y[0..k]; argmax, the first in a tie. Triangle and area stand on the same
    base 0..k, so a straight line has ratio 1 everywhere; the authors' triangle is one step wider. A ratio over an area
    that is not positive counts as 0.

    Parameters
    ----------
    curve
        (..., step).
    minimum_slope
        The rise per step that the largest one must exceed, in the units of the curves.

    Returns
    -------
    StepValues
        (...), censored where no ratio exceeds 1 (the curve never bends upwards) and where the largest rise does not
        exceed `minimum_slope` (the curve never moves, and the ratio is that of rounding noise). Undefined for curves of
        fewer than 6 points.

    Examples
    --------
    >>> auc_ratio([0, 1, 1, 1, 1, 1, 1, 8, 8, 8], minimum_slope=0.02).value  # ratio (7 * 8 / 2) / 10
    array(7.)
    """
    curves = as_curves(curve)
    if curves.steps <= RATIO_START:
        return undefined(curves)
    triangle = curves.points * np.arange(curves.steps) / 2
    area = cumulative_area(curves.points)
    ratio = np.divide(triangle, area, out=np.zeros_like(area), where=area > 0)[..., RATIO_START:]
    bends = ratio.max(axis=-1) > 1 + RATIO_TOLERANCE
    moves = np.diff(curves.points).max(axis=-1) > minimum_slope
    return answer(ratio.argmax(axis=-1) + RATIO_START, bends & moves, curves)


def plateau_length(curve: ArrayLike, threshold: float) -> StepValues:
    """The first step at which the curve is at or above a threshold.

    Parameters
    ----------
    curve
        (..., step).
    threshold
        The value at which a plateau has ended, in the units of the curves.

    Returns
    -------
    StepValues
        (...), censored where the curve stays below.

    Examples
    --------
    >>> plateau_length([0.0, 19.9, 20.0, 19.0], threshold=20.0).value
    array(2.)
    """
    curves = as_curves(curve)
    reached = curves.points >= threshold
    return answer(reached.argmax(axis=-1), reached.any(axis=-1), curves)


def half_height(curve: ArrayLike, minimum_slope: float) -> StepValues:
    """The first step k at which the curve is at or above half of its end, y[k] >= y[last] / 2.

    The authors have no such statistic.

    Parameters
    ----------
    curve
        (..., step), at least 2 points.
    minimum_slope
        The rise per step that the largest one must exceed, in the units of the curves.

    Returns
    -------
    StepValues
        (...), censored where the curve does not end above 0, and where its largest rise does not exceed `minimum_slope`
        (it never moves, and half of its end is rounding noise).

    Examples
    --------
    >>> half_height([0.0, 1.0, 4.9, 5.0, 9.0, 10.0], minimum_slope=0.02).value
    array(3.)
    """
    curves = as_curves(curve)
    end = curves.points[..., -1]
    reached = curves.points >= end[..., np.newaxis] / 2
    moves = np.diff(curves.points).max(axis=-1) > minimum_slope
    return answer(reached.argmax(axis=-1), (end > 0) & moves, curves)


def steepest_point(curve: ArrayLike, minimum_slope: float) -> StepValues:
    """The max-slope step with what is between steps: the vertex of the parabola through the three rises around it.

    With the largest rise b at step k and its neighbours a and c it is k + (a - c) / (2 (a - 2b + c)), which is within
    half a step of k: that of the curve through whose rises a parabola passes exactly. Where a neighbour is missing, or
    as large (a flat top), it is k.

    Parameters
    ----------
    curve
        (..., step), at least 2 points.
    minimum_slope
        The rise per step that the largest one must exceed, in the units of the curves.

    Returns
    -------
    StepValues
        (...), censored as `max_slope` is.

    Examples
    --------
    >>> steepest_point([0.0, 1.0, 4.0, 6.0], minimum_slope=0.02).value  # rises 1, 3, 2
    array(2.16666667)
    """
    curves = as_curves(curve)
    rises = np.diff(curves.points)
    place, before, largest, behind = _around_the_largest(rises)
    bend = before - 2 * largest + behind
    shift = np.divide(before - behind, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
    return answer(place + 1 + np.clip(shift, -0.5, 0.5), rises.max(axis=-1) > minimum_slope, curves)


def max_slope_error(curve: ArrayLike, minimum_slope: float, noise: float = ROUNDING) -> StepValues:
    """How many steps the steepest point may be off, when every value of the curve may be by a share of the largest.

    Two rises may then differ by 4 e from what they are, with e = `noise` max |y|. So any step whose rise is within 4 e
    of the largest could be the max-slope step, and the answer is the distance to the farthest of them. Where that is
    the step itself, it is how far the vertex of `steepest_point` moves, 4 e / |a - 2b + c|, at most half a step.

    Parameters
    ----------
    curve
        (..., step), at least 2 points.
    minimum_slope
        As in `max_slope`.
    noise
        By which share of their largest a curve's values differ between devices.

    Returns
    -------
    StepValues
        (...), in steps; censored as `max_slope` is.

    Examples
    --------
    >>> max_slope_error([0.0, 1.0, 1.0, 2.0], minimum_slope=0.02).value  # two rises of 1, two steps apart
    array(2.)
    """
    curves = as_curves(curve)
    rises = np.diff(curves.points)
    place, before, largest, behind = _around_the_largest(rises)
    allowed = 4 * noise * np.abs(curves.points).max(axis=-1)
    near = rises >= (largest - allowed)[..., np.newaxis]
    farthest = np.where(near, np.abs(np.arange(rises.shape[-1]) - place[..., np.newaxis]), 0).max(axis=-1)
    bend = np.abs(before - 2 * largest + behind)
    moved = np.divide(allowed, bend, out=np.full_like(bend, 0.5), where=bend > 0)
    return answer(np.maximum(farthest, np.minimum(moved, 0.5)), rises.max(axis=-1) > minimum_slope, curves)


def _around_the_largest(
    rises: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The place of the largest rise, the one before it, itself, and the one behind; at an end all three are itself."""
    place = rises.argmax(axis=-1)
    last = rises.shape[-1] - 1

    def at(index: NDArray[np.int64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.take_along_axis(rises, index[..., np.newaxis], axis=-1)[..., 0]
        return found

    inside = (place > 0) & (place < last)
    largest = at(place)
    before = np.where(inside, at(np.maximum(place - 1, 0)), largest)
    behind = np.where(inside, at(np.minimum(place + 1, last)), largest)
    return place, before, largest, behind


EVALUATED: dict[str, Callable[[ArrayLike, Thresholds], StepValues]] = {
    "max_slope": lambda curve, own: max_slope(curve, own.minimum_slope),
    "first_nonlinearity": lambda curve, own: first_nonlinearity(curve, own.tolerance, floor=own.minimum_slope),
    "auc_ratio": lambda curve, own: auc_ratio(curve, own.minimum_slope),
    "plateau_length": lambda curve, own: (
        undefined(as_curves(curve)) if own.plateau is None else plateau_length(curve, own.plateau)
    ),
    "half_height": lambda curve, own: half_height(curve, own.minimum_slope),
    "steepest_point": lambda curve, own: steepest_point(curve, own.minimum_slope),
    "max_slope_error": lambda curve, own: max_slope_error(curve, own.minimum_slope),
}
"""By name, every statistic with a metric's thresholds in place; one that a metric does not have is undefined."""
