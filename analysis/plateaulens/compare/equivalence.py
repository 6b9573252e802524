"""Whether a type is as good as real: equivalence with a stated margin, which a large p-value cannot show.

Two real sets differ by sampling alone, so no type can be shown to be equal to `real`; it can be shown to lie within a
margin. The hypothesis to reject is that it lies outside.

For the Kolmogorov-Smirnov distance the margin d says: at no step do the shares of curves whose event has happened
differ by d or more. "sup |F - G| >= d" is the union over places x of "|F(x) - G(x)| >= d", so rejecting at every single
x, each at level alpha, rejects the union at level alpha with no correction (intersection-union test; Berger 1982,
Technometrics 24:295). The upper confidence bound that goes with it is the largest pointwise bound, and the type is
within the margin when that is. This is the two one-sided tests procedure (Schuirmann 1987), place by place.

For the mean paired difference it is that procedure itself.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from plateaulens.compare.resampling import ratio


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
