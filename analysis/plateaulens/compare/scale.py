"""A scale from one type to another: how far a third has come on it, and how long its plateaus are.

**Share of the way: `share_of_the_way`.** With F the distribution function of a type's steps, R that of the real ones
and G that of the type at the scale's other end, a type has come

    1 - sup |F - R| / sup |G - R|

of the way from G to R: 1 where it is distributed as R, 0 where it lies as far from R as G does, below 0 where it lies
farther. It is never above 1, as no distance is below 0.

Both distances are biased upwards, and neither is differentiable at 0 (see `plateaulens.compare.distances`), so the
interval is not made of draws of the quotient. A share of 1 - x is kept unless the data speak against it: where

    | sup |F^ - R^| - x sup |G^ - R^| | > c(x)

with c(x) the quantile over the resamples of e_F + x e_G, the largest errors of F - R and of G - R in one and the same
resample (Fieller's construction, with the bands of the distances in the place of normal errors; Fieller 1954, JRSS B
16:175). As the triangle inequality bounds the left side by that sum, this holds at a distance of 0 as anywhere, in
large samples, and more often than it claims. Where the band of sup |G - R| reaches 0, no x can be refused: the two ends
of the scale are not told apart, and there is no share.

**Ratio of means: `ratio_of_means`.** The mean of one type's lengths over that of the real ones, with a studentised
interval: the standard error of a resample is that of t - x r over the mean of r, x the resample's own ratio.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.distances import distances
from plateaulens.compare.intervals import ROUNDING, rare_reach, studentised_interval, widened
from plateaulens.compare.resampling import Resampling, percentile_interval, quantile, ratio

HALVINGS = 45
"""Of the range in which an end of an interval is looked for: more than a float32 could tell apart."""
FARTHEST = 1000.0
"""Where a type may lie so many times as far from real as the scale's other end, its interval has no lower end."""


class Scaled(NamedTuple):
    """Estimates on a scale and their intervals."""

    estimate: NDArray[np.float64]
    """(type,); NaN where the scale is not defined."""
    interval: NDArray[np.float64]
    """(type, 2); NaN where the estimate is."""


def share_of_the_way(
    differences: NDArray[np.float64], reach: NDArray[np.float64], *, start: int, confidence: float
) -> Scaled:
    """How much of the way from the type `start` to the reference each type has come; see the module's docstring.

    Parameters
    ----------
    differences
        F - R of the sample (row 0) and of its resamples, (1 + resamples, type, bins).
    reach
        How far each distance's interval has to reach at least, because few pairs differ, (type,).
    start
        The number of the type at which the scale has its 0.
    confidence
        The nominal coverage of each interval.

    Returns
    -------
    Scaled
        Shares, which are not cut at 0, and intervals, whose lower end is minus infinity where `start` is hardly told
        apart from the reference; NaN everywhere where it is not, and for a type without a distance. The share of
        `start` itself is 0, and known.
    """
    point = distances(differences[0])
    error = distances(differences[1:] - differences[0])
    whole, whole_error = point[start], error[:, start]
    if not whole > max(float(quantile(whole_error, confidence)), reach[start]):
        nothing = np.full(len(point), np.nan)
        return Scaled(nothing, np.stack([nothing, nothing], axis=-1))

    def is_refused(left: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the data speak against so much of the way being left, for each type."""
        bound = quantile(error + left * whole_error[:, np.newaxis], confidence)
        return np.asarray(np.abs(point - left * whole) > np.maximum(bound, reach))

    left = ratio(point, np.full_like(point, whole))
    nearest = _border(left, np.zeros_like(left), is_refused)
    farthest = _border(left, np.full_like(left, FARTHEST), is_refused)
    interval = np.stack([np.where(farthest < FARTHEST, 1 - farthest, -np.inf), 1 - nearest], axis=-1)
    interval[start] = 0.0
    return Scaled(1 - left, np.where(np.isnan(left)[:, np.newaxis], np.nan, interval))


def _border(
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    is_refused: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Between what is kept and what may be refused, where refusing begins; `outside` itself where it is kept."""
    kept, refused = inside.copy(), outside.copy()
    is_open = ~is_refused(outside)
    for _ in range(HALVINGS):
        middle = (kept + refused) / 2
        out = is_refused(middle)
        kept, refused = np.where(out, kept, middle), np.where(out, middle, refused)
    return np.where(is_open, outside, refused)


def ratio_of_means(value: NDArray[np.float64], resampling: Resampling, *, reference: int, confidence: float) -> Scaled:
    """Means of types over the mean of the reference, over the base prompts that have both.

    Parameters
    ----------
    value
        Finite numbers from 0 on, or NaN for none, (type, sample).
    resampling
        Resamples of the base prompts.
    reference
        The number of the type that the others are measured by.
    confidence
        The nominal coverage of each interval.

    Returns
    -------
    Scaled
        Ratios; NaN without a base prompt that has both, and where the reference's mean is 0. The reference's own is 1,
        and known.
    """
    there = np.isfinite(value) & np.isfinite(value[reference])
    own, other = np.where(there, value, 0.0), np.where(there, value[reference], 0.0)
    number, top, below, squares, products, below_squares = (
        resampling.sums(np.moveaxis(each, -1, 0)) for each in (there, own, other, own**2, own * other, other**2)
    )
    found = ratio(top, below)
    # t - x r has the mean 0 by the choice of x
    scatter = np.maximum(squares - 2 * found * products + found**2 * below_squares, 0.0)
    scatter = np.where(scatter > ROUNDING * squares, scatter, 0.0)
    error = ratio(np.sqrt(ratio(scatter, number * np.maximum(number - 1, 0))) * number, below)
    interval = studentised_interval(found, error, confidence, fallback=percentile_interval(found[1:], confidence))
    pairs = number[0] * resampling.worth
    changed = (there & (value != value[reference])).sum(axis=-1) * resampling.worth
    far = np.where(there, np.abs(value - value[reference]), 0.0).max(axis=-1, initial=0.0)
    span = np.maximum(far, ratio(below[0], number[0]))  # a pair that differs, where the sample has none
    reach = np.nan_to_num(ratio(rare_reach(changed, pairs, confidence) * span * number[0], below[0]))
    reach[reference] = 0.0
    return Scaled(found[0], np.maximum(widened(found[0], interval, reach), 0.0))
