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
    FEWEST_IN_BAND,
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
    prediction_interval,
    quantile_shift,
    quantiles,
    step_widths,
    wasserstein,
    weighted_median,
)
from plateaulens.compare.intervals import (
    bca_interval,
    covering,
    degenerate,
    effective_number,
    exact_interval,
    mean_reach,
    order_interval,
    rare_reach,
    simultaneous_interval,
    studentised_interval,
    widened,
)
from plateaulens.compare.permutation import Swaps, ks_swap_test, mean_swap_p, pooled_p
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.config import AnalysisConfig

DECILES = np.arange(1, 10) / 10
"""The probabilities of `quantile_shift`."""
INTERVAL_METHODS = ("percentile", "bca", "studentised")
"""The methods of `NAME_interval_by_method`, in order."""
SIMULTANEOUS = ("mean_difference", "paired_delta")
"""What has an interval besides that holds for all types together."""
_DELTAS = ("cliffs_delta", "paired_delta")
BY_METHOD = ("mean", "mean_difference")
"""What has an interval by every method, so that the calibration can compare them; that stored is the last, widened."""
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
    margin: float,
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
    margin
        The KS distance of equivalence, the experiment's own.
    settings
        The confidence of intervals, the mean difference of equivalence, and the number of random divisions of
        `pooled_p`.
    rng
        Random numbers of pooled p-values of very large samples, which alone use it.

    Returns
    -------
    Comparison
        The variables of `plateaulens.summary.comparison.VARIABLES`, which says what each is and which dimensions it
        has; and, for the calibration alone, `NAME_interval_by_method` (activation_type, method of `INTERVAL_METHODS`,
        2) for each NAME of `BY_METHOD`. Positive differences mean that the type comes later than the reference. A
        quantity that does not exist (a mean of no values) is NaN and so is its interval, and the interval of `ks` with
        fewer than `plateaulens.compare.distances.FEWEST_IN_BAND` base prompts; where base prompts are too
        few, or their values all equal, no interval can be relied on, and it is marked as `degenerate`. p-values are
        NaN where there is no test, as of the reference with itself.
    """
    observations = Observations(value, censored, reference)
    weighted = observations.weigh(resampling)
    result: Comparison = {"n": observations.has_value.sum(axis=1), "n_pairs": observations.pairs.sum(axis=1)}
    reaches = weighted.reaches(settings.confidence, resampling.worth)
    result |= _smooth_quantities(weighted, reaches, resampling, settings)
    result |= _distances(weighted, reaches, last_step, margin, settings.confidence)
    result |= _orders(weighted, settings.confidence)
    result["prediction"] = prediction_interval(weighted.histograms[0], observations.support, settings.confidence)
    result["ks_p"], result["ks_null"], result["ks_null_upper"] = ks_swap_test(
        observations.codes, len(observations.support), swaps, reference=reference, confidence=settings.confidence
    )
    result["ks_excess"] = np.asarray(result["ks"] - result["ks_null"])
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
            Each (rows, activation_type). `mean_error` and `mean_difference_error` are standard errors, NaN for fewer
            than two values.
        """
        own = _moments(self.histograms, self.observations.support)
        change = _moments(self.differences, self.observations.difference_support)
        reference = self.functions[:, self.observations.reference, np.newaxis]
        return {
            "mean": own.mean,
            "mean_error": np.sqrt(ratio(own.variance, np.maximum(own.number - 1, 0))),
            "sd": np.sqrt(own.variance),
            "mean_difference": change.mean,
            "mean_difference_error": np.sqrt(ratio(change.variance, np.maximum(change.number - 1, 0))),
            "cliffs_delta": cliffs_delta(self.functions, reference),
            "paired_delta": paired_delta(self.ordered_differences, self.observations.difference_support),
        }

    def reaches(self, confidence: float, worth: float) -> "Reaches":
        """How far intervals have to reach because of what the sample shows too rarely for a bootstrap.

        Parameters
        ----------
        confidence
            The nominal coverage of the intervals.
        worth
            How many independent units there are for each base prompt, as `Weights.worth` has it.

        Returns
        -------
        Reaches
            0 where the bootstrap has seen enough.
        """
        counts, support = self.ordered_differences[0].astype(np.float64), self.observations.difference_support
        finite = self.differences[0][..., np.isfinite(support)].astype(np.float64)

        def reach(rare: NDArray[np.float64], pairs: NDArray[np.float64]) -> NDArray[np.float64]:
            found = rare_reach(worth * rare, worth * pairs, confidence)
            found[self.observations.reference] = 0.0  # it does not differ from itself, and that is known
            return found

        signs = np.stack([counts[..., where].sum(axis=-1) for where in (support < 0, support == 0, support > 0)])
        pairs, changed = signs.sum(axis=0), signs.sum(axis=0) - signs[1]
        commonest = signs.argmax(axis=0)
        delta = cliffs_delta(self.functions[0], self.functions[0, self.observations.reference])
        overlapping = np.nan_to_num((1 - np.abs(delta)) / 2) * pairs
        return Reaches(
            changed=reach(changed, pairs),
            paired_delta=np.where(commonest == 1, 1, 2) * reach(pairs - signs.max(axis=0), pairs),
            cliffs_delta=np.maximum(reach(changed, pairs), 2 * reach(overlapping, pairs)),
            uncommon=reach(finite.sum(axis=-1) - finite.max(axis=-1, initial=0.0), finite.sum(axis=-1)),
            steps=self._range(),
            worth=worth * pairs,
        )

    def _range(self) -> NDArray[np.float64]:
        """Between the first and the last step of a type and the reference together, (activation_type,)."""
        there = (self.histograms[0] > 0) & np.isfinite(self.observations.support)
        there |= there[self.observations.reference]
        support = np.broadcast_to(self.observations.support, there.shape)
        last, first = (
            end(support, axis=-1, where=there, initial=beyond) for end, beyond in ((np.max, -np.inf), (np.min, np.inf))
        )
        return np.where(there.any(axis=-1), last - first, 0.0)


class Reaches(NamedTuple):
    """What `Weighted.reaches` finds of each type, (activation_type,); shares but for the last two.

    A pair that the sample lacks is taken to change by no more than the range of the steps that it has.
    """

    changed: NDArray[np.float64]
    """Where few pairs differ."""
    paired_delta: NDArray[np.float64]
    """Where few pairs have another order than most; 2 for each pair where most are ordered and not tied."""
    cliffs_delta: NDArray[np.float64]
    """Where few pairs differ, or hardly a step of one type lies among those of the other."""
    uncommon: NDArray[np.float64]
    """Where few differences are not the commonest one."""
    steps: NDArray[np.float64]
    """The range of the steps, in steps."""
    worth: NDArray[np.float64]
    """How many independent units the pairs are worth."""


def _smooth_quantities(
    weighted: Weighted, reaches: Reaches, resampling: Resampling, settings: AnalysisConfig
) -> Comparison:
    """Means, spreads, shares and the deltas: what is a smooth function of the data."""
    confidence, observations = settings.confidence, weighted.observations
    estimates = weighted.smooth()
    jackknife = observations.weigh(resampling.jackknife).smooth()
    errors = {name: estimates.pop(f"{name}_error") for name in BY_METHOD}
    result: Comparison = {name: estimate[0] for name, estimate in estimates.items()}
    bca = {name: bca_interval(estimates[name], jackknife[name], confidence) for name in (*BY_METHOD, *_DELTAS)}
    for name in BY_METHOD:
        methods = {
            "percentile": _percentile(estimates[name], confidence),
            "bca": bca[name],
            "studentised": studentised_interval(estimates[name], errors[name], confidence, fallback=bca[name]),
        }
        result[f"{name}_interval"] = methods["studentised"]
        result[f"{name}_interval_by_method"] = np.stack([methods[method] for method in INTERVAL_METHODS], axis=-2)
    farther = reaches.uncommon * reaches.steps
    n, n_pairs = observations.has_value.sum(axis=1), observations.pairs.sum(axis=1)
    for name, number, least in (("mean", n, 0.0), ("mean_difference", n_pairs, farther)):
        reach = np.fmax(mean_reach(estimates[name], errors[name], number, resampling, confidence), least)
        result[f"{name}_interval"] = widened(result[name], result[f"{name}_interval"], reach)
    for name, reach in zip(_DELTAS, (reaches.cliffs_delta, reaches.paired_delta), strict=True):
        result[f"{name}_interval"] = np.clip(widened(result[name], bca[name], reach), -1.0, 1.0)
    for name in SIMULTANEOUS:
        others = np.delete(np.arange(len(observations.codes)), observations.reference)
        together = np.full((len(observations.codes), 2), np.nan)
        joint = simultaneous_interval(estimates[name][:, others], confidence)
        together[others] = covering(joint, result[f"{name}_interval"][others])
        if name in _DELTAS:
            together = np.clip(together, -1.0, 1.0)
        result[f"{name}_simultaneous"] = together
    result |= _censored_fractions(observations, resampling, confidence)
    result["degenerate"] = degenerate(n, estimates["sd"][0])
    result["difference_degenerate"] = degenerate(n_pairs, np.fmax(errors["mean_difference"][0], farther))
    result["mean_equivalence_p"] = mean_equivalence_p(
        estimates["mean_difference"][0], errors["mean_difference"][0], n_pairs, settings.equivalence_steps
    )
    return result


def _censored_fractions(observations: Observations, resampling: Resampling, confidence: float) -> Comparison:
    """The shares of censored curves; where base prompts come in groups, these count for as many as they are worth."""
    count, total = (observed.sum(axis=1) for observed in (observations.censored, observations.observed))
    share = ratio(count.astype(np.float64), total.astype(np.float64))
    number = total.astype(np.float64)
    if resampling.is_grouped:
        draws = ratio(resampling.sums(observations.censored.T), resampling.sums(observations.observed.T))[1:]
        number = effective_number(np.nan_to_num(share), draws, total, resampling.units)
    interval = exact_interval(np.nan_to_num(share) * number, number, confidence)
    return {"censored_fraction": share, "censored_fraction_interval": interval}


class _Moments(NamedTuple):
    """Number, mean and variance of the finite values of histograms (...)."""

    number: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def _moments(histograms: NDArray[np.float32], support: NDArray[np.float64]) -> _Moments:
    """Moments of histograms (..., bins) over `support`; NaN where nothing is finite."""
    finite = np.isfinite(support)
    histograms, support = histograms[..., finite].astype(np.float64), support[finite]
    count = histograms.sum(axis=-1)
    mean = ratio(histograms @ support, count)
    squares = histograms * (support - mean[..., np.newaxis]) ** 2
    return _Moments(count, mean, ratio(squares.sum(axis=-1), count))


def _distances(weighted: Weighted, reaches: Reaches, last_step: float, margin: float, confidence: float) -> Comparison:
    """Distances to the reference, and their differences between types."""
    observations = weighted.observations
    reference = observations.reference
    differences = weighted.functions - weighted.functions[:, reference, np.newaxis]
    widths = step_widths(observations.support, last_step)
    both = (observations.observed & observations.observed[reference]).sum(axis=1)
    ks = distances(differences)
    band = np.clip(widened(ks[0], distance_interval(differences, confidence), reaches.changed), 0.0, 1.0)
    upper_bound = ks_upper_bound(differences, both, confidence)
    upper_bound[reference] = ks[0, reference]
    area = wasserstein(differences[0], widths)
    area_interval = distance_interval(differences, confidence, norm=lambda difference: wasserstein(difference, widths))
    between = ks_difference(ks[0])
    between_interval = ks_difference_interval(differences, both, confidence)
    # as above, where that touches no claim of an order
    settled = (between_interval > 0).all(axis=-1) | (between_interval < 0).all(axis=-1)
    either = np.where(settled, 0.0, np.maximum(reaches.changed[:, np.newaxis], reaches.changed))
    np.fill_diagonal(either, 0.0)
    untested = np.isnan(between) | np.eye(len(between), dtype=np.bool_)
    untested[reference] = untested[:, reference] = True
    return {
        "ks": ks[0],
        "ks_interval": np.where((reaches.worth < FEWEST_IN_BAND)[:, np.newaxis], np.nan, band),
        "ks_percentile_interval": _percentile(ks, confidence),
        "ks_upper_bound": upper_bound,
        "ks_equivalence_p": ks_equivalence_p(differences, both, margin),
        "ks_difference": between,
        "ks_difference_interval": np.clip(widened(between, between_interval, either), -1.0, 1.0),
        "ks_difference_p": np.where(untested, np.nan, ks_difference_p(differences, both)),
        "wasserstein": area,
        "wasserstein_interval": np.maximum(widened(area, area_interval, reaches.changed * reaches.steps), 0.0),
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
