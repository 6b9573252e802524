"""The two-sample Kolmogorov-Smirnov distance, and what the bootstrap can honestly say about it.

The distance between two distributions is the largest absolute difference of their distribution functions, sup |F - G|,
in [0, 1]. An observation that is censored (its event lies beyond the window) stands at positive infinity: it is later
than every step, whatever the step would have been, so the distance needs no sentinel. Ties are no difficulty for the
distance; they invalidate only the textbook p-values, which are not used here.

Its bootstrap distribution lies too high: a resampled difference of distribution functions is the true difference plus
sampling noise twice over, and the supremum of a noisier function is larger. The percentile interval moves up with it.
For equal distributions it never contains 0, and for small distances it covers far less often than it claims. (In
simulations with 100 to 1000 paired, integer-valued samples, nominal 95 % intervals covered 0 % of the time at a true
distance of 0, 0 % to 71 % at 0.04 and 73 % to 90 % at 0.16. Reflecting the interval about the estimate, the basic or
pivotal bootstrap, still covered only 79 % to 95 %: the distance is not differentiable where it is 0, or where two
places compete for the supremum, and there no interval made from its own draws can be relied on.)

`distance_interval` therefore does not resample the distance but the error of F - G itself, uniformly over its
argument. Because | sup |F^ - G^| - sup |F - G| | <= sup |(F^ - G^) - (F - G)|, a bootstrap bound c on the right hand
side makes [D - c, D + c] an interval for the distance, at 0 as anywhere. The bootstrap of the process F^ - G^ is
consistent, ties and pairing included, so it covers at least as often as it claims (94 % to 100 % in the same
simulations), at the price of being wider. Its lower bound exceeds 0 exactly when the hypothesis F = G is rejected.

Which of two types lies nearer to the reference: intervals and p-values for a difference of two distances.

The difference is D_a - D_b, with D_a = sup |F_a - G| and both distances to the same reference. Neither percentiles of
its bootstrap draws nor their reflection, BC or BCa serve: a resampled distance is biased upwards, more so near 0, where
a distance is all noise, than far from it. They miss the truth most where one type is like the reference and the other
is not, which is the question that matters most. What this module's intervals cover, `nox -s calibrate` measures.

What is estimated well is the difference of the two distribution functions at a given place. With x_a the place where
the sample's distance of a is attained and s_a its sign, D_a is s_a (F_a - G)(x_a) to first order, and the variance of
the difference over the resamples is that of s_a (F*_a - G*)(x_a) - s_b (F*_b - G*)(x_b): paired, with its ties and
clusters, and without the noise of the maximum. That gives the interval D_a - D_b +- z se. It is extended, on the side
where it lies, by twice the bootstrap's bias of the difference (mean of D*_a - D*_b minus the point): near 0 the
bootstrap sees about half of the bias, since the sample has the other half in it already.

Whether a type is as good as real: equivalence with a stated margin, which a large p-value cannot show.

Two real sets differ by sampling alone, so no type can be shown to be equal to `real`; it can be shown to lie within a
margin. The hypothesis to reject is that it lies outside.

For the Kolmogorov-Smirnov distance the margin d says: at no step do the shares of curves whose event has happened
differ by d or more. "sup |F - G| >= d" is the union over places x of "|F(x) - G(x)| >= d", so rejecting at every single
x, each at level alpha, rejects the union at level alpha with no correction (intersection-union test; Berger 1982,
Technometrics 24:295). The upper confidence bound that goes with it is the largest pointwise bound, and the type is
within the margin when that is. This is the two one-sided tests procedure (Schuirmann 1987), place by place.

For the mean paired difference it is that procedure itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from plateaulens.compare.resampling import quantile, ratio


def ks_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Sup |F - G| of two one-dimensional samples: `scipy.stats.ks_2samp`'s statistic, ties included.

    Positive infinity stands for a censored observation; NaN (undefined) is left out. NaN when a sample is empty.

    >>> ks_distance([1, 2, 3, 4], [3, 4, 5, np.inf])
    0.5
    """
    samples = [np.asarray(sample, dtype=np.float64) for sample in (first, second)]
    samples = [np.sort(sample[~np.isnan(sample)]) for sample in samples]
    if not all(sample.size for sample in samples):
        return float("nan")
    places = np.concatenate(samples)
    functions = [np.searchsorted(sample, places, side="right") / sample.size for sample in samples]
    return float(np.abs(functions[0] - functions[1]).max())


def distribution_functions(histograms: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distribution functions of histograms (..., bins) over increasing values; NaN for an empty histogram."""
    return ratio(np.cumsum(histograms, axis=-1, dtype=np.float64), histograms.sum(axis=-1, keepdims=True))


def distances(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sup |F - G| of differences of distribution functions (..., bins)."""
    largest: NDArray[np.float64] = np.abs(differences).max(axis=-1)
    return largest


def ks_difference(ks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of every two types' distances to the same reference: (..., type) to (..., type, other type).

    Element [a, b] is the distance of a minus that of b: negative when a is the nearer one. For
    intervals of the difference see `plateaulens.compare.distances`.

    >>> ks_difference(np.array([0.5, 0.25]))
    array([[ 0.  ,  0.25],
           [-0.25,  0.  ]])
    """
    return ks[..., :, np.newaxis] - ks[..., np.newaxis, :]


def bootstrap_bias(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The bias of a distance as the bootstrap sees it: mean of the draws (rows 1 on) minus the point (row 0).

    Right for a distance well above the noise. Near 0 the draws rise from the noise that the point has already, and the
    bias is underestimated by about half; the null of `plateaulens.compare.permutation.ks_swap_test` is exact at 0.
    """
    draws = distance[1:]
    there = np.isfinite(draws)
    bias: NDArray[np.float64] = ratio(np.where(there, draws, 0.0).sum(axis=0), there.sum(axis=0)) - distance[0]
    return bias


def distance_interval(
    differences: NDArray[np.float64],
    confidence: float,
    norm: Callable[[NDArray[np.float64]], NDArray[np.float64]] = distances,
) -> NDArray[np.float64]:
    """An interval for sup |F - G| that covers at least as often as it claims; see the module's docstring.

    `differences` are F - G of the sample (row 0) and of its resamples (the other rows), (1 + resamples, ..., bins);
    the result is (..., 2), with 0 as the least lower bound, and NaN where the sample's distance is. It is the point
    itself when no resample differs from the sample. Another `norm` of F - G over its last axis, such as the Wasserstein
    distance, has the same reason for the same interval.
    """
    point = norm(differences[0])
    error = quantile(norm(differences[1:] - differences[0]), confidence)
    return np.maximum(np.stack([point - error, point + error], axis=-1), 0.0)


class _Spread(NamedTuple):
    """Every pair of types (type, other type): the difference, its standard error, and the bias to allow for."""

    point: NDArray[np.float64]
    error: NDArray[np.float64]
    bias: NDArray[np.float64]


def ks_difference_interval(differences: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Intervals of D_a - D_b for every two types: (1 + resamples, type, bins) to (type, other type, 2).

    `differences` are F - G of the sample (row 0) and of its resamples. NaN for a type without a distance. A type and
    itself differ by 0 exactly.
    """
    point, error, bias = _spread(differences)
    reach = ndtri((1 + confidence) / 2) * error
    lower, upper = point - np.maximum(bias, 0.0) - reach, point - np.minimum(bias, 0.0) + reach
    return np.clip(np.stack([lower, upper], axis=-1), -1.0, 1.0)


def ks_difference_p(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p-values of D_a = D_b for every two types (type, other type): small when the interval excludes 0.

    2 Phi(-|d| / se), with d the end of [D_a - D_b - bias, D_a - D_b] that is nearer to 0, and 1 where 0 lies in it. No
    permutation answers this question: two types can be equally far from the reference with quite different
    distributions, and swapping them tests that their distributions are equal. NaN for a type without a distance.
    """
    point, error, bias = _spread(differences)
    ends = np.stack([point, point - bias])
    nearest = np.where(np.sign(ends).prod(axis=0) > 0, np.abs(ends).min(axis=0), np.where(np.isnan(point), np.nan, 0.0))
    score = np.where(nearest > 0, np.inf, nearest)
    np.divide(nearest, error, out=score, where=error > 0)
    return np.asarray(2 * ndtr(-score))


def _spread(differences: NDArray[np.float64]) -> _Spread:
    place = np.abs(differences[0]).argmax(axis=-1)[np.newaxis, :, np.newaxis]
    at_place = np.take_along_axis(differences, place, axis=-1)[..., 0]
    draws = ks_difference((at_place * np.sign(at_place[0]))[1:])
    point, resampled = ks_difference(distances(differences[0])), ks_difference(distances(differences[1:]))
    error = np.sqrt(_mean((draws - _mean(draws)) ** 2))
    return _Spread(point, error, 2 * (_mean(resampled) - point))


def _mean(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over resamples, those left out in which a type has no observation."""
    there = np.isfinite(draws)
    return ratio(np.where(there, draws, 0.0).sum(axis=0), there.sum(axis=0))


def ks_upper_bound(
    differences: NDArray[np.float64], pairs: NDArray[np.integer], confidence: float
) -> NDArray[np.float64]:
    """The one-sided upper confidence bound of sup |F - G|: the largest over places x of that of |F(x) - G(x)|.

    `differences` are F - G of the sample (row 0) and of its resamples, (1 + resamples, ..., bins), `pairs` (...) the
    numbers of base prompts behind them. At each place the bound is |F - G| + z se, with the resamples' standard error,
    so that pairing, ties and clusters are in it; or Wilson's bound for a share |F - G| of the pairs, where that is
    higher. The latter holds because a difference of size d has a variance of at least d (1 - d) / pairs, and matters
    where hardly a resample differs. At 95 % it is the end of a 90 % two-sided interval, as always in equivalence tests.
    NaN where there is no distance.
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

    `differences` and `pairs` as in `ks_upper_bound`, which is below the margin exactly when p is below 1 - confidence;
    se is at least that of a difference of size `margin`.
    """
    least = np.sqrt(margin * (1 - margin) / np.maximum(pairs, 1))[..., np.newaxis]
    score = (np.abs(differences[0]) - margin) / np.maximum(_standard_error(differences), least)
    largest: NDArray[np.float64] = ndtr(score.max(axis=-1))
    return largest


def mean_equivalence_p(
    mean: NDArray[np.float64], error: NDArray[np.float64], n_pairs: NDArray[np.integer], margin: float
) -> NDArray[np.float64]:
    """The p-value of |mean paired difference| >= `margin` steps: the larger of two one-sided paired t-tests.

    `error` is the standard error of `mean` over `n_pairs` base prompts. As `statsmodels.stats.weightstats.ttost_paired`
    with bounds -margin and margin. NaN with fewer than two pairs; 0 or 1 where all differences are equal.
    """
    excess = np.abs(mean) - margin
    score = np.where(np.isnan(excess), np.nan, np.copysign(np.inf, excess))
    np.divide(excess, error, out=score, where=error > 0)
    enough = n_pairs > 1
    return np.where(enough, student.cdf(score, np.where(enough, n_pairs - 1, 1)), np.nan)


def _standard_error(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard deviation of each place over the resamples in which it exists; 0 for fewer than two."""
    there = np.isfinite(differences[1:])
    count = there.sum(axis=0)
    draws = np.where(there, differences[1:], 0.0)
    centred = np.where(there, draws - np.nan_to_num(ratio(draws.sum(axis=0), count)), 0.0)
    return np.sqrt(np.nan_to_num(ratio((centred**2).sum(axis=0), count - 1)))
