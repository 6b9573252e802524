"""Statistics of an analysis on anybody's arrays: paired and clustered resampling, distances, equivalence, survival.

Everything here is what `plateaulens analyze` computes, under names that stay: the functions read arrays, hand them to
`plateaulens.compare`, and give back small results. None of it needs torch.

**Arrays.** The last axis of a NumPy array holds the observations (base prompts, in a run); of a `xarray.DataArray` it
is the dimension `dim`, "sample" unless told otherwise. Other axes hold separate sets of observations: each has an
answer of its own, from the same resamples. What is paired is paired by position. A result has floats for one set,
arrays for several, DataArrays where a DataArray came; intervals have the lower and the upper end on a last axis, which
DataArrays call `bound`.

**NaN and infinity.** NaN is an observation that is not there, and is left out, alone or with its partner. Positive
infinity, where a function takes it, is an event that was not seen (censored): later than every value, tied with
another one, and without a part in means. Negative infinity is refused.

**Randomness.** `rng` is a seed or a NumPy generator; the same seed gives the same numbers.

**Clusters.** Observations that belong together, such as prompts of one document, are drawn and swapped together when
`clusters` has the same label for them, one label for each observation.

What the intervals and tests hold at which number of observations is in docs/statistics.md.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from plateaulens.compare.distributions import Comparison, compare_types
from plateaulens.compare.intervals import bca_interval, mean_interval
from plateaulens.compare.multiplicity import Method, adjust
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, percentile_interval
from plateaulens.compare.survival import kaplan_meier as _kaplan_meier
from plateaulens.compare.survival import restricted
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError, first_line, shown

__all__ = [
    "Difference",
    "Distance",
    "Equivalence",
    "Estimate",
    "Survival",
    "SwapTest",
    "benjamini_hochberg",
    "bootstrap",
    "holm",
    "kaplan_meier",
    "ks_difference",
    "ks_distance",
    "ks_equivalence",
    "ks_swap_test",
    "mean",
    "paired_difference",
    "restricted_mean",
]

Values: TypeAlias = ArrayLike | xr.DataArray
"""Observations: anything that NumPy makes an array of, or a DataArray."""
Number: TypeAlias = Any
"""A float for one set of observations, an array of them for several, a DataArray where one came."""
Rng: TypeAlias = int | np.random.Generator
Labels: TypeAlias = Iterable[Hashable] | NDArray[Any] | xr.DataArray | None

LARGEST = 25_000_000
"""Resamples times distinct values that are held at once; a few times so many numbers are in memory."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A quantity with its interval."""

    estimate: Number
    interval: Number
    """(..., 2)"""
    n: Number
    """Observations behind it."""


@dataclass(frozen=True, eq=False)
class Difference:
    """A difference, its interval, and the test of no difference."""

    estimate: Number
    interval: Number
    """(..., 2)"""
    p: Number
    n: Number
    """Pairs behind it."""


@dataclass(frozen=True, eq=False)
class Distance:
    """A Kolmogorov-Smirnov distance."""

    estimate: Number
    """In [0, 1]."""
    interval: Number
    """(..., 2): from a uniform band on the difference of the distribution functions."""
    upper_bound: Number
    """One-sided."""
    n: Number
    """Pairs of which both were observed, censored or not."""


@dataclass(frozen=True, eq=False)
class SwapTest:
    """The test of exchangeability by swaps within pairs."""

    statistic: Number
    """The Kolmogorov-Smirnov distance over pairs of which both were observed."""
    p: Number
    null_mean: Number
    """The mean distance over the swaps: how far apart two exchangeable samples lie on average."""
    null_upper: Number
    """The distance that exchangeable samples exceed no more often than 1 - confidence."""
    n: Number


@dataclass(frozen=True, eq=False)
class Equivalence:
    """The test of a Kolmogorov-Smirnov distance of the margin or more."""

    estimate: Number
    p: Number
    upper_bound: Number
    """One-sided: the distance is shown to be below the margin where this is."""
    margin: float
    n: Number


@dataclass(frozen=True, eq=False)
class Survival:
    """A Kaplan-Meier curve and the band that holds the whole of it."""

    step: NDArray[np.int_]
    probability: Number
    """(..., steps)"""
    band: Number
    """(..., steps, 2)"""
    n: Number


def bootstrap(
    statistic: Callable[..., float],
    *samples: Values,
    clusters: Labels = None,
    method: Literal["bca", "percentile"] = "bca",
    confidence: float = 0.95,
    resamples: int = 2000,
    rng: Rng = 0,
) -> Estimate:
    """Any statistic of paired samples with a bootstrap interval; positions, or clusters of them, are drawn.

    The BCa interval (Efron 1987, JASA 82:171) is correct to second order for smooth statistics; for quantiles take the
    percentile interval. Neither is right for a distance, see `ks_distance`.

    Parameters
    ----------
    statistic
        From one array for each of `samples`, of the drawn positions, to a number in any units; NaN is none, and set
        aside.
    *samples
        One or more, each (n,) and equally long, paired by position; NaN is handed on.
    clusters
        A label for each position, (n,).
    method
        Of the interval.
    confidence
        Its nominal coverage.
    resamples
        How often to draw.
    rng
        A seed or a generator.

    Returns
    -------
    Estimate
        The statistic of the samples themselves, and its interval, (2,), NaN where the statistic is.

    Raises
    ------
    UsageError
        For samples of other shapes or without an observation, clusters of another length, settings out of range, and a
        statistic that gives no number.

    Examples
    --------
    >>> x, y = np.arange(30.0), np.arange(30.0) ** 1.5
    >>> found = bootstrap(lambda a, b: np.corrcoef(a, b)[0, 1], x, y, rng=0)
    >>> round(found.estimate, 3), (found.interval > 0.9).all()
    (0.989, np.True_)
    """
    arrays = [np.asarray(sample) for sample in samples]
    if not arrays or any(array.ndim != 1 or array.shape != arrays[0].shape or not len(array) for array in arrays):
        raise UsageError(f"bootstrap: samples have {_shapes(*arrays)}: give one or more of one shape (n,)")
    if method not in {"bca", "percentile"}:
        raise UsageError(f"bootstrap: method {shown(method)} is none: choose 'bca' or 'percentile'")
    n = len(arrays[0])
    resampling = _Draws(clusters, confidence, resamples, rng).resampling(np.ones((1, n), bool))

    def one(found: Any) -> float:
        try:
            return float(found)
        except (TypeError, ValueError):
            raise UsageError(f"bootstrap: the statistic gave {shown(found)}: return one number") from None

    def drawn(rows: Resampling) -> NDArray[np.float64]:
        positions = (np.repeat(np.arange(n), row[rows.unit]) for row in rows.rows)
        return np.array([one(statistic(*(array[own] for array in arrays))) for own in positions])

    estimates = drawn(resampling)
    if method == "bca":
        interval = bca_interval(estimates, drawn(resampling.jackknife), confidence)
    else:
        interval = np.where(np.isnan(estimates[0]), np.nan, percentile_interval(estimates[1:], confidence))
    return Estimate(float(estimates[0]), interval, n)


def mean(
    values: Values,
    *,
    clusters: Labels = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    rng: Rng = 0,
    dim: str = "sample",
) -> Estimate:
    """Means with a studentised (bootstrap-t) interval, which allows for the estimated standard error.

    The interval is [m - t_hi se, m - t_lo se], t = (m* - m) / se* over the resamples (Efron and Tibshirani 1993,
    section 12.5), se that of independent observations, and where Student's t reaches farther, as far as that.

    Parameters
    ----------
    values
        (..., n) in any units; NaN and infinity are left out.
    clusters
        A label for each observation, (n,).
    confidence
        The nominal coverage.
    resamples
        How often to draw.
    rng
        A seed or a generator.
    dim
        The dimension of the observations, of a DataArray.

    Returns
    -------
    Estimate
        In the units of the values; NaN without any, and the point itself as the interval of equal values. What an
        interval holds with fewer than 20 observations is not known.

    Raises
    ------
    UsageError
        For no observations, negative infinity, clusters of another length, and settings out of range.

    Examples
    --------
    >>> mean([1.0, 2.0, 3.0, float("nan")]).estimate
    2.0
    """
    draws = _Draws(clusters, confidence, resamples, rng)
    read = _Read("mean", dim, values=values)
    (value,) = read.arrays
    there = np.isfinite(value)
    resampling = draws.resampling(there.reshape(-1, read.n))
    found = mean_interval(np.where(there, value, 0.0), there, resampling, confidence)
    return Estimate(read.back(found.estimate), read.back(found.interval, "bound"), read.back(there.sum(axis=-1)))


def paired_difference(
    values: Values,
    reference: Values,
    *,
    clusters: Labels = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    rng: Rng = 0,
    dim: str = "sample",
) -> Difference:
    """The mean paired difference, values minus reference, as a summary has it for a type and real.

    The interval is studentised, reaches at least as far as Student's, and farther where hardly a pair differs; p is of
    no mean difference, by random swaps of the two within pairs (signs of the differences), exact for differences that
    are symmetric about 0.

    Parameters
    ----------
    values, reference
        (..., n), broadcast against each other, in the same units; a pair of which one is NaN or infinite is left out.
    clusters
        A label for each pair, (n,).
    confidence
        The nominal coverage.
    resamples
        How many resamples, and how many swaps; all swaps where these are no more.
    rng
        A seed or a generator.
    dim
        The dimension of the observations, of a DataArray.

    Returns
    -------
    Difference
        In the units of the values; NaN without a pair. Ties are no difficulty. What an interval holds with fewer than
        20 pairs is not known; the test holds at every number.

    Raises
    ------
    UsageError
        For shapes that do not fit, negative infinity, too many distinct values, and settings out of range.

    Examples
    --------
    >>> found = paired_difference([3.0, 5.0, 4.0, 6.0], [1.0, 2.0, 3.0, 4.0])
    >>> found.estimate, found.p
    (2.0, 0.125)
    """
    read = _Read("paired_difference", dim, values=values, reference=reference)
    found = _compared(read, _Draws(clusters, confidence, resamples, rng))
    return Difference(
        read.back(found["mean_difference"]),
        read.back(found["mean_difference_interval"], "bound"),
        read.back(found["mean_difference_p"]),
        read.back(found["n_pairs"]),
    )


def ks_distance(
    values: Values,
    reference: Values,
    *,
    clusters: Labels = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    rng: Rng = 0,
    dim: str = "sample",
) -> Distance:
    """The Kolmogorov-Smirnov distance sup |F - G|, with an interval that holds at 0 as anywhere.

    What is resampled is the error of F - G, uniformly over its argument: with c the quantile of sup |(F* - G*) - (F -
    G)|, the interval is [D - c, D + c] (see `plateaulens.compare.distances`, also for the bound). Percentiles of a
    resampled distance are not valid: it is biased upwards.

    Parameters
    ----------
    values, reference
        (..., n), broadcast against each other, in any units; infinity is censored, NaN is left out.
    clusters
        A label for each pair, (n,).
    confidence
        The nominal coverage of the interval, and of the bound.
    resamples
        How often to draw pairs.
    rng
        A seed or a generator.
    dim
        The dimension of the observations, of a DataArray.

    Returns
    -------
    Distance
        Without units; NaN where one side is empty, and the interval with fewer than 10 pairs too. Ties are no
        difficulty.

    Raises
    ------
    UsageError
        For shapes that do not fit, negative infinity, too many distinct values, and settings out of range.

    Examples
    --------
    >>> ks_distance([1, 2, 3, 4], [3, 4, 5, float("inf")]).estimate
    0.5
    """
    read = _Read("ks_distance", dim, values=values, reference=reference)
    found = _compared(read, _Draws(clusters, confidence, resamples, rng))
    return Distance(
        read.back(found["ks"]),
        read.back(found["ks_interval"], "bound"),
        read.back(found["ks_upper_bound"]),
        read.back(found["observed"]),
    )


def ks_swap_test(
    values: Values,
    reference: Values,
    *,
    clusters: Labels = None,
    confidence: float = 0.95,
    swaps: int = 2000,
    rng: Rng = 0,
    dim: str = "sample",
) -> SwapTest:
    """Whether values and reference are exchangeable within pairs, by their distance under random swaps.

    p = (1 + hits) / (1 + swaps), hits being the swaps with a distance of at least the observed one (Phipson and Smyth
    2010); all swaps, and hits / swaps, where these are no more. It is exact at every size, with ties and censoring.

    Parameters
    ----------
    values, reference
        (..., n), broadcast against each other, in any units; infinity is censored, and a pair with a NaN is left out.
    clusters
        A label for each pair, (n,): clusters are swapped whole.
    confidence
        Of `null_upper`.
    swaps
        How many.
    rng
        A seed or a generator.
    dim
        The dimension of the observations, of a DataArray.

    Returns
    -------
    SwapTest
        Without units; NaN without a pair.

    Raises
    ------
    UsageError
        For shapes that do not fit, negative infinity, too many distinct values, and settings out of range.

    Examples
    --------
    >>> found = ks_swap_test([1, 2, 3], [4, 5, 6])
    >>> found.statistic, found.p
    (1.0, 0.25)
    """
    read = _Read("ks_swap_test", dim, values=values, reference=reference)
    missing = np.isnan(read.arrays).any(axis=0)
    read.arrays = [np.where(missing, np.nan, each) for each in read.arrays]
    found = _compared(read, _Draws(clusters, confidence, swaps, rng, "swaps"))
    return SwapTest(
        read.back(found["ks"]),
        read.back(found["ks_p"]),
        read.back(found["ks_null"]),
        read.back(found["ks_null_upper"]),
        read.back(found["observed"]),
    )


def ks_equivalence(
    values: Values,
    reference: Values,
    *,
    margin: float,
    clusters: Labels = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    rng: Rng = 0,
    dim: str = "sample",
) -> Equivalence:
    """Whether two distributions lie within a margin: the test of a Kolmogorov-Smirnov distance of the margin or more.

    Two one-sided tests (Schuirmann 1987) at every value, all of which have to reject (intersection-union; Berger 1982,
    Technometrics 24:295): p is the largest over x of Phi((|F(x) - G(x)| - margin) / se(x)), with se that of the
    resamples, and at least that of a difference of the margin.

    Parameters
    ----------
    values, reference
        (..., n), broadcast against each other, in any units; infinity is censored, NaN is left out.
    margin
        The distance that matters, above 0 and below 1.
    clusters
        A label for each pair, (n,).
    confidence
        Of the bound.
    resamples
        How often to draw pairs.
    rng
        A seed or a generator.
    dim
        The dimension of the observations, of a DataArray.

    Returns
    -------
    Equivalence
        p is below 1 - confidence exactly where `upper_bound` is below the margin; NaN where one side is empty.

    Raises
    ------
    UsageError
        For a margin out of range, shapes that do not fit, negative infinity, too many distinct values, and settings
        out of range.

    Examples
    --------
    >>> steps = np.arange(200) % 20
    >>> ks_equivalence(steps, steps, margin=0.1).p < 0.001
    True
    """
    if not 0 < margin < 1:
        raise UsageError(f"ks_equivalence: margin {shown(margin)} is no distance: give one above 0 and below 1")
    read = _Read("ks_equivalence", dim, values=values, reference=reference)
    found = _compared(read, _Draws(clusters, confidence, resamples, rng), margin=margin)
    return Equivalence(
        read.back(found["ks"]),
        read.back(found["ks_equivalence_p"]),
        read.back(found["ks_upper_bound"]),
        margin,
        read.back(found["observed"]),
    )


def ks_difference(
    first: Values,
    second: Values,
    reference: Values,
    *,
    clusters: Labels = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    rng: Rng = 0,
    dim: str = "sample",
) -> Difference:
    """Which of two samples lies nearer to a reference: the difference of their Kolmogorov-Smirnov distances to it.

    The claim has to hold in both limits of a distance, away from 0 and at 0 (Fang and Santos 2019, Review of Economic
    Studies 86:377; see `plateaulens.compare.distances`).

    Parameters
    ----------
    first, second, reference
        (..., n), broadcast against each other, in any units; infinity is censored, NaN is left out.
    clusters
        A label for each position, (n,).
    confidence
        The nominal coverage.
    resamples
        How often to draw.
    rng
        A seed or a generator.
    dim
        The dimension of the observations, of a DataArray.

    Returns
    -------
    Difference
        Distance of the first minus that of the second, negative when the first is the nearer one. Interval and p are
        NaN with fewer than 40 observations.

    Raises
    ------
    UsageError
        For shapes that do not fit, negative infinity, too many distinct values, and settings out of range.

    Examples
    --------
    >>> steps = np.arange(100) % 25
    >>> found = ks_difference(steps + 1, steps + 9, steps)
    >>> round(found.estimate, 2), found.p < 0.001
    (-0.32, True)
    """
    read = _Read("ks_difference", dim, first=first, second=second, reference=reference)
    found = [
        {
            "estimate": each["ks_difference"][1, 2],
            "interval": each["ks_difference_interval"][1, 2],
            "p": each["ks_difference_p"][1, 2],
            "n": min(_observed(cell[:2]), _observed(cell[::2])),
        }
        for cell, each in _each(read, _Draws(clusters, confidence, resamples, rng))
    ]
    stacked = {name: read.shaped(np.array([each[name] for each in found])) for name in found[0]}
    return Difference(
        read.back(stacked["estimate"]),
        read.back(stacked["interval"], "bound"),
        read.back(stacked["p"]),
        read.back(stacked["n"]),
    )


def holm(p: Values) -> Number:
    """Holm's adjustment of one family of tests: rejecting at level alpha bounds the chance of one false rejection.

    The i-th smallest of m times m - i + 1, made monotone and at most 1 (Holm 1979, Scandinavian Journal of Statistics
    6:65); valid under any dependence.

    Parameters
    ----------
    p
        The p-values of the family, of any shape. NaN is no test: it stays, and does not count. Ties get one value.

    Returns
    -------
    Number
        Adjusted p-values, of the same shape and kind.

    Raises
    ------
    UsageError
        For a number that is no probability.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjusted(p, "holm")


def benjamini_hochberg(p: Values) -> Number:
    """Benjamini and Hochberg's adjustment: rejecting at level q bounds the expected share of false rejections by q.

    The i-th smallest of m times m / i, made monotone from the largest down (Benjamini and Hochberg 1995, JRSS B
    57:289); valid under independence or positive dependence.

    Parameters
    ----------
    p
        The p-values of the family, of any shape. NaN is no test: it stays, and does not count. Ties get one value.

    Returns
    -------
    Number
        Adjusted p-values, of the same shape and kind.

    Raises
    ------
    UsageError
        For a number that is no probability.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    return _adjusted(p, "bh")


def kaplan_meier(time: Values, event: Values, *, steps: int, confidence: float = 0.95, dim: str = "sample") -> Survival:
    """The Kaplan-Meier estimate of S(k) = P(event after step k), with a Hall-Wellner band for the whole curve.

    S(k) is the product over event steps t <= k of 1 - d_t / r_t (Kaplan and Meier 1958, JASA 53:457), with d_t events
    and r_t at risk; the band is Hall and Wellner's (1980, Biometrika 67:133).

    Parameters
    ----------
    time
        The step of the event, or the last one at which it had not happened, (..., n); not negative, NaN is left out.
    event
        Whether the event was seen, (..., n), broadcast against `time`. Events precede censorings of the same step.
    steps
        S is estimated at k = 0..steps-1.
    confidence
        The nominal coverage of the band.
    dim
        The dimension of the observations, of a DataArray; the curve's is `step`.

    Returns
    -------
    Survival
        Probabilities, NaN without a time.

    Raises
    ------
    UsageError
        For shapes that do not fit, a time that is negative or infinite, and settings out of range.

    Examples
    --------
    >>> kaplan_meier([1, 2, 2, 3], [True, True, True, False], steps=4).probability.round(3).tolist()
    [1.0, 0.75, 0.25, 0.25]
    """
    _check(confidence, steps, "steps")
    read = _Read("kaplan_meier", dim, time=time, event=event)
    times, events = read.sets()
    _check_times("kaplan_meier", times)
    found = [_kaplan_meier(one, seen == 1, steps, confidence) for one, seen in zip(times, events, strict=True)]
    return Survival(
        np.arange(steps),
        read.back(read.shaped(np.array([each.probability for each in found])), "step"),
        read.back(read.shaped(np.array([each.band for each in found])), "step", "bound"),
        read.back(read.shaped((~np.isnan(times)).sum(axis=-1))),
    )


def restricted_mean(
    time: Values,
    event: Values,
    *,
    last: float,
    clusters: Labels = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    rng: Rng = 0,
    dim: str = "sample",
) -> Estimate:
    """The restricted mean time, the mean of min(event, last): what is not seen counts as the window's end.

    It is the area below the survival curve up to `last` (Royston and Parmar 2013, BMC Medical Research Methodology
    13:152) when everything unseen was watched up to there, which is required. The interval is studentised, see `mean`.

    Parameters
    ----------
    time
        The step of the event, (..., n), not negative; of what was not seen it does not matter. NaN is left out where
        the event was seen.
    event
        Whether the event was seen up to the window's end, (..., n), broadcast against `time`.
    last
        The window's end, in the units of `time`, above 0.
    clusters
        A label for each observation, (n,).
    confidence
        The nominal coverage.
    resamples
        How often to draw.
    rng
        A seed or a generator.
    dim
        The dimension of the observations, of a DataArray.

    Returns
    -------
    Estimate
        In the units of `time`; NaN without any.

    Raises
    ------
    UsageError
        For shapes that do not fit, a time that is negative or infinite, and settings out of range.

    Examples
    --------
    >>> restricted_mean([2, 4, 9, 0], [True, True, True, False], last=6).estimate
    4.5
    """
    if not (np.isfinite(last) and last > 0):
        raise UsageError(f"restricted_mean: last {shown(last)} is no end of a window: give a number above 0")
    draws = _Draws(clusters, confidence, resamples, rng)
    read = _Read("restricted_mean", dim, time=time, event=event)
    times, events = read.arrays
    _check_times("restricted_mean", np.where(events == 1, times, 0.0))
    cut = restricted(times, events != 1, last)
    there = ~np.isnan(cut)
    resampling = draws.resampling(there.reshape(-1, read.n))
    found = mean_interval(np.where(there, cut, 0.0), there, resampling, confidence)
    return Estimate(read.back(found.estimate), read.back(found.interval, "bound"), read.back(there.sum(axis=-1)))


class _Read:
    """The arguments of a function as arrays of one shape, and the way back to what the caller gave."""

    def __init__(self, function: str, dim: str, **given: Values) -> None:
        self.function, self.names = function, tuple(given)
        self.labelled = [each for each in given.values() if isinstance(each, xr.DataArray)]
        self.like: xr.DataArray | None = None
        arrays = (
            self._by_dimension(dim, given) if self.labelled else [_numbers(function, *each) for each in given.items()]
        )
        try:
            self.arrays = [np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(*arrays)]
        except ValueError:
            self._refuse(arrays)
        if (
            any(each.ndim == 0 or each.shape[-1] != self.arrays[0].shape[-1] for each in arrays)
            or not self.arrays[0].size
        ):
            self._refuse(arrays)
        self.n = self.arrays[0].shape[-1]
        for name, each in zip(self.names, self.arrays, strict=True):
            if np.isneginf(each).any():
                raise UsageError(f"{function}: {name} has negative infinity: give NaN for what is not there")

    def _by_dimension(self, dim: str, given: dict[str, Values]) -> list[NDArray[np.float64]]:
        """The arguments with `dim` last, by the names of their dimensions; plain arrays are observations."""
        named = []
        for name, each in given.items():
            values = each if isinstance(each, xr.DataArray) else xr.DataArray(_numbers(self.function, name, each))
            if not isinstance(each, xr.DataArray) and values.ndim == 1:
                values = values.rename({values.dims[0]: dim})
            if dim not in values.dims:
                raise UsageError(
                    f"{self.function}: {name} has the dimensions {tuple(map(str, values.dims))}, and not {dim!r}: "
                    "name the dimension of the observations with dim="
                )
            named.append(values.astype(np.float64))
        try:
            found = xr.broadcast(*xr.align(*named, join="exact"))
        except ValueError:
            self._refuse([each.to_numpy() for each in named])
        self.like = found[0].transpose(..., dim).isel({dim: 0}, drop=True)
        return [each.transpose(*self.like.dims, dim).to_numpy() for each in found]

    def _refuse(self, arrays: list[NDArray[np.float64]]) -> None:
        raise UsageError(
            f"{self.function}: {', '.join(self.names)} have {_shapes(*arrays)}: the last axis is the observations, "
            "one or more, as many in each, and the others must fit together"
        )

    def sets(self) -> list[NDArray[np.float64]]:
        """The arguments as (sets, n)."""
        return [each.reshape(-1, self.n) for each in self.arrays]

    def shaped(self, found: NDArray[Any]) -> NDArray[Any]:
        """What was found for each of `sets`, with the axes that there were before."""
        return found.reshape((*self.arrays[0].shape[:-1], *found.shape[1:]))

    def back(self, found: NDArray[Any], *dims: str) -> Number:
        """A result as the caller gave the arguments, with more axes behind."""
        if self.like is None:
            return found[()].item() if found.ndim == 0 else found
        coordinates: dict[Any, Any] = dict(self.like.coords)
        if "bound" in dims:
            coordinates["bound"] = ["lower", "upper"]
        return xr.DataArray(found, dims=(*self.like.dims, *dims), coords=coordinates)


def _numbers(function: str, name: str, given: Values) -> NDArray[np.float64]:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):  # the last of a tensor on a GPU, or with a gradient
        raise UsageError(f"{function}: {name} is {shown(given)}: give numbers, an array or a DataArray") from None


class _Draws:
    """How often and how to draw, checked."""

    def __init__(self, clusters: Labels, confidence: float, number: int, rng: Rng, name: str = "resamples") -> None:
        _check(confidence, number, name)
        self.clusters, self.confidence, self.number = clusters, confidence, number
        try:
            self.generator = np.random.default_rng(rng)
        except (TypeError, ValueError):
            raise UsageError(f"rng {shown(rng)} is no seed: give a whole number from 0 on, or a generator") from None

    def resampling(self, seen: NDArray[np.bool_]) -> Resampling:
        """Resamples of positions, or of the clusters that they have labels of.

        `seen`, shaped (sets, n), says which observations enter: nothing can be drawn in the place of a single cluster.
        """
        n, numbered = seen.shape[-1], None
        if self.clusters is not None:
            numbered = _numbered(self.clusters, n)
            if any(each.sum() > 1 and len(np.unique(numbered[each])) < 2 for each in seen):
                raise UsageError(
                    "clusters are one, of all that is observed: what is said of others like it takes several, and its "
                    "observations are no others"
                )
        return Resampling.draw(self.generator, samples=n, resamples=self.number, clusters=numbered)


def _numbered(given: Iterable[Hashable], n: int) -> NDArray[np.int_]:
    """The labels of clusters as numbers, by the order in which they occur."""
    try:
        is_array = isinstance(given, np.ndarray | xr.DataArray)
        labels = np.asarray(given) if is_array else np.fromiter(given, object)
        numbered = pd.factorize(labels.ravel())[0]
    except TypeError as error:
        raise UsageError(f"clusters are no labels ({first_line(error)}): give texts or numbers") from None
    if labels.shape != (n,):
        raise UsageError(f"clusters have {_shapes(labels)}: give one label for each observation, ({n},)")
    if (numbered < 0).any():
        raise UsageError("clusters lack a label (None or NaN): an observation of no known cluster is left out")
    return numbered


def _compared(read: _Read, draws: _Draws, *, margin: float = 0.5) -> Comparison:
    """What `compare_types` says of every set of values and its reference, with the axes of the arguments."""
    found: dict[str, list[Any]] = {}
    for cell, each in _each(read, draws, margin=margin):
        for name, value in each.items():
            if not name.startswith("ks_difference"):
                found.setdefault(name, []).append(value[1])
        found.setdefault("observed", []).append(_observed(cell))
    return {name: read.shaped(np.array(each)) for name, each in found.items()}


def _each(read: _Read, draws: _Draws, *, margin: float = 0.5) -> Iterator[tuple[NDArray[np.float64], Comparison]]:
    """`compare_types` of each set, with the last argument as the reference in front, from one draw for all of them."""
    *others, reference = read.sets()
    cells = np.stack([reference, *others], axis=1)
    resampling = draws.resampling(np.asarray(~np.isnan(cells).any(axis=1)))
    swaps = Swaps.draw(draws.generator, samples=read.n, swaps=draws.number, clusters=resampling.unit)
    settings = AnalysisConfig(confidence=draws.confidence, resamples=draws.number)
    for cell in cells:
        censored = np.isposinf(cell)
        distinct = len(np.unique(cell[~np.isnan(cell)]))
        if distinct * len(cell) * (1 + draws.number) > LARGEST:
            raise UsageError(
                f"{read.function}: {distinct} distinct values with {draws.number} resamples are too many to hold: "
                f"round the values, or take at most {max(LARGEST // (distinct * len(cell)) - 1, 1)} resamples"
            )
        found = compare_types(
            np.where(censored, np.nan, cell),
            censored,
            resampling,
            swaps,
            reference=0,
            last_step=0.0,
            margin=margin,
            settings=settings,
            rng=draws.generator,
        )
        yield cell, found


def _observed(cell: NDArray[np.float64]) -> int:
    """How many positions have all observations, of (arguments, n)."""
    return int((~np.isnan(cell)).all(axis=0).sum())


def _check(confidence: float, number: Any, name: str) -> None:
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {shown(confidence)} is no probability: give one above 0 and below 1")
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 1 <= number <= 100_000:
        raise UsageError(f"{name} {shown(number)} is no number of them: give a whole number from 1 to 100000")


def _check_times(function: str, times: NDArray[np.float64]) -> None:
    wrong = times[(times < 0) | np.isinf(times)]
    if wrong.size:
        raise UsageError(f"{function}: time has {wrong[0]:g}: give steps from 0 on, and NaN for what is not there")


def _adjusted(p: Values, method: Method) -> Number:
    function = {"holm": "holm", "bh": "benjamini_hochberg"}[method]
    values = _numbers(function, "p", p)
    wrong = values[(values < 0) | (values > 1)]
    if wrong.size:
        raise UsageError(f"{function}: p has {wrong[0]:g}, which is no probability: give p-values, NaN for no test")
    found = adjust(values, method)
    return p.copy(data=found) if isinstance(p, xr.DataArray) else found


def _shapes(*arrays: NDArray[Any]) -> str:
    found = " and ".join(dict.fromkeys(str(tuple(each.shape)) for each in arrays))
    return f"shape {found}" if len({each.shape for each in arrays}) < 2 else f"shapes {found}"
