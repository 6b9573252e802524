"""Which of two types lies nearer to the reference: intervals and p-values for a difference of two distances.

The difference is D_a - D_b, with D_a = sup |F_a - G| and both distances to the same reference. Neither percentiles of
its bootstrap draws nor their reflection, BC or BCa serve: a resampled distance is biased upwards, more so near 0, where
a distance is all noise, than far from it. They miss the truth most where one type is like the reference and the other
is not, which is the question that matters most. What this module's intervals cover, `plateaulens calibrate` measures.

What is estimated well is the difference of the two distribution functions at a given place. With x_a the place where
the sample's distance of a is attained and s_a its sign, D_a is s_a (F_a - G)(x_a) to first order, and the variance of
the difference over the resamples is that of s_a (F*_a - G*)(x_a) - s_b (F*_b - G*)(x_b): paired, with its ties and
clusters, and without the noise of the maximum. That gives the interval D_a - D_b +- z se. It is extended, on the side
where it lies, by twice the bootstrap's bias of the difference (mean of D*_a - D*_b minus the point): near 0 the
bootstrap sees about half of the bias, since the sample has the other half in it already.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from plateaulens.compare.kolmogorov import distances, ks_difference
from plateaulens.compare.resampling import ratio


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
