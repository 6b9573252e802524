"""How the distribution of one step statistic differs between activation types, with intervals and tests."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.effects import quantile_shift, quantiles, step_widths, wasserstein, weighted_median
from plateaulens.compare.equivalence import ks_equivalence_p, ks_upper_bound, mean_equivalence_p
from plateaulens.compare.intervals import (
    bca_interval,
    degenerate,
    order_interval,
    studentised_interval,
    studentised_log_interval,
    wilson_interval,
)
from plateaulens.compare.kolmogorov import bootstrap_bias, distance_interval, distances, ks_difference
from plateaulens.compare.ks_differences import ks_difference_interval, ks_difference_p
from plateaulens.compare.observations import Observations, Weighted
from plateaulens.compare.permutation import Swaps, ks_swap_test, mean_swap_p, pooled_p
from plateaulens.compare.resampling import Resampling, percentile_interval
from plateaulens.compare.variables import INTERVAL_METHODS
from plateaulens.config import AnalysisConfig

DECILES = np.arange(1, 10) / 10

Comparison = dict[str, NDArray[Any]]


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

    `value` and `censored` are (activation_type, sample), `resampling` and `swaps` of the same samples, `last_step` is
    the end of the stored window. An observation is either a value, or censored with no value (NaN), or undefined (NaN
    and not censored) and then left out of everything. A sentinel, that is a value that is marked as censored, counts as
    the value it is. `rng` is used for pooled p-values of very large samples alone.

    The result has the variables of `plateaulens.compare.variables.VARIABLES`, which says what each is and which
    dimensions it has. Positive differences mean that the type comes later than the reference. A quantity that does not
    exist (a mean of no values) is NaN and so is its interval; constant data, or one base prompt, give intervals of zero
    width and are marked as `degenerate`. p-values are NaN where there is no test, as of the reference with itself.

    The work grows with the number of distinct values: meant for steps.
    """
    observations = Observations(value, censored, reference)
    weighted = observations.weigh(resampling)
    result: Comparison = {"n": observations.has_value.sum(axis=1), "n_pairs": observations.pairs.sum(axis=1)}
    result |= _moments(weighted, resampling, settings)
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


def _moments(weighted: Weighted, resampling: Resampling, settings: AnalysisConfig) -> Comparison:
    """Means, spreads, shares and the deltas: what is a smooth function of the data."""
    confidence, observations = settings.confidence, weighted.observations
    estimates = weighted.smooth()
    jackknife = observations.weigh(resampling.jackknife).smooth()
    errors = {name: estimates.pop(f"{name}_error") for name in ("mean", "mean_difference", "sd")}
    result: Comparison = {name: estimate[0] for name, estimate in estimates.items()}
    for name, estimate in estimates.items():
        result[f"{name}_interval"] = bca_interval(estimate, jackknife[name], confidence)
    for name in ("mean", "mean_difference"):
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


def _distances(weighted: Weighted, last_step: float, settings: AnalysisConfig) -> Comparison:
    """Distances to the reference, and their differences between types."""
    confidence, observations = settings.confidence, weighted.observations
    reference = observations.reference
    differences = weighted.functions - weighted.functions[:, reference, np.newaxis]
    widths = step_widths(observations.support, last_step)
    both = (observations.observed & observations.observed[reference]).sum(axis=1)
    ks = distances(differences)
    between = ks_difference(ks[0])
    untested = np.isnan(between) | np.eye(len(between), dtype=np.bool_)
    untested[reference] = untested[:, reference] = True
    upper_bound = ks_upper_bound(differences, both, confidence)
    upper_bound[reference] = ks[0, reference]
    return {
        "ks": ks[0],
        "ks_interval": np.minimum(distance_interval(differences, confidence), 1.0),
        "ks_percentile_interval": _percentile(ks, confidence),
        "ks_bias": bootstrap_bias(ks),
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
