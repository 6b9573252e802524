"""How large a difference is, in steps and in probabilities: effect sizes as functions of histograms.

Everything here takes distribution functions or histograms over increasing values on the last axis, so that one call
serves the sample and all of its resamples. A censored observation stands at positive infinity: later than every step,
and tied with another one.
"""

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.resampling import ratio

ROUNDING = 1e-9
"""Distribution functions are quotients of counts: nearer to a probability than this, they are equal to it."""


def step_widths(support: NDArray[np.float64], last_step: float) -> NDArray[np.float64]:
    """How many steps each value holds the distribution functions constant, up to the window's end.

    The window ends at `last_step`, or at the largest finite value where that is later (a sentinel).

    Parameters
    ----------
    support
        Increasing values, (bins,), infinity last for what is censored.
    last_step
        The end of the stored window.

    Returns
    -------
    NDArray[np.float64]
        Steps up to the next value, (bins,).

    Examples
    --------
    >>> step_widths(np.array([3.0, 5.0, np.inf]), last_step=10)
    array([2., 5., 0.])
    """
    end = np.max(support, initial=last_step, where=np.isfinite(support))
    widths: NDArray[np.float64] = np.diff(np.minimum(support, end), append=end)
    return widths


def wasserstein(differences: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Wasserstein-1 distance in steps, the area between two distribution functions up to the end of the window.

    Without censoring it is `scipy.stats.wasserstein_distance`; with it, that of min(step, end): what happens beyond the
    window is unknown, and a curve that does not blow up counts as one that does at the end, so the distance is a lower
    bound.

    Parameters
    ----------
    differences
        Differences of distribution functions F - G, (..., bins).
    widths
        Those of `step_widths`, (bins,).

    Returns
    -------
    NDArray[np.float64]
        Distances in steps, (...); NaN where F - G is.
    """
    area: NDArray[np.float64] = np.abs(differences) @ widths
    return area


def cliffs_delta(functions: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cliff's delta, P(X > Y) - P(X < Y) for independent X ~ F and Y ~ G (Cliff 1993, Psych. Bull. 114:494).

    Parameters
    ----------
    functions, reference
        The distribution functions F and G, (..., bins).

    Returns
    -------
    NDArray[np.float64]
        Deltas, (...), in [-1, 1], positive when X tends to be later; 2 AUC - 1 of the Mann-Whitney statistic. NaN where
        a distribution function is.
    """
    share = np.diff(functions, axis=-1, prepend=0.0)
    before = np.concatenate([np.zeros_like(reference[..., :1]), reference[..., :-1]], axis=-1)
    delta: NDArray[np.float64] = (share * (before + reference - 1)).sum(axis=-1)
    return delta + 0.0  # no negative zero


def quantiles(
    functions: NDArray[np.float64], support: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles of distribution functions: the least x with F(x) >= p.

    Parameters
    ----------
    functions
        Distribution functions, (..., bins).
    support
        The increasing values that they are over, (bins,), infinity last for what is censored.
    probabilities
        The p, (probabilities,).

    Returns
    -------
    NDArray[np.float64]
        Quantiles, (..., probabilities). Infinite where more than 1 - p of the observations are censored; NaN where the
        distribution function is.
    """
    indices = [(functions < probability - ROUNDING).sum(axis=-1) for probability in probabilities]
    index = np.minimum(np.stack(indices, axis=-1), len(support) - 1)
    return np.where(np.isnan(functions[..., -1:]), np.nan, support[index])


def prediction_interval(
    histograms: NDArray[np.floating], support: NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """Where the step of a new prompt will fall, by order statistics.

    The r-th smallest and the r-th largest of n exchangeable values, with the largest r of which 2 r / (n + 1) is at
    most 1 - confidence: one more value lies between them, or on them, at least so often, whatever the distribution
    (Wilks 1941, Annals of Mathematical Statistics 12:91); ties only make it more often.

    Parameters
    ----------
    histograms
        Counts, (..., bins).
    support
        The increasing values that they are over, (bins,), infinity last for what is censored.
    confidence
        The least coverage.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2). Infinite (up to -inf) where n is too small for any r, and where the
        bound is a censored observation; NaN for an empty histogram.

    Examples
    --------
    >>> prediction_interval(np.ones(39), np.arange(1.0, 40.0), 0.95).tolist()
    [1.0, 39.0]
    >>> prediction_interval(np.ones(38), np.arange(1.0, 39.0), 0.95).tolist()
    [-inf, inf]
    """
    cumulative = np.cumsum(histograms, axis=-1, dtype=np.float64)
    number = cumulative[..., -1]
    rank = np.floor((1 - confidence) * (number + 1) / 2 + ROUNDING)
    last = len(support) - 1
    lower = support[np.minimum((cumulative < rank[..., np.newaxis]).sum(axis=-1), last)]
    upper = support[np.minimum((cumulative < (number + 1 - rank)[..., np.newaxis]).sum(axis=-1), last)]
    interval = np.stack([np.where(rank < 1, -np.inf, lower), np.where(rank < 1, np.inf, upper)], axis=-1)
    return np.where((number > 0)[..., np.newaxis], interval, np.nan)


def quantile_shift(own: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shift function Q_F(p) - Q_G(p) (Doksum 1974; Wilcox).

    Parameters
    ----------
    own, reference
        Quantiles Q_F and Q_G in steps, (..., probabilities).

    Returns
    -------
    NDArray[np.float64]
        Differences in steps, (..., probabilities); NaN where both are beyond the window.
    """
    both = np.isinf(own) & np.isinf(reference)
    return np.where(both, np.nan, own - np.where(both, 0.0, reference))


def paired_delta(histograms: NDArray[np.floating], support: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(X > Y) - P(X < Y) within base prompts: Cliff's within-pair delta, the sign test's statistic.

    Parameters
    ----------
    histograms
        Histograms of the differences X - Y, (..., bins).
    support
        The increasing differences that they are over, (bins,).

    Returns
    -------
    NDArray[np.float64]
        Deltas, (...), in [-1, 1]; ties and pairs that are both censored count 0. NaN for an empty histogram.
    """
    return ratio(histograms @ np.sign(support), histograms.sum(axis=-1))


def weighted_median(histograms: NDArray[np.floating], support: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of histograms, midway between the two middle values of a tie.

    Parameters
    ----------
    histograms
        Counts, (..., bins).
    support
        The increasing values that they are over, (bins,), perhaps infinite at its ends.

    Returns
    -------
    NDArray[np.float64]
        Medians, (...). Infinite where more than half lie beyond the window; NaN for an empty histogram, and between the
        two infinities.
    """
    cumulative = np.cumsum(histograms, axis=-1, dtype=np.float64)
    half = cumulative[..., -1:] / 2
    last = len(support) - 1
    low = support[np.minimum((cumulative < half).sum(axis=-1), last)]
    high = support[np.minimum((cumulative <= half).sum(axis=-1), last)]
    opposite = np.isinf(low) & np.isinf(high) & (low != high)
    middle = np.where(low == high, low, (np.where(opposite, 0.0, low) + high) / 2)
    return np.where((half[..., 0] == 0) | opposite, np.nan, middle)
