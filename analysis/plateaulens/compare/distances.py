"""The two-sample Kolmogorov-Smirnov distance, and what the bootstrap can honestly say about it.

The distance between two distributions is the largest absolute difference of their distribution functions, sup |F - G|,
in [0, 1]. An observation that is censored (its event lies beyond the window) stands at positive infinity: it is later
than every step, whatever the step would have been, so the distance needs no sentinel. Ties are no difficulty for the
distance; they invalidate only the textbook p-values, which are not used here.

**How far a type lies from the reference: `distance_interval`.** The bootstrap distribution of the distance lies too
high: a resampled difference of distribution functions is the true difference plus sampling noise twice over, and the
supremum of a noisier function is larger. The percentile interval moves up with it. For equal distributions it never
contains 0, and for small distances it covers far less often than it claims. (In simulations with 100 to 1000 paired,
integer-valued samples, nominal 95 % intervals covered 0 % of the time at a true distance of 0, 0 % to 71 % at 0.04 and
73 % to 90 % at 0.16. Reflecting the interval about the estimate, the basic or pivotal bootstrap, still covered only 79
% to 95 %: the distance is not differentiable where it is 0, or where two places compete for the supremum, and there no
interval made from its own draws can be relied on.)

What is resampled is therefore not the distance but the error of F - G itself, uniformly over its argument. Because |
sup |F^ - G^| - sup |F - G| | <= sup |(F^ - G^) - (F - G)|, a bootstrap bound c on the right hand side makes [D - c, D +
c] an interval for the distance, at 0 as anywhere. The bootstrap of the process F^ - G^ is consistent, ties and pairing
included, so it covers at least as often as it claims (94 % to 100 % in the same simulations), at the price of being
wider. Its lower bound exceeds 0 exactly when the hypothesis F = G is rejected.

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
noise, than far from it. They miss the truth most where one type is like the reference and the other is not, which is
the question that matters most. What the intervals here cover, `nox -s calibrate` measures.

What is estimated well is the difference of the two distribution functions at a given place. With x_a the place where
the sample's distance of a is attained and s_a its sign, D_a is s_a (F_a - G)(x_a) to first order, and the variance of
the difference over the resamples is that of s_a (F*_a - G*)(x_a) - s_b (F*_b - G*)(x_b): paired, with its ties and
clusters, and without the noise of the maximum. That gives the interval D_a - D_b +- z se. It is extended, on the side
where it lies, by twice the bootstrap's bias of the difference (mean of D*_a - D*_b minus the point): near 0 the
bootstrap sees about half of the bias, since the sample has the other half in it already.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from plateaulens.compare.resampling import quantile, ratio


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
    """An interval for sup |F - G| that covers at least as often as it claims; see the module's docstring.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples (the other rows), (1 + resamples, ..., bins).
    confidence
        The nominal coverage; the interval covers at least as often.
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
    least = np.sqrt(margin * (1 - margin) / np.maximum(pairs, 1))[..., np.newaxis]
    score = (np.abs(differences[0]) - margin) / np.maximum(_standard_error(differences), least)
    largest: NDArray[np.float64] = ndtr(score.max(axis=-1))
    return largest


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


def ks_difference_interval(differences: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Intervals of D_a - D_b for every two types; see the module's docstring.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples, (1 + resamples, type, bins).
    confidence
        The nominal coverage of each interval.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (type, other type, 2), in [-1, 1]. NaN for a type without a distance. A type and
        itself differ by 0 exactly.
    """
    point, error, bias = _spread(differences)
    reach = ndtri((1 + confidence) / 2) * error
    lower, upper = point - np.maximum(bias, 0.0) - reach, point - np.minimum(bias, 0.0) + reach
    return np.clip(np.stack([lower, upper], axis=-1), -1.0, 1.0)


def ks_difference_p(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p-values of D_a = D_b for every two types: small when the interval excludes 0.

    2 Phi(-|d| / se), with d the end of [D_a - D_b - bias, D_a - D_b] that is nearer to 0, and 1 where 0 lies in it. No
    permutation answers this question: two types can be equally far from the reference with quite different
    distributions, and swapping them tests that their distributions are equal.

    Parameters
    ----------
    differences
        F - G of the sample (row 0) and of its resamples, (1 + resamples, type, bins).

    Returns
    -------
    NDArray[np.float64]
        p-values, (type, other type); NaN for a type without a distance.
    """
    point, error, bias = _spread(differences)
    ends = np.stack([point, point - bias])
    nearest = np.where(np.sign(ends).prod(axis=0) > 0, np.abs(ends).min(axis=0), np.where(np.isnan(point), np.nan, 0.0))
    score = np.where(nearest > 0, np.inf, nearest)
    np.divide(nearest, error, out=score, where=error > 0)
    return np.asarray(2 * ndtr(-score))


class _Spread(NamedTuple):
    """Every pair of types (type, other type): the difference, its standard error, and the bias to allow for."""

    point: NDArray[np.float64]
    error: NDArray[np.float64]
    bias: NDArray[np.float64]


def _spread(differences: NDArray[np.float64]) -> _Spread:
    """What `ks_difference_interval` and `ks_difference_p` are made of, from the same `differences`."""
    place = np.abs(differences[0]).argmax(axis=-1)[np.newaxis, :, np.newaxis]
    at_place = np.take_along_axis(differences, place, axis=-1)[..., 0]
    draws = ks_difference((at_place * np.sign(at_place[0]))[1:])
    point, resampled = ks_difference(distances(differences[0])), ks_difference(distances(differences[1:]))
    error = np.sqrt(_mean((draws - _mean(draws)) ** 2))
    return _Spread(point, error, 2 * (_mean(resampled) - point))


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
