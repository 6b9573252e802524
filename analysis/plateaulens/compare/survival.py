"""Times to an event that some curves do not show: survival curves, log-rank tests and restricted means.

A curve whose event lies beyond the window is censored at the window's last step. It is known to be later than every
step, which a mean over the others ignores and a sentinel (the authors' 99 and 100, the convention `authors` of the step
statistics) turns into a number that moves with the window. Here it stays an observation: `kaplan_meier` estimates
S(k) = P(event after step k), `restricted_mean` the mean of min(event, last step), the area below S.

When every censoring happens at the window's end, as in a stored experiment, the Kaplan-Meier estimate is the empirical
survival function. The general one is used all the same, because paths cut at their targets are censored at different
steps.

`logrank` is the usual two-sample test. It takes the two samples for independent, which curves of the same base prompts
are not: with positively correlated pairs it rejects too rarely and has less power than the data allow.
`paired_scores` with random swaps of the two types within prompts (`plateaulens.compare.permutation`) is the test for
such pairs, and the one to report.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from plateaulens.compare.resampling import ratio


class Survival(NamedTuple):
    """S at steps 0..last, and the ends (steps, 2) of the band that holds the whole of it."""

    probability: NDArray[np.float64]
    band: NDArray[np.float64]


def kaplan_meier(time: ArrayLike, event: ArrayLike, steps: int, confidence: float) -> Survival:
    """The Kaplan-Meier estimate of S(k) = P(event after step k), with a Hall-Wellner band.

    The band S +- q S (1 + n v) / sqrt(n), v the sum in Greenwood's formula and q the Kolmogorov distribution's quantile
    (Hall and Wellner 1980), is about the whole curve at once, for many observations; ties make it wider than it need
    be, and the calibration table of docs/statistics.md says what it covers. It is written out here because statsmodels'
    `simultaneous_cb` has one confidence only, and the number at risk in the place of n. Where S is 0 its width is that
    of the last step before.

    Parameters
    ----------
    time
        The step of the event, or the last step at which a curve was seen where there is none, (n,). NaN is left out.
    event
        Whether the event was seen, (n,); events precede censorings of the same step.
    steps
        S is estimated at k = 0..steps-1.
    confidence
        The nominal coverage of the band.

    Returns
    -------
    Survival
        S (steps,) and its band (steps, 2), in [0, 1]; NaN without any time.

    Examples
    --------
    >>> kaplan_meier([1, 2, 2, 3], [True, True, True, False], steps=4, confidence=0.95).probability
    array([1.  , 0.75, 0.25, 0.25])
    """
    last_seen, happened = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=np.bool_)
    known = ~np.isnan(last_seen)
    n = int(known.sum())
    if n == 0:
        return Survival(np.full(steps, np.nan), np.full((steps, 2), np.nan))
    if not happened[known].any():
        probability, spread = np.ones(steps), np.ones(steps)
    else:
        curve = SurvfuncRight(last_seen[known], happened[known].astype(np.int_))
        place = np.searchsorted(curve.surv_times, np.arange(steps), side="right")
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = curve.surv_prob * (1 + n * (curve.surv_prob_se / curve.surv_prob) ** 2)
        alive = curve.surv_prob > 0
        relative = np.where(alive, relative, relative[alive][-1] if alive.any() else 1.0)
        probability = np.concatenate([[1.0], curve.surv_prob])[place]
        spread = np.concatenate([[1.0], relative])[place]
    reach = (stats.kstwobign.ppf(confidence) / np.sqrt(n) * spread)[:, np.newaxis] * [-1, 1]
    return Survival(probability, np.clip(probability[:, np.newaxis] + reach, 0.0, 1.0))


def logrank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> float:
    """The p-value of the log-rank test between two independent groups: statsmodels' `survdiff`. It ignores pairing.

    Parameters
    ----------
    time
        The step of the event, or the last step at which a curve was seen, (n,). NaN is left out.
    event
        Whether the event was seen, (n,).
    group
        The group of each, (n,), one of two values.

    Returns
    -------
    float
        The p-value; 1 when a group is empty or nothing can tell the two apart: no event at all, or all at one step.

    Examples
    --------
    >>> round(logrank([1, 2, 3, 4], [True] * 4, [0, 0, 1, 1]), 3)
    0.09
    """
    known = ~np.isnan(np.asarray(time, dtype=np.float64))
    steps, member = np.asarray(time)[known], np.asarray(group)[known]
    happened = np.asarray(event, dtype=np.bool_)[known]
    both_until = min((steps[member == own].max() for own in np.unique(member)), default=0)
    told = (
        (steps >= step).sum() > (happened & (steps == step)).sum()
        for step in np.unique(steps[happened & (steps <= both_until)])
    )
    # Only a step at which both groups are at risk, and not everything happens, has a variance.
    if len(np.unique(member)) < 2 or not any(told):
        return 1.0
    chi_square, _ = survdiff(steps, happened.astype(np.int_), member)
    return float(stats.chi2.sf(chi_square, 1))


def paired_scores(time: NDArray[np.float64], event: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-rank scores of pairs, the first's minus the second's.

    An observation's score is its event minus the pooled Nelson-Aalen cumulative hazard at its time, e - H(t), and the
    sum over one sample of e - H(t) is the log-rank test's observed minus expected events. Swapping the two members of a
    pair changes the sign of the pair's difference and nothing else, H being pooled, so that swapping at random gives
    the distribution of the sum if the two are exchangeable (the device of O'Brien and Fleming 1987 for
    Prentice-Wilcoxon scores). A positive sum: the first has its events earlier.

    Parameters
    ----------
    time
        The step of the event, or the last step at which a curve was seen, (2, n).
    event
        Whether the event was seen, (2, n).

    Returns
    -------
    NDArray[np.float64]
        Differences of scores, (n,); 0 for pairs with an unknown (NaN) time.

    Examples
    --------
    >>> paired_scores(np.array([[1.0, 2.0], [3.0, np.nan]]), np.ones((2, 2), dtype=bool))
    array([1., 0.])
    """
    known = np.isfinite(time).all(axis=0)
    pooled, happened = time[:, known], event[:, known]
    steps, place = np.unique(pooled, return_inverse=True)
    events = np.bincount(place.ravel(), weights=happened.ravel(), minlength=len(steps)).astype(np.float64)
    leaving = np.bincount(place.ravel(), minlength=len(steps)).astype(np.float64)
    at_risk = leaving[::-1].cumsum()[::-1]
    hazard = np.cumsum(ratio(events, at_risk))
    score = happened - hazard[place.reshape(pooled.shape)]
    difference = np.zeros(time.shape[1])
    difference[known] = score[0] - score[1]
    return difference


def restricted(value: NDArray[np.float64], censored: NDArray[np.bool_], last: ArrayLike) -> NDArray[np.float64]:
    """Steps cut at the end of the window, min(value, last).

    Parameters
    ----------
    value
        Steps, of any shape; NaN where there is none.
    censored
        Whether the event lies beyond the window, of that shape.
    last
        The last step of the window, one for all or of a shape that is broadcast.

    Returns
    -------
    NDArray[np.float64]
        Cut steps, of that shape: `last` where censored, NaN where undefined (NaN and not censored).

    Examples
    --------
    >>> restricted(np.array([3.0, np.nan, np.nan, 9.0]), np.array([False, True, False, False]), 5)
    array([ 3.,  5., nan,  5.])
    """
    return np.minimum(np.where(censored, last, value), last)
