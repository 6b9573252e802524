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
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    intervals of the difference see `plateaulens.compare.ks_differences`.

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
