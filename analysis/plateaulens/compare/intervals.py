"""Bootstrap intervals beyond the percentile interval, and when which of them is the right one.

Which is stored for which quantity is decided by theory:

- **Studentised** (bootstrap-t) for a mean, a restricted mean and their paired differences: correct to second order,
  and it allows for the estimated standard error, which percentile and BCa intervals take for known; at 50 prompts that
  is most of the error. Each reaches at least as far as **Student's t** (`AT_LEAST_STUDENTS`): with few prompts, and
  under long tails, resamples vary too little in what they show, while t takes values for symmetric and allows for that.
- **None** for a standard deviation: under long tails the prompts that decide it are too rare to be in the sample.
- **BCa** (bias-corrected and accelerated; Efron 1987, JASA 82:171) for smooth quantities without a simple standard
  error: Cliff's delta. Correct to second order, and it respects the quantity's range.
- **Percentile**, with whole draws in place of interpolated ones, for quantiles.
- None of them for a distance or a difference of two, which have intervals of their own (see
  `plateaulens.compare.distances`), nor for a share near 0, where all draws may be 0: that has the exact interval.

In all of them draws that do not exist (NaN) are set aside, the result is NaN only where the point is, and where no
resample differs from the sample the interval is the point itself.

A bootstrap knows only what the sample has shown. Where hardly a pair differs, or hardly one does not, most resamples
repeat the sample, and an interval made of them ends at the point: `rare_reach` says how far the share of such pairs may
be from that of the sample, and `widened` lets an interval reach as far. `degenerate` says where there are too few base
prompts for any of it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit
from statsmodels.stats.proportion import proportion_confint

from plateaulens.compare.resampling import Resampling, percentile_interval, quantile, ratio

ROUNDING = 1e-9
"""The part of the largest difference below which a difference is none."""

AT_LEAST_STUDENTS = "studentised, at least Student's t"
"""The method of means and mean differences: bootstrap-t, where Student's t reaches no farther."""

MINIMUM = 6
"""Fewer base prompts settle nothing at 95 %: even a difference of one sign in all of 5 has probability 2 / 2**5."""

RELIABLE = 20
"""Below this number of base prompts intervals of means and deltas are not printed: what they hold is not known."""

RARE = 10
"""Fewer pairs than this that differ, or fail to differ, are few: a Poisson count's own spread is a third of it."""


def bca_interval(
    estimates: NDArray[np.float64], jackknife: NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """The BCa interval.

    Bias correction z0 = Phi^-1(share of draws below the point, ties half); acceleration a = sum(u^3) / (6 sum(u^2)^1.5)
    with u = mean of the jackknife estimates minus each; bounds are the draws' quantiles at Phi(z0 + (z0 + z) / (1 - a
    (z0 + z))), z the normal quantiles of the two tails.

    Parameters
    ----------
    estimates
        The sample's own (row 0) and those of its resamples, (1 + resamples, ...).
    jackknife
        The sample's own (row 0) and those without each group of base prompts, (1 + groups, ...).
    confidence
        The nominal coverage.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2); NaN where the point is.
    """
    point, draws = estimates[0], estimates[1:]
    change = draws - point
    # Draws that equal the point do so up to rounding, which must not decide on which side of it they count.
    tied = np.abs(change) <= ROUNDING * np.max(np.abs(change), axis=0, initial=0.0, where=np.isfinite(change))
    below = ratio((~tied & (change < 0)).sum(axis=0) + tied.sum(axis=0) / 2, np.isfinite(draws).sum(axis=0))
    # With every draw on one side of the point there is no bias to estimate: the correction stays finite.
    share = 1 / (2 * max(len(draws), 1))
    correction = ndtri(np.clip(below, share, 1 - share))
    there = np.isfinite(jackknife[1:])
    values = np.where(there, jackknife[1:], 0.0)
    influence = np.where(there, ratio(values.sum(axis=0), there.sum(axis=0)) - values, 0.0)
    spread = 6 * (influence**2).sum(axis=0) ** 1.5
    acceleration = np.nan_to_num(ratio((influence**3).sum(axis=0), spread))
    bounds = []
    for tail in _tails(confidence):
        shifted = correction + ndtri(tail)
        # Beyond this the formula turns round; an acceleration that large comes from a handful of prompts.
        denominator = np.maximum(1 - acceleration * shifted, 0.1)
        probability = ndtr(correction + shifted / denominator)
        bounds.append(quantile(draws, np.nan_to_num(probability, nan=tail)))
    return _where_point(point, np.stack(bounds, axis=-1))


def studentised_interval(
    estimates: NDArray[np.float64],
    errors: NDArray[np.float64],
    confidence: float,
    *,
    fallback: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The bootstrap-t interval, [m - t_hi se, m - t_lo se] with t = (m* - m) / se*.

    A resample in which all values are equal has se* = 0 and t infinite.

    Parameters
    ----------
    estimates
        The sample's own (row 0) and those of its resamples, (1 + resamples, ...).
    errors
        The standard errors of all of them, (1 + resamples, ...).
    confidence
        The nominal coverage.
    fallback
        Another method's interval, (..., 2). It stands where t is infinite in so many resamples that a bound is, which
        happens when all but a few values are equal, and where a single value has no standard error.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2); NaN where the point is.
    """
    point, error = estimates[0], errors[0]
    change = estimates[1:] - point
    score = np.where(change == 0, 0.0, np.copysign(np.inf, change))
    np.divide(change, errors[1:], out=score, where=errors[1:] > 0)
    score = np.where(np.isnan(change), np.nan, score)
    low, high = (order_quantile(score, tail) for tail in _tails(confidence))
    usable = np.isfinite(low) & np.isfinite(high) & np.isfinite(error)
    scores = np.where(usable, np.stack([high, low]), 0.0)
    bounds = np.stack(list(point - scores * np.where(usable, error, 0.0)), axis=-1)
    return _where_point(point, np.where(usable[..., np.newaxis], bounds, fallback))


class Mean(NamedTuple):
    """Means of values that base prompts have or lack."""

    estimate: NDArray[np.float64]
    """(...); NaN where no base prompt has one."""
    interval: NDArray[np.float64]
    """Their intervals, (..., 2)."""
    error: NDArray[np.float64]
    """Their standard errors as means of independent values, (...); NaN where fewer than two have one."""


def mean_interval(
    values: NDArray[np.float64], there: NDArray[np.bool_], resampling: Resampling, confidence: float
) -> Mean:
    """Means over base prompts with `studentised_interval`, which reaches at least as far as Student's t.

    Where it is not defined the percentile interval stands in.

    Parameters
    ----------
    values
        A value of each base prompt, (..., sample), 0 where it has none.
    there
        Whether it has one, (..., sample).
    resampling
        Resamples of the base prompts.
    confidence
        The nominal coverage of the intervals.

    Returns
    -------
    Mean
        Over the last axis.
    """
    number, total, squares = (resampling.sums(np.moveaxis(each, -1, 0)) for each in (there, values, values**2))
    mean = ratio(total, number)
    variance = ratio(squares, number) - mean**2
    # what rounding leaves of the variance of equal values is none
    variance = np.where(variance > ROUNDING * ratio(squares, number), variance, 0.0)
    error = np.sqrt(ratio(variance, np.maximum(number - 1, 0)))
    fallback = percentile_interval(mean[1:], confidence)
    interval = studentised_interval(mean, error, confidence, fallback=fallback)
    reach = mean_reach(mean, error, number[0], resampling, confidence)
    return Mean(mean[0], widened(mean[0], interval, reach), error[0])


def mean_reach(
    estimates: NDArray[np.float64],
    errors: NDArray[np.float64],
    number: NDArray[np.integer],
    resampling: Resampling,
    confidence: float,
) -> NDArray[np.float64]:
    """`student_reach` of means; where base prompts are drawn in groups, by the spread of the means of such draws.

    Parameters
    ----------
    estimates
        The sample's own (row 0) and those of its resamples, (1 + resamples, ...).
    errors
        Their standard errors as means of independent values, (1 + resamples, ...).
    number
        The numbers of values behind the sample's own, (...).
    resampling
        What the resamples were drawn by.
    confidence
        The nominal coverage.

    Returns
    -------
    NDArray[np.float64]
        In the units of the estimates, (...); 0 for fewer than two values.
    """
    if not resampling.is_grouped:
        return student_reach(errors[0], number, confidence)
    change = estimates[1:] - estimates[0]
    there = np.isfinite(change)
    variance = ratio((np.where(there, change, 0.0) ** 2).sum(axis=0), there.sum(axis=0).astype(np.float64))
    units = np.minimum(number, resampling.units)
    unbiased = ratio(units.astype(np.float64), np.maximum(units - 1, 0).astype(np.float64))  # resamples vary by less
    return np.nan_to_num(student_reach(np.sqrt(variance * unbiased), units, confidence))


def student_reach(error: NDArray[np.float64], number: NDArray[np.integer], confidence: float) -> NDArray[np.float64]:
    """How far Student's interval of a mean reaches on either side, for `widened`.

    Parameters
    ----------
    error
        Standard errors, (...).
    number
        The numbers of independent values behind them, (...).
    confidence
        The nominal coverage.

    Returns
    -------
    NDArray[np.float64]
        In the units of the errors, (...); 0 for fewer than two values.

    Examples
    --------
    >>> student_reach(np.array([1.0, np.nan]), np.array([20, 1]), 0.95).round(3).tolist()
    [2.093, 0.0]
    """
    reach = stdtrit(np.maximum(number - 1, 1), (1 + confidence) / 2) * error
    return np.where(number > 1, reach, 0.0)


def order_interval(estimates: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """The percentile interval with whole draws as bounds, for quantities that jump, or can be infinite.

    Parameters
    ----------
    estimates
        The sample's own (row 0) and those of its resamples, (1 + resamples, ...).
    confidence
        The share of the draws that lie inside.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2), see `order_quantile`; NaN where the point is.
    """
    bounds = [order_quantile(estimates[1:], tail) for tail in _tails(confidence)]
    return _where_point(estimates[0], np.stack(bounds, axis=-1))


def order_quantile(draws: NDArray[np.float64], probability: float) -> NDArray[np.float64]:
    """The quantile without interpolation, the draw that is farther out.

    Parameters
    ----------
    draws
        Draws, (draws, ...). NaN is set aside; infinity is a value.
    probability
        Below 0.5 the lower of two draws is taken, else the upper one.

    Returns
    -------
    NDArray[np.float64]
        Quantiles, (...); NaN where all draws are.

    Examples
    --------
    >>> order_quantile(np.array([3.0, 1.0, np.nan, np.inf, 2.0]), 0.9)
    array(inf)
    """
    ordered = np.sort(draws, axis=0)  # NaN goes last, behind infinity
    last = (~np.isnan(draws)).sum(axis=0) - 1
    position = probability * np.maximum(last, 0)
    index = (np.floor(position) if probability < 0.5 else np.ceil(position)).astype(np.int_)
    result: NDArray[np.float64] = np.asarray(np.take_along_axis(ordered, index[np.newaxis], axis=0)[0])
    return result


def wilson_interval(
    count: NDArray[np.int_] | NDArray[np.float64], total: NDArray[np.int_] | NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """Wilson's score interval of a share `count` / `total` of independent base prompts.

    Unlike a bootstrap interval it says something about a share of which the sample shows none.

    Parameters
    ----------
    count, total
        Numbers of base prompts, (...), or of as many independent ones as they are worth, see `effective_number`.
    confidence
        The nominal coverage.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2), in [0, 1]; NaN where `total` is 0.

    Examples
    --------
    >>> wilson_interval(np.array([0]), np.array([300]), 0.95).round(4).tolist()
    [[0.0, 0.0126]]
    """
    there = total > 0
    low, high = proportion_confint(count, np.where(there, total, 1), alpha=1 - confidence, method="wilson")
    interval = np.clip(np.stack([low, high], axis=-1), 0.0, 1.0)
    return np.where(there[..., np.newaxis], interval, np.nan)


def exact_interval(count: NDArray[np.float64], total: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Clopper and Pearson's interval of a share `count` / `total` of independent base prompts.

    It covers at least as often as it claims, whatever the share. Wilson's, which is narrower, does so on average over
    shares only: a share of 0.02 % is missed by it whenever one in 300 shows it.

    Parameters
    ----------
    count, total
        Numbers of base prompts, (...), or of as many independent ones as they are worth, see `effective_number`.
    confidence
        The least coverage.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2), in [0, 1]; NaN where `total` is 0.

    Examples
    --------
    >>> exact_interval(np.array([0.0]), np.array([300.0]), 0.95).round(4).tolist()
    [[0.0, 0.0122]]
    """
    there = total > 0
    low, high = proportion_confint(count, np.where(there, total, 1), alpha=1 - confidence, method="beta")
    interval = np.clip(np.stack([low, high], axis=-1), 0.0, 1.0)
    return np.where(there[..., np.newaxis], interval, np.nan)


def rare_reach(
    rare: NDArray[np.int_] | NDArray[np.float64], pairs: NDArray[np.int_] | NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """How far the share of pairs of a rare kind may lie from that of the sample.

    The larger of the two distances from the share to the ends of its Wilson interval. With no pair of the kind among n
    it is about z^2 / n.

    Parameters
    ----------
    rare
        Numbers of pairs of the kind, (...).
    pairs
        Numbers of all pairs, (...).
    confidence
        The nominal coverage of the interval.

    Returns
    -------
    NDArray[np.float64]
        Shares, (...); 0 where `rare` is at least `RARE`, so that the bootstrap has seen what varies, and without pairs.

    Examples
    --------
    >>> rare_reach(np.array([0, 2, 10]), np.array([40, 40, 40]), 0.95).round(3).tolist()
    [0.088, 0.115, 0.0]
    """
    share = ratio(np.asarray(rare, dtype=np.float64), np.asarray(pairs, dtype=np.float64))
    ends = wilson_interval(rare, pairs, confidence)
    farthest = np.abs(ends - share[..., np.newaxis]).max(axis=-1)
    return np.where((rare < RARE) & (pairs > 0), farthest, 0.0)


def widened(
    point: NDArray[np.float64], interval: NDArray[np.float64], reach: NDArray[np.float64]
) -> NDArray[np.float64]:
    """An interval that reaches at least so far from its point.

    Parameters
    ----------
    point
        Estimates, (...).
    interval
        Their intervals, (..., 2).
    reach
        How far each interval has to reach on both sides, (...); 0 leaves it as it is.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2); NaN where the interval is.

    Examples
    --------
    >>> widened(np.array(0.0), np.array([0.0, 0.5]), np.array(0.1)).tolist()
    [-0.1, 0.5]
    """
    lower = np.where(reach > 0, np.minimum(interval[..., 0], point - reach), interval[..., 0])
    upper = np.where(reach > 0, np.maximum(interval[..., 1], point + reach), interval[..., 1])
    return np.where(np.isnan(interval), np.nan, np.stack([lower, upper], axis=-1))


def effective_number(
    share: NDArray[np.float64], draws: NDArray[np.float64], total: NDArray[np.int_], units: int
) -> NDArray[np.float64]:
    """How many independent base prompts would know a share as well as `total` that come in groups.

    `total` over the design effect: the variance about the sample's share of those of resamples of groups, by that of
    independent base prompts, p (1 - p) / total; it is taken to be at least 1.

    Parameters
    ----------
    share
        Shares p of base prompts, (...).
    draws
        The same shares in resamples of whole groups, (resamples, ...).
    total
        Numbers of base prompts behind them, (...).
    units
        The number of groups: what is left where the share is 0 or 1, and resamples do not vary.

    Returns
    -------
    NDArray[np.float64]
        At most `total`, (...).
    """
    independent = ratio(share * (1 - share), total.astype(np.float64))
    there = np.isfinite(draws)
    change = np.where(there, draws - share, 0.0)
    effect = ratio(ratio((change**2).sum(axis=0), there.sum(axis=0).astype(np.float64)), independent)
    number = total / np.maximum(np.nan_to_num(effect, nan=1.0), 1.0)
    return np.where((share > 0) & (share < 1), number, np.minimum(total, units))


def simultaneous_interval(estimates: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Intervals that hold together for all of a family, by the largest studentised error of a resample.

    theta +- c sd, with sd the standard deviation of each estimate over the resamples and c the quantile of max |theta*
    - theta| / sd over the family (Romano and Wolf 2005, Econometrica 73:1237). Wider than such intervals of single
    ones, by the less the more alike the estimates are; one by another method may reach farther (see `covering`).

    Parameters
    ----------
    estimates
        The sample's own (row 0) and those of its resamples, (1 + resamples, ..., family).
    confidence
        The nominal probability that every interval holds.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., family, 2); NaN where the point is. Estimates that no resample varies take
        no part, and have the point as their interval.
    """
    point, draws = estimates[0], estimates[1:]
    there = np.isfinite(draws) & np.isfinite(point)
    change = np.where(there, draws - np.where(np.isfinite(point), point, 0.0), 0.0)
    sd = np.sqrt(np.nan_to_num(ratio((change**2).sum(axis=0), there.sum(axis=0).astype(np.float64))))
    score = np.abs(change) * np.nan_to_num(ratio(np.ones_like(sd), sd))
    reach = quantile(score.max(axis=-1, initial=0.0), confidence)[..., np.newaxis] * sd
    return _where_point(point, np.stack([point - reach, point + reach], axis=-1))


def covering(interval: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """An interval that also holds all of another one, so that it covers whenever either does.

    Max-t intervals are about their points and go by the spread of resamples; those of single types may lie to one side,
    or be widened. Intervals that hold together still do when each holds more, and none then denies a single one.

    Parameters
    ----------
    interval
        Intervals, (..., 2).
    other
        What each is to hold, (..., 2); NaN asks for nothing.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2); NaN where `interval` is.

    Examples
    --------
    >>> covering(np.array([-1.6, 0.7]), np.array([-2.0, 0.4])).tolist()
    [-2.0, 0.7]
    """
    ends = np.stack([np.fmin(interval[..., 0], other[..., 0]), np.fmax(interval[..., 1], other[..., 1])], axis=-1)
    return np.where(np.isnan(interval), np.nan, ends)


def degenerate(count: NDArray[np.integer], sd: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether an interval cannot be relied on: fewer than `RELIABLE` values, or all of them equal.

    An interval is still there, but its width is no measure of what is known. Pages print the number without it.

    Parameters
    ----------
    count
        Numbers of values, (...).
    sd
        A measure of their spread that is 0 when all are equal, (...).

    Returns
    -------
    NDArray[np.bool_]
        True where that is so, or `sd` is NaN, (...).
    """
    return np.asarray((count < RELIABLE) | ~(sd > 0))


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


def _where_point(point: NDArray[np.float64], interval: NDArray[np.float64]) -> NDArray[np.float64]:
    """The interval where there is a point, else NaN."""
    return np.where(np.isnan(point)[..., np.newaxis], np.nan, interval)
