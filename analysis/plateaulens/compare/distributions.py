"""How the distribution of one step statistic differs between activation types, with intervals."""

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.kolmogorov import distance_interval, distances, distribution_functions, ks_difference
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio

PER_TYPE = ("activation_type",)
INTERVAL = (*PER_TYPE, "bound")
PER_PAIR = ("activation_type", "other_type")

DIMS = {
    "n": PER_TYPE,
    "n_pairs": PER_TYPE,
    "mean": PER_TYPE,
    "mean_interval": INTERVAL,
    "sd": PER_TYPE,
    "sd_interval": INTERVAL,
    "censored_fraction": PER_TYPE,
    "censored_fraction_interval": INTERVAL,
    "mean_difference": PER_TYPE,
    "mean_difference_interval": INTERVAL,
    "ks": PER_TYPE,
    "ks_interval": INTERVAL,
    "ks_percentile_interval": INTERVAL,
    "ks_difference": PER_PAIR,
    "ks_difference_interval": (*PER_PAIR, "bound"),
}
"""What `compare_types` returns, and the dimensions of each."""


def compare_types(
    value: NDArray[np.float64],
    censored: NDArray[np.bool_],
    resampling: Resampling,
    *,
    reference: int,
    confidence: float,
) -> dict[str, NDArray[np.float64] | NDArray[np.int_]]:
    """Describe each activation type's values, compare them with the reference type's, and both with each other.

    `value` and `censored` are (activation_type, sample), `resampling` one of the same samples. An observation is either
    a value, or censored with no value (NaN), or undefined (NaN and not censored) and then left out of everything. A
    sentinel, that is a value that is marked as censored, counts as the value it is.

    - `n` values; `mean` and `sd` over them (population sd, divisor n, as in the authors' tables);
      `censored_fraction` of the observations that are not undefined.
    - `mean_difference`: the mean over the `n_pairs` base prompts that have a value for both the type and the
      reference, of the type's value minus the reference's. Positive: the type comes later.
    - `ks`: the Kolmogorov-Smirnov distance to the reference, censored observations at infinity.
    - `ks_difference[a, b]`: the distance of a to the reference minus that of b. Negative: a is the nearer one.

    Intervals are percentile intervals of the joint bootstrap, but for `ks_interval`: percentile intervals of a
    Kolmogorov-Smirnov distance cover too rarely (see `plateaulens.compare.kolmogorov`), so that one is
    `distance_interval`, and the percentile one is `ks_percentile_interval`. That of `ks_difference` is a percentile
    interval and errs towards no difference.

    A quantity that does not exist (a mean of no values) is NaN and so is its interval. Constant data, or one base
    prompt, give intervals of zero width. The work grows with the number of distinct values: meant for steps.
    """
    has_value = np.isfinite(value)
    observed = has_value | censored
    # Row 0 of everything below is the sample itself, the other rows its resamples.
    support, codes = _encode(value, observed)
    histograms = resampling.histograms(codes.T, len(support))
    finite = np.isfinite(support)
    mean, sd = _moments(histograms[..., finite], support[finite])
    censored_fraction = ratio(resampling.sums(censored.T), resampling.sums(observed.T))

    pairs = has_value & has_value[reference]
    change = np.where(pairs, value - value[reference], 0.0)
    mean_difference = ratio(resampling.sums(change.T), resampling.sums(pairs.T))

    functions = distribution_functions(histograms)
    differences = functions - functions[:, reference : reference + 1]
    ks = distances(differences)

    estimates = {
        "mean": mean,
        "sd": sd,
        "censored_fraction": censored_fraction,
        "mean_difference": mean_difference,
        "ks": ks,
        "ks_difference": ks_difference(ks),
    }
    points = {name: estimate[0] for name, estimate in estimates.items()}
    intervals = {f"{name}_interval": _interval(estimate, confidence) for name, estimate in estimates.items()}
    return {
        **points,
        **intervals,
        "n": has_value.sum(axis=1),
        "n_pairs": pairs.sum(axis=1),
        "ks_percentile_interval": intervals["ks_interval"],
        "ks_interval": distance_interval(differences, confidence),
    }


def _encode(value: NDArray[np.float64], observed: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """The distinct values in increasing order, infinity for a censored one, and each observation's place among them."""
    placed = np.where(np.isnan(value), np.inf, value)
    support = np.unique(placed)
    return support, np.where(observed, np.searchsorted(support, placed), -1)


def _moments(
    histograms: NDArray[np.float32], support: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and population sd of histograms (..., bins) over the values `support`; NaN for an empty histogram."""
    count = histograms.sum(axis=-1)
    mean = ratio(histograms @ support, count)
    variance = ratio((histograms * (support - mean[..., np.newaxis]) ** 2).sum(axis=-1), count)
    return mean, np.sqrt(variance)


def _interval(estimate: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """The percentile interval of the draws, NaN where the sample itself has no such quantity."""
    interval = percentile_interval(estimate[1:], confidence)
    return np.where(np.isnan(estimate[0])[..., np.newaxis], np.nan, interval)
