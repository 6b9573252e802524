"""The two-sample Kolmogorov-Smirnov distance, and what the bootstrap can honestly say about it.

The distance between two distributions is the largest absolute difference of their distribution functions, sup |F - G|,
in [0, 1]. An observation that is censored (its event lies beyond the window) stands at positive infinity: it is later
than every step, whatever the step would have been, so the distance needs no sentinel. Ties are no difficulty for the
distance; they invalidate only the textbook p-values, which are not used here.

**How far a type lies from the reference: `distance_interval`.** The bootstrap distribution of the distance lies too
high: a resampled difference of distribution functions is the true difference plus sampling noise twice over, and the
supremum of a noisier function is larger. The percentile interval moves up with it, and its reflection about the
estimate (the basic or pivotal bootstrap) is no remedy: the distance is not differentiable where it is 0, or where two
places compete for the supremum, and there no interval made from its own draws can be relied on.

What is resampled is therefore not the distance but the error of F - G itself, uniformly over its argument. Because |
sup |F^ - G^| - sup |F - G| | <= sup |(F^ - G^) - (F - G)|, a bootstrap bound c on the right hand side makes [D - c, D +
c] an interval for the distance, at 0 as anywhere. The bound is a large-sample one: how often it holds at which number
of base prompts, and how often the percentile interval, is in the calibration table of docs/statistics.md; below
`FEWEST_IN_BAND` it is withheld. Whether F = G
is not read off the interval but tested by swaps (`plateaulens.compare.permutation`), which need no large sample.

**Whether a type is as good as real: `ks_equivalence_p`, `ks_upper_bound`, `mean_equivalence_p`.** Two real sets differ
by sampling alone, so no type can be shown to be equal to `real`, and a large p-value of equal distributions does not
show it either. It can be shown to lie within a stated margin. The hypothesis to reject is that it lies outside.

For the distance the margin d says: at no step do the shares of curves whose event has happened differ by d or more.
"sup |F - G| >= d" is the union over places x of "|F(x) - G(x)| >= d", so rejecting at every single x, each at level
alpha, rejects the union at level alpha with no correction (intersection-union test; Berger 1982, Technometrics 24:295).
The upper confidence bound that goes with it is the largest pointwise bound, and the type is within the margin when that
is. This is the two one-sided tests procedure (Schuirmann 1987), place by place. For the mean paired difference it is
that procedure itself.

**Which of two types lies nearer to the reference: `ks_difference_interval`, `ks_difference_p`.** The difference is D_a
- D_b, with D_a = sup |F_a - G| and both distances to the same reference. Neither percentiles of its bootstrap draws nor
their reflection, BC or BCa serve: a resampled distance is biased upwards, more so near 0, where a distance is all
noise, than far from it. The distance has two limits (Fang and Santos 2019, Review of Economic Studies 86:377), and the
claim has to hold in both:

- *Away from 0* the difference is, to first order, that of the distribution functions at the places x_a, x_b where the
  sample's distances are attained, with signs s_a, s_b. Its variance over resamples is that of s_a (F*_a - G*)(x_a) -
  s_b (F*_b - G*)(x_b): paired, with its ties and clusters, and without the noise of the maximum. To that (D_a - D_b)^2
  / n is added, as in a score test: if the distances are equal, whatever makes a pair contribute to the difference is
  noise, and n pairs of which k contribute, all on one side, have a score of at most sqrt(k). A bootstrap that sees no
  variation at all, because every pair contributes the same, then still has an error.
- *At 0* both distances are nothing but noise, and that of a copy of the reference, which has none, is less than that of
  an independent draw: their difference has the law of sup |h_a| - sup |h_b|, with h = (F* - G*) - (F^ - G^) over the
  resamples.

The p-value is the larger of the two, the interval reaches as far as the farther of the two. Where that touches no claim
of an order, it reaches also as far as the third case has it: one type at 0, the other one away from it, and their
difference with the law of sup |h_a| - s_b h_b(x_b). There is neither below `FEWEST` base prompts. What they hold, and
what other intervals do, is in the calibration table of docs/statistics.md.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import pearson3
from scipy.stats import t as student

from plateaulens.compare.intervals import RELIABLE, ROUNDING
from plateaulens.compare.resampling import quantile, ratio

FEWEST = 40
"""With fewer base prompts no order of two distances is said: it would rest on the shape of tails nobody has seen."""
FEWEST_IN_BAND = 10
"""With fewer base prompts a distance has no interval: resamples of so few hardly differ from them."""


def distribution_functions(histograms: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distribution functions of histograms.

    Parameters
    ----------
    histograms
        Counts over increasing values, (..., bins).

    Returns
    -------
    NDArray[np.float64]
        The share of the counts at or below each value, (..., bins); NaN for an empty histogram.
    """
    return ratio(np.cumsum(histograms, axis=-1, dtype=np.float64), histograms.sum(axis=-1, keepdims=True))


def distances(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kolmogorov-Smirnov distances, sup |F - G|.

    Parameters
    ----------
    differences
        Differences of distribution functions F - G, (..., bins).

    Returns
    -------
    NDArray[np.float64]
        The largest absolute difference, (...); NaN where F - G is.
    """
    largest: NDArray[np.float64] = np.abs(differences).max(axis=-1)
    return largest


def distance_interval(
    differences: NDArray[np.float64],
    confidence: float,
    norm: Callable[[NDArray[np.float64]], NDArray[np.float64]] = distances,
) -> NDArray[np.float64]:
    """An interval for sup |F - G| from a uniform bound on the error of F - G; see the module's docstring.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples (the other rows), (1 + resamples, ..., bins).
    confidence
        The nominal coverage.
    norm
        From F - G, (..., bins), to its size, (...). Another norm than the largest absolute value, such as the
        Wasserstein distance, has the same reason for the same interval.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2), with 0 as the least lower bound, and NaN where the sample's distance
        is. It is the point itself when no resample differs from the sample.
    """
    point = norm(differences[0])
    error = quantile(norm(differences[1:] - differences[0]), confidence)
    return np.maximum(np.stack([point - error, point + error], axis=-1), 0.0)


def ks_upper_bound(
    differences: NDArray[np.float64], pairs: NDArray[np.integer], confidence: float
) -> NDArray[np.float64]:
    """The one-sided upper confidence bound of sup |F - G|: the largest over places x of that of |F(x) - G(x)|.

    At each place the bound is |F - G| + z se, with the resamples' standard error, so that pairing, ties and clusters
    are in it; or Wilson's bound for a share |F - G| of the pairs, where that is higher. The latter holds because a
    difference of size d has a variance of at least d (1 - d) / pairs, and matters where hardly a resample differs. At
    95 % it is the end of a 90 % two-sided interval, as always in equivalence tests.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples, (1 + resamples, ..., bins).
    pairs
        The numbers of base prompts behind them, (...).
    confidence
        The nominal probability that the bound is not below the distance.

    Returns
    -------
    NDArray[np.float64]
        Bounds, (...), at most 1; NaN where there is no distance.
    """
    z = ndtri(confidence)
    size, n = np.abs(differences[0]), np.maximum(pairs, 1)[..., np.newaxis]
    normal = size + z * _standard_error(differences)
    wilson = (size + z**2 / (2 * n) + z * np.sqrt(size * (1 - size) / n + (z / (2 * n)) ** 2)) / (1 + z**2 / n)
    upper: NDArray[np.float64] = np.minimum(np.maximum(normal, wilson).max(axis=-1), 1.0)
    return upper


def ks_equivalence_p(
    differences: NDArray[np.float64], pairs: NDArray[np.integer], margin: float
) -> NDArray[np.float64]:
    """The p-value of sup |F - G| >= `margin`: the largest over places x of Phi((|F(x) - G(x)| - margin) / se(x)).

    se is at least that of a difference of size `margin`. p is below 1 - confidence exactly when `ks_upper_bound` is
    below the margin.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples, (1 + resamples, ..., bins).
    pairs
        The numbers of base prompts behind them, (...).
    margin
        The distance that matters.

    Returns
    -------
    NDArray[np.float64]
        p-values, (...); NaN where there is no distance.
    """
    return np.asarray(ndtr(equivalence_score(differences[0], _standard_error(differences), pairs, margin)))


def equivalence_score(
    difference: NDArray[np.float64], error: NDArray[np.float64], pairs: NDArray[np.number], margin: float
) -> NDArray[np.float64]:
    """The largest over places x of (|F(x) - G(x)| - margin) / se(x), whose normal probability is `ks_equivalence_p`.

    Parameters
    ----------
    difference
        F - G, (..., bins).
    error
        Its standard error, (..., bins), which is taken to be that of a difference of size `margin` at least.
    pairs
        The numbers of base prompts behind them, (...).
    margin
        The distance that matters.

    Returns
    -------
    NDArray[np.float64]
        Scores, (...); NaN where there is no distance.
    """
    least = np.sqrt(margin * (1 - margin) / np.maximum(pairs, 1))[..., np.newaxis]
    largest: NDArray[np.float64] = ((np.abs(difference) - margin) / np.maximum(error, least)).max(axis=-1)
    return largest


def has_events(events: ArrayLike, censored: ArrayLike, margin: float) -> NDArray[np.bool_]:
    """Whether equivalence of a type and the reference would say anything of their events.

    No distance of shares exceeds the larger share of curves with an event: where hardly any curve of either has one,
    both are within the margin whatever their events are, as nearly all are censored alike.

    Parameters
    ----------
    events
        How many curves of the type, and of the reference, have an event in the window, (..., 2).
    censored
        The shares of those that have none, (..., 2).
    margin
        The distance of equivalence.

    Returns
    -------
    NDArray[np.bool_]
        (...), true where either has `RELIABLE` events of `plateaulens.compare.intervals` and a share that reaches the
        margin.

    Examples
    --------
    >>> has_events([(300, 290), (2, 0)], [(0.0, 0.03), (0.993, 1.0)], 0.15)
    array([ True, False])
    """
    enough = np.asarray(events) >= RELIABLE
    # a share that is the margin reaches it, however it is rounded
    reaches = 1 - np.asarray(censored) >= margin * (1 - ROUNDING)
    return np.asarray((enough & reaches).any(axis=-1))


def mean_equivalence_p(
    mean: NDArray[np.float64], error: NDArray[np.float64], n_pairs: NDArray[np.integer], margin: float
) -> NDArray[np.float64]:
    """The p-value of |mean paired difference| >= `margin` steps: the larger of two one-sided paired t-tests.

    As `statsmodels.stats.weightstats.ttost_paired` with bounds -margin and margin.

    Parameters
    ----------
    mean
        Mean paired differences in steps, (...).
    error
        Their standard errors, (...).
    n_pairs
        The numbers of base prompts behind them, (...).
    margin
        The difference that matters, in steps.

    Returns
    -------
    NDArray[np.float64]
        p-values, (...): NaN with fewer than two pairs, 0 or 1 where all differences are equal.
    """
    excess = np.abs(mean) - margin
    score = np.where(np.isnan(excess), np.nan, np.copysign(np.inf, excess))
    np.divide(excess, error, out=score, where=error > 0)
    enough = n_pairs > 1
    return np.where(enough, student.cdf(score, np.where(enough, n_pairs - 1, 1)), np.nan)


def ks_difference(ks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of every two types' distances to the same reference.

    For intervals of the difference see `ks_difference_interval`.

    Parameters
    ----------
    ks
        Distances to the reference, (..., type).

    Returns
    -------
    NDArray[np.float64]
        (..., type, other type): element [a, b] is the distance of a minus that of b, negative when a is the nearer one.

    Examples
    --------
    >>> ks_difference(np.array([0.5, 0.25]))
    array([[ 0.  ,  0.25],
           [-0.25,  0.  ]])
    """
    return ks[..., :, np.newaxis] - ks[..., np.newaxis, :]


def ks_difference_interval(
    differences: NDArray[np.float64], pairs: NDArray[np.integer], confidence: float
) -> NDArray[np.float64]:
    """Intervals of D_a - D_b for every two types; see the module's docstring.

    The hull of the intervals of its two limits: excludes 0 exactly when `ks_difference_p` is below 1 - `confidence`.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples, (1 + resamples, type, bins).
    pairs
        The numbers of base prompts behind them, (type,).
    confidence
        The nominal coverage of each interval.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (type, other type, 2), in [-1, 1]. NaN for a type without a distance, or with
        fewer than `FEWEST` base prompts. A type and itself differ by 0 exactly.
    """
    found = _spread(differences, pairs)
    tail = (1 - confidence) / 2
    reach = ndtri(1 - tail) * found.error
    below, above = np.maximum(reach, found.both.reach(tail)), np.maximum(reach, found.both.negative.reach(tail))
    # [a, b] of the third case has a at 0 and b away; a bound that stays on its side of 0 is left there
    below, above = (
        np.where(toward_0 > reach, reach, np.maximum(reach, third))
        for toward_0, reach, third in (
            (found.point, below, found.nearer.reach(tail)),
            (-found.point, above, found.nearer.reach(tail).T),
        )
    )
    interval = np.clip(np.stack([found.point - below, found.point + above], axis=-1), -1.0, 1.0)
    own = np.arange(len(interval))
    interval[own, own] = found.point[own, own, np.newaxis]
    return interval


def ks_difference_p(differences: NDArray[np.float64], pairs: NDArray[np.integer]) -> NDArray[np.float64]:
    """Two-sided p-values of D_a = D_b for every two types; see the module's docstring.

    The larger one of 2 Phi(-|D_a - D_b| / se), for distances away from 0, and of twice the smaller tail of sup |h_a| -
    sup |h_b| beyond D_a - D_b, for distances of 0, with Pearson's type III distribution of the same mean, variance and
    skewness in place of the draws. No permutation answers this question: two types can be equally far from the
    reference with quite different distributions, and swapping them tests that their distributions are equal.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples, (1 + resamples, type, bins).
    pairs
        The numbers of base prompts behind them, (type,).

    Returns
    -------
    NDArray[np.float64]
        p-values, (type, other type); 1 where the distances are equal, NaN for a type without a distance or with fewer
        than `FEWEST` base prompts.
    """
    found = _spread(differences, pairs)
    away = 2 * ndtr(-ratio(np.abs(found.point), found.error))
    tail = np.minimum(found.both.beyond(found.point), found.both.negative.beyond(-found.point))
    larger = np.fmax(away, np.minimum(2 * tail, 1.0))
    return np.where(np.isnan(found.point), np.nan, np.where(found.point == 0, 1.0, larger))


class _Noise(NamedTuple):
    """A distribution over resamples by its moments, as Pearson's of type III; (type, other type)."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    skewness: NDArray[np.float64]

    @classmethod
    def of(cls, draws: NDArray[np.float64]) -> "_Noise":
        """That of draws (resamples, type, other type)."""
        mean = _mean(draws)
        variance = _mean((draws - mean) ** 2)
        return cls(mean, np.sqrt(variance), ratio(_mean((draws - mean) ** 3), variance**1.5))

    @property
    def negative(self) -> "_Noise":
        """That of the negative."""
        return _Noise(-self.mean, self.sd, -self.skewness)

    def reach(self, tail: float) -> NDArray[np.float64]:
        """What it exceeds with the probability `tail`."""
        return self.mean + self.sd * pearson3.isf(tail, self._upper)

    def beyond(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probability that it exceeds `value`; NaN without any variation."""
        return np.asarray(pearson3.sf(ratio(value - self.mean, self.sd), self._upper))

    @property
    def _upper(self) -> NDArray[np.float64]:
        """The skewness of the upper tail: one that is shorter than the normal distribution's is not made use of."""
        return np.maximum(np.nan_to_num(self.skewness), 0.0)


class _Spread(NamedTuple):
    """Every pair of types (type, other type): the difference, and what it varies by in each case."""

    point: NDArray[np.float64]
    """NaN without a distance, or with too few base prompts."""
    error: NDArray[np.float64]
    """The standard error with both away from 0."""
    both: _Noise
    """With both at 0."""
    nearer: _Noise
    """With the first at 0 and the other away from it."""


def _spread(differences: NDArray[np.float64], pairs: NDArray[np.integer]) -> _Spread:
    """What `ks_difference_interval` and `ks_difference_p` are made of, from the same arguments."""
    number = np.minimum(pairs[:, np.newaxis], pairs)
    point = np.where(number < FEWEST, np.nan, ks_difference(distances(differences[0])))
    place = np.abs(differences[0]).argmax(axis=-1)[np.newaxis, :, np.newaxis]
    error_at = np.take_along_axis(differences - differences[0], place, axis=-1)[1:, :, 0]
    sign = np.sign(np.take_along_axis(differences[:1], place, axis=-1)[0, :, 0])
    away, largest = sign * error_at, distances(differences[1:] - differences[0])
    variance = _mean((ks_difference(away) - _mean(ks_difference(away))) ** 2)
    return _Spread(
        point,
        np.sqrt(variance + ratio(point**2, number.astype(np.float64))),
        _Noise.of(ks_difference(largest)),
        _Noise.of(largest[..., :, np.newaxis] - away[..., np.newaxis, :]),
    )


def _standard_error(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard deviation of each place over the resamples in which it exists; 0 for fewer than two."""
    draws = differences[1:]
    there = np.isfinite(draws)
    centred = np.where(there, draws - _mean(draws), 0.0)
    return np.sqrt(np.nan_to_num(ratio((centred**2).sum(axis=0), there.sum(axis=0) - 1)))


def _mean(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over resamples, those left out in which a type has no observation."""
    there = np.isfinite(draws)
    return ratio(np.where(there, draws, 0.0).sum(axis=0), there.sum(axis=0))
