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
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from plateaulens.compare.labels import bounds, label, label_interval
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio

_LEADING = ("statistic", "metric", "activation_type")
DIMS = {
    "survival": (*_LEADING, "step"),
    "survival_band": (*_LEADING, "step", "bound"),
    "logrank_p": _LEADING,
    "paired_logrank_p": _LEADING,
    "restricted_mean": _LEADING,
    "restricted_mean_interval": (*_LEADING, "bound"),
    "restricted_mean_difference": _LEADING,
    "restricted_mean_difference_interval": (*_LEADING, "bound"),
}
"""What `survival_dataset` adds to an experiment's summary, and the dimensions of each."""


class Survival(NamedTuple):
    """S at steps 0..last, and the ends (steps, 2) of the band that holds the whole of it."""

    probability: NDArray[np.float64]
    band: NDArray[np.float64]


def kaplan_meier(time: ArrayLike, event: ArrayLike, steps: int, confidence: float) -> Survival:
    """The Kaplan-Meier estimate of S(k) = P(event after step k) at k = 0..steps-1, with a Hall-Wellner band.

    `time` is the step of the event, or the last step at which a curve was seen where `event` is False; events precede
    censorings of the same step. NaN times are left out; without any other, everything is NaN.

    The band S +- q S (1 + n v) / sqrt(n), v the sum in Greenwood's formula and q the Kolmogorov distribution's quantile
    (Hall and Wellner 1980), covers the whole curve at once with at least the given confidence; ties make it
    conservative. It is written out here because statsmodels' `simultaneous_cb` has one confidence only, and the number
    at risk in the place of n. Where S is 0 its width is that of the last step before.

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

    NaN times are left out. 1 when a group is empty or nothing can tell the two apart: no event at all, or all at
    one step.

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
    """Log-rank scores of pairs (2, n), the first's minus the second's; 0 for pairs with an unknown (NaN) time.

    An observation's score is its event minus the pooled Nelson-Aalen cumulative hazard at its time, e - H(t), and the
    sum over one sample of e - H(t) is the log-rank test's observed minus expected events. Swapping the two members of
    a pair changes the sign of the pair's difference and nothing else, H being pooled, so that swapping at random gives
    the distribution of the sum if the two are exchangeable (the device of O'Brien and Fleming 1987 for
    Prentice-Wilcoxon scores). A positive sum: the first has its events earlier.

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


def survival_dataset(
    steps: xr.Dataset, last: int, resampling: Resampling, swaps: Swaps, *, reference: str, confidence: float
) -> xr.Dataset:
    """Survival curves, log-rank tests against `reference` and restricted means of `step_dataset`'s corrected steps.

    Curves without the event are censored at step `last`; undefined ones are left out. `resampling` and `swaps` are
    those of the base prompts. `restricted_mean` is the mean of min(event, last) with a
    bootstrap interval, `restricted_mean_difference` that of the type minus the reference's over the base prompts that
    have both. p-values of the reference against itself are 1. Dimensions are those of `DIMS`.
    """
    types = [str(name) for name in steps["activation_type"].to_numpy()]
    own = steps[["step_value", "censored"]].sel(convention="corrected").transpose(*_LEADING, "sample")
    event = ~own["censored"].to_numpy()
    time = restricted(own["step_value"].to_numpy(), ~event, last)
    shape, cells = time.shape[:-1], list(np.ndindex(time.shape[:-1]))
    other = types.index(reference)

    curves = [kaplan_meier(time[cell], event[cell], last + 1, confidence) for cell in cells]
    unpaired, differences = np.ones(shape), np.zeros(time.shape)
    for cell in cells:
        pair = (*cell[:-1], [cell[-1], other])
        differences[cell] = paired_scores(time[pair], event[pair])
        if cell[-1] != other:
            group = np.repeat([0, 1], time.shape[-1])
            unpaired[cell] = logrank(time[pair].ravel(), event[pair].ravel(), group)
    paired = swaps.p_value(np.abs(swaps.sums(np.moveaxis(differences, -1, 0))), np.abs(differences.sum(axis=-1)))

    known = np.isfinite(time)
    pairs = known & known[..., other : other + 1, :]
    change = np.where(pairs, time - time[..., other : other + 1, :], 0.0)
    mean = _means(np.where(known, time, 0.0), known, resampling)
    difference = _means(change, pairs, resampling)
    values = {
        "survival": np.array([curve.probability for curve in curves]).reshape(*shape, last + 1),
        "survival_band": np.array([curve.band for curve in curves]).reshape(*shape, last + 1, 2),
        "logrank_p": unpaired,
        "paired_logrank_p": paired,
        "restricted_mean": mean[0],
        "restricted_mean_interval": percentile_interval(mean[1:], confidence),
        "restricted_mean_difference": difference[0],
        "restricted_mean_difference_interval": percentile_interval(difference[1:], confidence),
    }
    attributes = {
        "survival": label("share of curves without the event up to the step, Kaplan-Meier", "1"),
        "survival_band": {
            **label(f"{100 * confidence:g} % simultaneous band: Kaplan-Meier curve", "1"),
            "confidence": confidence,
        },
        "logrank_p": label("p-value of the log-rank test against real, pairing ignored", "1"),
        "paired_logrank_p": {
            **label("p-value of the log-rank test against real by swaps within base prompts", "1"),
            "permutations": len(swaps.rows),
        },
    }
    for name, words in (
        ("restricted_mean", "mean of the step, cut at the window's end"),
        ("restricted_mean_difference", "mean paired difference to real of the step, cut at the window's end"),
    ):
        attributes[name] = label(words, "step")
        attributes[f"{name}_interval"] = label_interval(words, "step", resampling, confidence)
    return xr.Dataset(
        {name: (DIMS[name], value, attributes[name]) for name, value in values.items()},
        coords={**{name: steps[name] for name in _LEADING}, "bound": bounds()},
    )


def restricted(value: NDArray[np.float64], censored: NDArray[np.bool_], last: ArrayLike) -> NDArray[np.float64]:
    """Steps cut at the end of the window: min(value, last), `last` where censored, NaN where undefined.

    >>> restricted(np.array([3.0, np.nan, np.nan, 9.0]), np.array([False, True, False, False]), 5)
    array([ 3.,  5., nan,  5.])
    """
    return np.minimum(np.where(censored, last, value), last)


def _means(values: NDArray[np.float64], there: NDArray[np.bool_], resampling: Resampling) -> NDArray[np.float64]:
    """Means over the last axis in the sample (row 0) and its resamples."""
    return ratio(resampling.sums(np.moveaxis(values, -1, 0)), resampling.sums(np.moveaxis(there, -1, 0)))
