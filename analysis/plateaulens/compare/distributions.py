"""How the distribution of one step statistic differs between activation types, with intervals and tests.

`compare_types` counts once how often each distinct step, and each distinct difference to the reference's step, occurs
in the sample and in every resample: the histograms (`Weighted`) of what was observed (`Observations`), which all
estimates stand on. `plateaulens.compare.effects`, `distances` and `permutation` say what the estimates and tests are,
`plateaulens.compare.intervals` which interval each has, and why.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.distances import (
    distance_interval,
    distances,
    distribution_functions,
    ks_difference,
    ks_difference_interval,
    ks_difference_p,
    ks_equivalence_p,
    ks_upper_bound,
    mean_equivalence_p,
)
from plateaulens.compare.effects import (
    cliffs_delta,
    paired_delta,
    quantile_shift,
    quantiles,
    step_widths,
    wasserstein,
    weighted_median,
)
from plateaulens.compare.intervals import (
    bca_interval,
    degenerate,
    order_interval,
    studentised_interval,
    studentised_log_interval,
    wilson_interval,
)
from plateaulens.compare.permutation import Swaps, ks_swap_test, mean_swap_p, pooled_p
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.config import AnalysisConfig

DECILES = np.arange(1, 10) / 10
"""The probabilities of `quantile_shift`."""
INTERVAL_METHODS = ("percentile", "bca", "studentised")
"""The methods of `NAME_interval_by_method`, in order."""
BY_METHOD = ("mean", "mean_difference")
"""What has an interval by every method, so that the calibration can compare them; the stored one is studentised."""
Comparison = dict[str, NDArray[Any]]
"""Arrays by the name of what they hold."""


def compare_types(
    value: NDArray[np.float64],
    censored: NDArray[np.bool_],
    resampling: Resampling,
    swaps: Swaps,
    *,
    reference: int,
    last_step: float,
    settings: AnalysisConfig,
    rng: np.random.Generator,
) -> Comparison:
    """Describe each activation type's values, compare them with the reference type's, and both with each other.

    An observation is either a value, or censored with no value (NaN), or undefined (NaN and not censored) and then left
    out of everything. A sentinel, that is a value that is marked as censored, counts as the value it is.

    The work grows with the number of distinct values: meant for steps.

    Parameters
    ----------
    value
        Steps, (activation_type, sample); NaN where there is none.
    censored
        Whether the event lies beyond the window, (activation_type, sample).
    resampling, swaps
        Resamples of these base prompts, and swaps within them.
    reference
        The number of the type that the others are compared with.
    last_step
        The end of the stored window.
    settings
        The confidence of intervals, the margins of equivalence, and the number of random divisions of `pooled_p`.
    rng
        Random numbers of pooled p-values of very large samples, which alone use it.

    Returns
    -------
    Comparison
        The variables of `plateaulens.summary.comparison.VARIABLES`, which says what each is and which dimensions it
        has; and, for the calibration alone, `NAME_interval_by_method` (activation_type, method of `INTERVAL_METHODS`,
        2) for each NAME of `BY_METHOD`. Positive differences mean that the type comes later than the reference. A
        quantity that does not exist (a mean of no values) is NaN and so is its interval; constant data, or one base
        prompt, give intervals of zero width and are marked as `degenerate`. p-values are NaN where there is no test, as
        of the reference with itself.
    """
    observations = Observations(value, censored, reference)
    weighted = observations.weigh(resampling)
    result: Comparison = {"n": observations.has_value.sum(axis=1), "n_pairs": observations.pairs.sum(axis=1)}
    result |= _smooth_quantities(weighted, resampling, settings)
    result |= _distances(weighted, last_step, settings)
    result |= _orders(weighted, settings.confidence)
    result["ks_p"], result["ks_null"] = ks_swap_test(
        observations.codes, len(observations.support), swaps, reference=reference
    )
    result["ks_p_pooled"] = _pooled(observations, rng, settings.resamples)
    result["mean_difference_p"] = np.where(result["n_pairs"] > 0, mean_swap_p(observations.change, swaps), np.nan)
    for name in ("ks_p_pooled", "mean_difference_p", "ks_equivalence_p", "mean_equivalence_p"):
        result[name][reference] = np.nan
    return result


class Observations:
    """The steps of all types, as places among the distinct values, and those of their differences to the reference.

    An observation is a value, or censored with no value (NaN), or undefined (NaN and not censored). A value that is
    marked as censored, a sentinel, counts as the value it is.

    Parameters
    ----------
    value
        Steps, (activation_type, sample); NaN where there is none.
    censored
        Whether the event lies beyond the window, (activation_type, sample).
    reference
        The number of the type that the others are compared with.
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
        """Count everything as often as it occurs in each row of weights.

        Parameters
        ----------
        resampling
            Rows of the same samples: resamples, or those of its `jackknife`.

        Returns
        -------
        Weighted
            The histograms of all rows.
        """
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
        """Distribution functions, (rows, activation_type, place in `support`)."""
        return distribution_functions(self.histograms)

    @property
    def ordered_differences(self) -> NDArray[np.float32]:
        """`differences` with pairs that are both censored among those of difference 0."""
        ordered = self.differences.copy()
        zero = np.searchsorted(self.observations.difference_support, 0.0)
        ordered[..., zero] += self.ties_beyond[..., 0]
        return ordered

    def smooth(self) -> dict[str, NDArray[np.float64]]:
        """The estimates that a jackknife understands; see `compare_types` for what they are.

        Returns
        -------
        dict[str, NDArray[np.float64]]
            Each (rows, activation_type). `mean_error`, `mean_difference_error` and `sd_error` are standard errors, NaN
            for fewer than two values; that of the sd is the root of (fourth central moment - variance^2) / (4 variance
            n).
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


def _smooth_quantities(weighted: Weighted, resampling: Resampling, settings: AnalysisConfig) -> Comparison:
    """Means, spreads, shares and the deltas: what is a smooth function of the data."""
    confidence, observations = settings.confidence, weighted.observations
    estimates = weighted.smooth()
    jackknife = observations.weigh(resampling.jackknife).smooth()
    errors = {name: estimates.pop(f"{name}_error") for name in ("mean", "mean_difference", "sd")}
    result: Comparison = {name: estimate[0] for name, estimate in estimates.items()}
    for name, estimate in estimates.items():
        result[f"{name}_interval"] = bca_interval(estimate, jackknife[name], confidence)
    for name in BY_METHOD:
        bca = result[f"{name}_interval"]
        methods = {
            "percentile": _percentile(estimates[name], confidence),
            "bca": bca,
            "studentised": studentised_interval(estimates[name], errors[name], confidence, fallback=bca),
        }
        result[f"{name}_interval"] = methods["studentised"]
        result[f"{name}_interval_by_method"] = np.stack([methods[method] for method in INTERVAL_METHODS], axis=-2)
    result["sd_interval"] = studentised_log_interval(
        estimates["sd"], errors["sd"], confidence, fallback=result["sd_interval"]
    )
    count, total = (observed.sum(axis=1) for observed in (observations.censored, observations.observed))
    there = total > 0
    result["censored_fraction"] = np.where(there, count / np.where(there, total, 1), np.nan)
    result["censored_fraction_interval"] = wilson_interval(count, total, confidence)
    n, n_pairs = observations.has_value.sum(axis=1), observations.pairs.sum(axis=1)
    result["degenerate"] = degenerate(n, estimates["sd"][0])
    result["difference_degenerate"] = degenerate(n_pairs, errors["mean_difference"][0])
    result["mean_equivalence_p"] = mean_equivalence_p(
        estimates["mean_difference"][0], errors["mean_difference"][0], n_pairs, settings.equivalence_steps
    )
    return result


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


def _distances(weighted: Weighted, last_step: float, settings: AnalysisConfig) -> Comparison:
    """Distances to the reference, and their differences between types."""
    confidence, observations = settings.confidence, weighted.observations
    reference = observations.reference
    differences = weighted.functions - weighted.functions[:, reference, np.newaxis]
    widths = step_widths(observations.support, last_step)
    both = (observations.observed & observations.observed[reference]).sum(axis=1)
    ks = distances(differences)
    upper_bound = ks_upper_bound(differences, both, confidence)
    upper_bound[reference] = ks[0, reference]
    between = ks_difference(ks[0])
    untested = np.isnan(between) | np.eye(len(between), dtype=np.bool_)
    untested[reference] = untested[:, reference] = True
    return {
        "ks": ks[0],
        "ks_interval": np.minimum(distance_interval(differences, confidence), 1.0),
        "ks_percentile_interval": _percentile(ks, confidence),
        "ks_upper_bound": upper_bound,
        "ks_equivalence_p": ks_equivalence_p(differences, both, settings.equivalence_margin),
        "ks_difference": between,
        "ks_difference_interval": ks_difference_interval(differences, confidence),
        "ks_difference_p": np.where(untested, np.nan, ks_difference_p(differences)),
        "wasserstein": wasserstein(differences[0], widths),
        "wasserstein_interval": distance_interval(
            differences, confidence, norm=lambda difference: wasserstein(difference, widths)
        ),
    }


def _orders(weighted: Weighted, confidence: float) -> Comparison:
    """Medians and quantiles, whose intervals end at draws."""
    observations = weighted.observations
    own = quantiles(weighted.functions, observations.support, DECILES)
    estimates = {
        "median_difference": weighted_median(weighted.ordered_differences, observations.difference_support),
        "quantile_shift": quantile_shift(own, own[:, observations.reference, np.newaxis]),
    }
    points = {name: estimate[0] for name, estimate in estimates.items()}
    return points | {f"{name}_interval": order_interval(estimate, confidence) for name, estimate in estimates.items()}


def _pooled(observations: Observations, rng: np.random.Generator, permutations: int) -> NDArray[np.float64]:
    """`pooled_p` of each type and the reference."""
    bins = len(observations.support)
    histograms = [np.bincount(codes[codes >= 0], minlength=bins) for codes in observations.codes]
    reference = histograms[observations.reference]
    return np.array([pooled_p(own, reference, rng=rng, permutations=permutations) for own in histograms])


def _percentile(estimate: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """The percentile interval of the draws, NaN where the sample itself has no such quantity."""
    interval = percentile_interval(estimate[1:], confidence)
    return np.where(np.isnan(estimate[0])[..., np.newaxis], np.nan, interval)
