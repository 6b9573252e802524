"""What was observed for each activation type, and how often after resampling: the histograms all estimates stand on."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.effects import cliffs_delta, paired_delta
from plateaulens.compare.kolmogorov import distribution_functions
from plateaulens.compare.resampling import Resampling, ratio


class Observations:
    """The steps of all types, as places among the distinct values, and those of their differences to the reference.

    `value` and `censored` are (activation_type, sample). An observation is a value, or censored with no value (NaN),
    or undefined (NaN and not censored). A value that is marked as censored, a sentinel, counts as the value it is.
    """

    def __init__(self, value: NDArray[np.float64], censored: NDArray[np.bool_], reference: int) -> None:
        self.reference = reference
        self.has_value = np.isfinite(value)
        self.observed = self.has_value | censored
        self.censored = censored
        placed = np.where(np.isnan(value), np.inf, value)
        self.support = np.unique(placed)
        """The distinct values in increasing order, infinity last for what is censored."""
        self.codes = np.where(self.observed, np.searchsorted(self.support, placed), -1)
        """(activation_type, sample): each observation's place in `support`, -1 for undefined ones."""
        self.pairs = self.has_value & self.has_value[reference]
        self.change = np.where(self.pairs, value - value[reference], 0.0)
        """(activation_type, sample): value minus the reference's where both have one, else 0."""
        both = self.observed & self.observed[reference]
        tied = np.isinf(placed) & np.isinf(placed[reference])
        difference = np.where(tied, 0.0, placed - np.where(tied, 0.0, placed[reference]))
        self.difference_support = np.unique(np.append(difference[both], 0.0))
        """The distinct paired differences; infinite where one of the two is censored, 0 where both are."""
        places = np.where(tied, len(self.difference_support), np.searchsorted(self.difference_support, difference))
        self.difference_codes = np.where(both, places, -1)
        """(activation_type, sample): each difference's place in `difference_support`, behind its end for ties beyond
        the window: they are differences of 0, but not of two values."""

    def weigh(self, resampling: Resampling) -> "Weighted":
        """Count everything as often as it occurs in each row of `resampling`."""
        places = len(self.difference_support)
        differences = resampling.histograms(self.difference_codes.T, places + 1)
        return Weighted(
            self,
            histograms=resampling.histograms(self.codes.T, len(self.support)),
            differences=differences[..., :places],
            ties_beyond=differences[..., places:],
        )


@dataclass(frozen=True)
class Weighted:
    """Histograms of `observations` in the sample (row 0) and in each resample (the other rows)."""

    observations: Observations
    histograms: NDArray[np.float32]
    """(rows, activation_type, place in `support`)"""
    differences: NDArray[np.float32]
    """(rows, activation_type, place in `difference_support`)"""
    ties_beyond: NDArray[np.float32]
    """(rows, activation_type, 1): pairs that are both censored."""

    @cached_property
    def functions(self) -> NDArray[np.float64]:
        """Distribution functions, as `histograms`."""
        return distribution_functions(self.histograms)

    @property
    def ordered_differences(self) -> NDArray[np.float32]:
        """`differences` with pairs that are both censored among those of difference 0."""
        ordered = self.differences.copy()
        zero = np.searchsorted(self.observations.difference_support, 0.0)
        ordered[..., zero] += self.ties_beyond[..., 0]
        return ordered

    def smooth(self) -> dict[str, NDArray[np.float64]]:
        """The estimates that a jackknife understands, (rows, activation_type); see `compare_types` for what they are.

        `mean_error`, `mean_difference_error` and `sd_error` are standard errors, NaN for fewer than two values; that of
        the sd is the root of (fourth central moment - variance^2) / (4 variance n).
        """
        own = _moments(self.histograms, self.observations.support)
        change = _moments(self.differences, self.observations.difference_support)
        reference = self.functions[:, self.observations.reference, np.newaxis]
        return {
            "mean": own.mean,
            "mean_error": np.sqrt(ratio(own.variance, np.maximum(own.number - 1, 0))),
            "sd": np.sqrt(own.variance),
            "sd_error": np.sqrt(ratio(np.maximum(own.fourth - own.variance**2, 0.0), 4 * own.variance * own.number)),
            "mean_difference": change.mean,
            "mean_difference_error": np.sqrt(ratio(change.variance, np.maximum(change.number - 1, 0))),
            "cliffs_delta": cliffs_delta(self.functions, reference),
            "paired_delta": paired_delta(self.ordered_differences, self.observations.difference_support),
        }


class _Moments(NamedTuple):
    """Number, mean, and second and fourth central moment of the finite values of histograms (...)."""

    number: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    fourth: NDArray[np.float64]


def _moments(histograms: NDArray[np.float32], support: NDArray[np.float64]) -> _Moments:
    """Moments of histograms (..., bins) over `support`; NaN where nothing is finite."""
    finite = np.isfinite(support)
    histograms, support = histograms[..., finite].astype(np.float64), support[finite]
    count = histograms.sum(axis=-1)
    mean = ratio(histograms @ support, count)
    deviations = (support - mean[..., np.newaxis]) ** 2
    weighted = histograms * deviations
    return _Moments(
        count, mean, ratio(weighted.sum(axis=-1), count), ratio((weighted * deviations).sum(axis=-1), count)
    )
