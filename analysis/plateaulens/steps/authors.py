"""The step statistics as the authors' notebooks compute them, constants included, for comparison with their numbers.

Source: branch `explorations` of github.com/jettjaniak/teren, functions `find_blowup_max_slope` and
`max_space_ratio_step` of notebooks/replications.ipynb and the cells around them (the code that goes with Giglemiani et
al. 2024, arXiv 2409.15019). What differs from `plateaulens.steps.corrected`:

- The maximum slope and the area ratio look only at the points before `target_step`, which is the number of whole steps
  to the target (or 100 when steps are relative): how late an event can be found depends on how far away the target is.
- An event that is not found gets a number: 99 (maximum slope), 100 (plateau length), the number of points (first
  nonlinearity). Here that number is the value and the curve is marked as censored too.
- Their thresholds are fixed and the same for every metric. The plateau length exists for the L2 distance alone.

Their curves have 100 points and PlateauLens' 101 by default; 99 and 100 are theirs and do not move with the length.
Every function takes curves (..., step) and answers with arrays (...). Incomplete curves are undefined, as everywhere.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plateaulens.steps.curves import (
    LINE_END,
    RATIO_START,
    StepValues,
    answer,
    as_curves,
    cumulative_area,
    straight_line,
    undefined,
)

POINTS = 100
"""Of their curves."""
_FARTHEST = 1_000_000
"""Steps beyond which no target is said to lie: no curve has as many, and a quotient of any size is no whole number."""
MINIMUM_SLOPE = 0.02
"""The rise per step below which nothing has blown up, in the units of any metric."""
TOLERANCE = 0.2
"""The relative departure from the straight line that counts as one."""
PLATEAU_THRESHOLD = 20.0
"""The L2 distance at which a plateau has ended."""


def search_window(path_length: ArrayLike, step_length: float | None) -> NDArray[np.int_]:
    """Their `target_step`: floor(path length / step length), or 100 for relative steps.

    Parameters
    ----------
    path_length
        (...), distance from the start of each path to its target, in the units of the activation.
    step_length
        Distance between two points in the same units, None for steps relative to the path.

    Returns
    -------
    ndarray of int
        (...), in steps, a million where it is more; 0 where the path length is NaN and steps have a length.

    Examples
    --------
    >>> search_window([10.3, 0.4], step_length=0.5)
    array([20,  0])
    """
    path = np.asarray(path_length, dtype=np.float64)
    if step_length is None:
        return np.full(path.shape, POINTS)
    return np.floor(np.minimum(np.nan_to_num(path) / step_length, _FARTHEST)).astype(np.int_)


def max_slope(curve: ArrayLike, window: ArrayLike) -> StepValues:
    """The step that the steepest rise before the window's end arrives at, else 99.

    They pad the rises in front with the first of them, so an index is the arriving step. They sort the rises and take
    the last; which of equal ones that is depends on their sort, and here it is the last of them.

    Parameters
    ----------
    curve
        (..., step), at least 2 points.
    window
        (...), as `search_window` gives it.

    Returns
    -------
    StepValues
        (...), 99 and censored where none of those rises exceeds 0.02. A window without a rise, where their function
        fails, counts as one of these.

    Examples
    --------
    >>> max_slope([0.0, 1.0, 1.0, 9.0], window=3).value  # the rise to step 3 lies outside
    array(1.)
    """
    curves = as_curves(curve)
    inside = np.arange(1, curves.steps) < np.asarray(window)[..., np.newaxis]
    rises = np.where(inside, np.diff(curves.points), -np.inf)
    last = curves.steps - 1 - rises[..., ::-1].argmax(axis=-1)
    return answer(last, rises.max(axis=-1) > MINIMUM_SLOPE, curves, sentinel=POINTS - 1)


def first_nonlinearity(curve: ArrayLike) -> StepValues:
    """The step before the first one from 10 on with |y - L| / L > 0.2, L the line through steps 0 and 9.

    The quotient has the line's sign: where the line is below 0 nothing ever counts, and where it is 0 any other value
    does.

    Parameters
    ----------
    curve
        (..., step).

    Returns
    -------
    StepValues
        (...), the number of points and censored where there is no such step. Undefined for curves of fewer than 11
        points, which their function refuses.

    Examples
    --------
    >>> first_nonlinearity([0.0] * 15 + [1.0] * 5).value
    array(14.)
    """
    curves = as_curves(curve)
    if curves.steps <= LINE_END + 1:
        return undefined(curves)
    line = straight_line(curves.points)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.abs(curves.points[..., LINE_END + 1 :] - line) / line > TOLERANCE
    return answer(left.argmax(axis=-1) + LINE_END, left.any(axis=-1), curves, sentinel=curves.steps)


def auc_ratio(curve: ArrayLike, window: ArrayLike) -> StepValues:
    """The step k from 5 to `window` - 2 with the largest ((k + 1) y[k] / 2) / trapezoid area of y[0..k].

    The triangle's base is one step wider than the area's: a straight line has ratio (k + 1) / k, largest at the first
    step looked at, which is why their figures have a spike at steps 5 to 8. A ratio over an area of 0 is 0; the first
    of equal ones counts.

    Parameters
    ----------
    curve
        (..., step).
    window
        (...), as `search_window` gives it.

    Returns
    -------
    StepValues
        (...). A window of fewer than 7 points has no ratio: their function fails, and here the curve is censored with
        no value.
    """
    curves = as_curves(curve)
    k = np.arange(curves.steps)
    area = cumulative_area(curves.points)
    ratio = np.divide(curves.points * (k + 1) / 2, area, out=np.zeros_like(area), where=area != 0)
    points = np.minimum(window, curves.steps)[..., np.newaxis]
    inside = np.broadcast_to((k >= RATIO_START) & (k <= points - 2), ratio.shape)
    return answer(np.where(inside, ratio, -np.inf).argmax(axis=-1), inside.any(axis=-1), curves)


def plateau_length(curve: ArrayLike) -> StepValues:
    """The first step at or above 20, else 100. For L2 distances only.

    Parameters
    ----------
    curve
        (..., step).

    Returns
    -------
    StepValues
        (...), 100 and censored where the curve stays below 20.
    """
    curves = as_curves(curve)
    reached = curves.points >= PLATEAU_THRESHOLD
    return answer(reached.argmax(axis=-1), reached.any(axis=-1), curves, sentinel=POINTS)


EVALUATED: dict[str, Callable[[ArrayLike, str, ArrayLike], StepValues]] = {
    "max_slope": lambda curve, _, window: max_slope(curve, window),
    "first_nonlinearity": lambda curve, _, __: first_nonlinearity(curve),
    "auc_ratio": lambda curve, _, window: auc_ratio(curve, window),
    "plateau_length": lambda curve, metric, _: plateau_length(curve) if metric == "l2" else undefined(as_curves(curve)),
}
"""By name, the statistics that the authors have, of curves of a metric with a search window."""
