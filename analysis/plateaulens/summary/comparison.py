"""The comparison of the activation types of one experiment, as its group of the summary holds it.

`compare_dataset` puts names on the axes of `plateaulens.compare.distributions.compare_types`, for every convention,
statistic and metric: `VARIABLES` says what each variable is, which dimensions it has and in which units. To these
`adjusted_p_values` adds p-values that allow for how many tests there are, and `verdicts` the words that rest on them.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.distances import has_events
from plateaulens.compare.distributions import DECILES, compare_types
from plateaulens.compare.intervals import AT_LEAST_STUDENTS, RELIABLE
from plateaulens.compare.multiplicity import Method, adjust_families, both_ways, once_per_pair
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.compare.survival import restricted
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.names import CONTROL, REFERENCE, statistic
from plateaulens.summary.attributes import Attributes, attrs, bounds, interval_attrs, texts
from plateaulens.summary.verdicts import agreed, conclusion, direction, equivalence, order, timing, word_array

_LEADING = ("convention", "statistic", "metric")

LAST_STEP_LARGE = 0.05
"""The share of curves with their step at the window's last one from which on a page says so: one in twenty, where steps
spread evenly over a hundred would give one in a hundred."""

PER_TYPE = ("activation_type",)
PER_PAIR = ("activation_type", "other_type")
PER_QUANTILE = ("activation_type", "quantile")


class Described(NamedTuple):
    """A variable of `compare_types` in words."""

    dims: tuple[str, ...]
    """Those that it has behind (convention, statistic, metric)."""
    long_name: str
    units: str
    method: str | None = None
    """How its interval is made, or the interval that it is."""


ESTIMATES = {
    "n": Described(PER_TYPE, "base prompts with a value", "1"),
    "n_pairs": Described(PER_TYPE, "base prompts with a value for the type and for real", "1"),
    "mean": Described(PER_TYPE, "mean step", "step", AT_LEAST_STUDENTS),
    "sd": Described(PER_TYPE, "standard deviation of the step", "step"),
    "censored_fraction": Described(PER_TYPE, "share of curves whose event lies beyond the window", "1", "exact"),
    "mean_difference": Described(PER_TYPE, "mean paired difference to real", "step", AT_LEAST_STUDENTS),
    "median_difference": Described(PER_TYPE, "median paired difference to real", "step", "percentile, whole draws"),
    "quantile_shift": Described(PER_QUANTILE, "quantile minus that of real", "step", "percentile, whole draws"),
    "cliffs_delta": Described(PER_TYPE, "Cliff's delta to real, P(later) - P(earlier)", "1", "bca"),
    "paired_delta": Described(PER_TYPE, "P(later) - P(earlier) than real within a base prompt", "1", "bca"),
    "wasserstein": Described(PER_TYPE, "Wasserstein distance to real within the window", "step", "uniform band"),
    "ks": Described(PER_TYPE, "Kolmogorov-Smirnov distance to real", "1", "uniform band"),
    "ks_percentile": Described(PER_TYPE, "Kolmogorov-Smirnov distance to real, percentile method", "1", "percentile"),
    "ks_difference": Described(
        PER_PAIR, "difference of two types' Kolmogorov-Smirnov distances to real", "1", "hull over the limits"
    ),
}
"""Estimates; where a method is named, with an interval `NAME_interval`. `ks_percentile` is an interval of `ks`."""

OTHERS = {
    "degenerate": Described(PER_TYPE, "whether the type's values are too few or too equal for an interval", "1"),
    "difference_degenerate": Described(
        PER_TYPE, "whether the paired differences are too few or too equal for an interval", "1"
    ),
    "ks_null": Described(PER_TYPE, "mean Kolmogorov-Smirnov distance if type and real were exchangeable", "1"),
    "ks_null_upper": Described(
        PER_TYPE, "distance that exchangeable type and real exceed no more often than 1 - confidence", "1"
    ),
    "ks_excess": Described(
        PER_TYPE, "Kolmogorov-Smirnov distance to real minus its mean if type and real were exchangeable", "1"
    ),
    "ks_upper_bound": Described(PER_TYPE, "one-sided upper bound of the Kolmogorov-Smirnov distance to real", "1"),
    "ks_p_pooled": Described(PER_TYPE, "p-value of equal distributions, as independent samples", "1"),
}
"""What has no interval."""

P_VALUES = {
    "ks_p": Described(PER_TYPE, "p-value of equal distributions, paired", "1"),
    "mean_difference_p": Described(PER_TYPE, "p-value of no mean paired difference", "1"),
    "ks_equivalence_p": Described(PER_TYPE, "p-value of a Kolmogorov-Smirnov distance of the margin or more", "1"),
    "mean_equivalence_p": Described(PER_TYPE, "p-value of a mean paired difference of the margin or more", "1"),
    "ks_difference_p": Described(PER_PAIR, "p-value of equal Kolmogorov-Smirnov distances to real", "1"),
}
"""P-values that `adjusted_p_values` adjusts: `NAME_holm` over types, `NAME_bh` over types, metrics and statistics."""

TOGETHER = "max-t over types, joined to the interval of each type alone"
"""How intervals that hold for all types together are made."""
_BOUNDED = ("activation_type", "bound")
BOUNDS = {
    "prediction": Described(_BOUNDED, "where the step of a new base prompt falls, infinite beyond the window", "step"),
    "mean_difference_simultaneous": Described(
        _BOUNDED, "intervals that hold for all types together: mean paired difference to real", "step", TOGETHER
    ),
    "paired_delta_simultaneous": Described(
        _BOUNDED, "intervals that hold for all types together: P(later) - P(earlier)", "1", TOGETHER
    ),
}
"""Two ends that are not the confidence interval of one estimate."""

VARIABLES = (
    {name: described._replace(method=None) for name, described in ESTIMATES.items() if name != "ks_percentile"}
    | OTHERS
    | BOUNDS
    | P_VALUES
    | {
        f"{name}_interval": described._replace(dims=(*described.dims, "bound"))
        for name, described in ESTIMATES.items()
        if described.method
    }
)
"""What a summary stores of a comparison: all that `compare_types` returns but its intervals by method."""


def compare_dataset(
    steps: xr.Dataset,
    resampling: Resampling,
    settings: AnalysisConfig,
    rng: np.random.Generator,
    *,
    last_step: float,
    margin: float,
    controls: Collection[str] = (CONTROL,),
    tables: int = 1,
) -> xr.Dataset:
    """Compare the activation types for every convention, statistic and metric.

    Parameters
    ----------
    steps
        `plateaulens.steps.dataset.step_dataset`'s result, which must hold the activation type `real`.
    resampling
        The resamples that all comparisons share, of the samples of `steps`.
    settings
        The confidence of intervals, the mean difference of equivalence, and how many swaps to draw.
    rng
        Random numbers of the swaps, which all comparisons share too, and of pooled p-values.
    last_step
        The end of the stored window.
    margin
        The KS distance of equivalence, the experiment's own.
    controls
        The types that are real targets drawn again, as `controls_of` finds them.
    tables
        How many experiments are judged beside each other, which `settings.family_wise` allows for.

    Returns
    -------
    xarray.Dataset
        `VARIABLES`, `last_step_fraction`, the share of curves whose step is the window's last one, and
        `last_step_large`, whether that is `LAST_STEP_LARGE` or more, with (convention, statistic, metric) in front of
        their own dimensions, and what `adjusted_p_values` and `verdicts` find; see `compare_types` for censoring and
        for NaN. Intervals carry `confidence`, `resamples` and `method` as attributes.
        The coordinate `is_control` marks `controls`.
    """
    types = [str(name) for name in steps["activation_type"].to_numpy()]
    dims = (*_LEADING, "activation_type", "sample")
    value, censored = (steps[name].transpose(*dims) for name in ("step_value", "censored"))
    shape = value.shape[: len(_LEADING)]
    swaps = Swaps.draw(rng, samples=value.shape[-1], swaps=settings.resamples, clusters=resampling.unit)
    key = rng.integers(2**32, size=4)
    results = [
        compare_types(
            value.to_numpy()[index],
            censored.to_numpy()[index],
            resampling,
            swaps,
            reference=types.index(REFERENCE),
            last_step=last_step,
            margin=margin,
            settings=settings,
            rng=_own_rng(key, steps, index),
        )
        for index in np.ndindex(shape)
    ]
    variables = {}
    for name, described in VARIABLES.items():
        stacked = np.stack([result[name] for result in results])
        attributes = _attributes(name, described, resampling, settings, margin)
        variables[name] = ((*_LEADING, *described.dims), stacked.reshape(*shape, *stacked.shape[1:]), attributes)
    coordinates = {
        "bound": bounds(),
        "other_type": texts("other_type", types, "the other activation type"),
        "quantile": xr.Variable("quantile", DECILES, attrs("probability of the quantile", "1")),
        "is_control": xr.Variable(
            "activation_type",
            np.isin(types, list(controls)),
            attrs("whether the type is real targets drawn again", "1"),
        ),
    }
    comparison = xr.Dataset(variables, coords={**steps.coords, **coordinates})
    comparison = comparison.assign(
        adjusted_p_values(comparison, tables=tables if settings.family_wise else None).data_vars
    )
    comparison = comparison.assign(_at_last_step(value, censored, last_step))
    restricted_difference = _restricted_difference(value, censored, last_step)
    judged = verdicts(
        comparison.assign(step_value=value, censored=censored, restricted_mean_difference=restricted_difference),
        REFERENCE,
        settings,
    )
    return comparison.assign(judged.data_vars).assign(paired_relation=paired_relation(comparison))


def paired_relation(comparison: xr.Dataset) -> xr.DataArray:
    """Whether more base prompts come later than earlier, by the interval that holds for all types together.

    A mean can be open where the prompts one by one are not: many small steps one way, and a few large ones the other.

    Parameters
    ----------
    comparison
        With `paired_delta_simultaneous` and `n_pairs`.

    Returns
    -------
    xarray.DataArray
        Words of `plateaulens.summary.verdicts.timing`, of the dimensions of `n_pairs`.
    """
    found = word_array(timing, comparison["paired_delta_simultaneous"], comparison["n_pairs"])
    return found.assign_attrs(attrs("whether more base prompts come later than earlier, for all types together", "1"))


def _is_moved(variant: Mapping[str, Any]) -> bool:
    """Whether a variant's targets are chosen otherwise, or moved after its recipe has made them."""
    changed = any(variant.get(name) for name in ("add_error", "matched", "own_token"))
    return changed or variant.get("sae_error", "none") != "none"


def controls_of(targets: Mapping[str, Any]) -> tuple[str, ...]:
    """The types of a run that are real targets drawn again, and differ from `real` by chance alone.

    Parameters
    ----------
    targets
        The section `targets` of the run's configuration.

    Returns
    -------
    tuple of str
        `real_control`, where the run has it or not, and the variants of either that are drawn from all prompts and that
        nothing is added to.

    Raises
    ------
    UsageError
        When the section is not one that a run has.

    Examples
    --------
    >>> controls_of({"variants": {"again": {"type": "real"}, "moved": {"type": "real", "add_error": True}}})
    ('real_control', 'again')
    """
    variants = variants_of(targets)
    again = [name for name, each in variants.items() if each["type"] in {REFERENCE, CONTROL}]
    return (CONTROL, *(name for name in again if not _is_moved(variants[name])))


def variants_of(targets: Any) -> Mapping[str, Mapping[str, Any]]:
    """The section `variants` of a stored configuration, in which what an analysis goes by must be as it should.

    Parameters
    ----------
    targets
        The section `targets` of the run's configuration, of any origin.

    Returns
    -------
    Mapping
        By name; each has a `type`.

    Raises
    ------
    UsageError
        When it is damaged.
    """
    found = targets.get("variants", {}) if isinstance(targets, Mapping) else None
    whole = isinstance(found, Mapping) and all(
        isinstance(each, Mapping)
        and isinstance(each.get("type"), str)
        and isinstance(each.get("add_error", False), bool)
        for each in found.values()
    )
    if not isinstance(found, Mapping) or not whole:
        raise UsageError("the run's targets.variants are damaged, or of another version: collect the run again")
    return found


def with_recorded_margin(experiment: xr.Dataset, recorded: Any, name: str) -> xr.Dataset:
    """The summary of an experiment that says whether its margin is the one that was written down before collecting.

    Parameters
    ----------
    experiment
        The experiment's summary.
    recorded
        The section `analysis` of the configuration that the run was created with, as it is stored in the run.
    name
        The experiment's name.

    Returns
    -------
    xarray.Dataset
        The same, whose `verdict` has the attributes `margin_as_recorded` and, where the run has one, `margin_recorded`.
    """
    given = recorded.get("equivalence_margin") if isinstance(recorded, Mapping) else None
    margin = given.get(name) if isinstance(given, Mapping) else given
    if not isinstance(margin, int | float):  # of another version, or damaged
        margin = None
    verdict = experiment["verdict"].assign_attrs(margin_as_recorded=margin == experiment["verdict"].attrs["margin"])
    return experiment.assign(verdict=verdict if margin is None else verdict.assign_attrs(margin_recorded=margin))


def _at_last_step(value: xr.DataArray, censored: xr.DataArray, last_step: float) -> dict[str, xr.DataArray]:
    """The share of curves whose step is the last one, (..., activation_type), NaN without any, and if it is large."""
    share = ((value == last_step) & ~censored).where(value.notnull() | censored).mean("sample")
    words = "share of curves whose step is the window's last one, beyond which nothing was measured"
    large = (share >= LAST_STEP_LARGE).assign_attrs(attrs("whether that share is large", "1"), least=LAST_STEP_LARGE)
    return {"last_step_fraction": share.assign_attrs(attrs(words, "1")), "last_step_large": large}


def _restricted_difference(value: xr.DataArray, censored: xr.DataArray, last_step: float) -> xr.DataArray:
    """The mean paired difference to the reference of steps cut at the window's end, (..., activation_type)."""
    cut = value.copy(data=restricted(value.to_numpy(), censored.to_numpy(), last_step))
    return (cut - cut.sel(activation_type=REFERENCE, drop=True)).mean("sample")


def _attributes(
    name: str, described: Described, resampling: Resampling, settings: AnalysisConfig, margin: float
) -> Attributes:
    """The attributes of a variable of `VARIABLES`."""
    if described.method:
        attributes = interval_attrs(described.long_name, described.units, resampling, settings.confidence)
        return attributes | {"method": described.method}
    attributes = attrs(described.long_name, described.units)
    own = {
        "ks_null_upper": {"confidence": settings.confidence},
        "prediction": {"confidence": settings.confidence},
        "ks_upper_bound": {"confidence": settings.confidence},
        "ks_equivalence_p": {"margin": margin},
        "mean_equivalence_p": {"margin": settings.equivalence_steps},
    }
    return attributes | own.get(name, {})


def _own_rng(key: NDArray[np.int64], steps: xr.Dataset, index: tuple[int, ...]) -> np.random.Generator:
    """Random numbers of one convention, statistic and metric, which do not depend on what else is compared."""
    cell = " ".join(str(steps[dim].to_numpy()[place]) for dim, place in zip(_LEADING, index, strict=True))
    return np.random.default_rng([*key, *cell.encode()])


_IN_WORDS: dict[Method, str] = {"holm": "Holm within a family", "bh": "Benjamini-Hochberg within a declared family"}


def adjusted_p_values(comparison: xr.Dataset, *, tables: int | None = None) -> xr.Dataset:
    """Adjust every p-value of `P_VALUES` for the tests that belong to its family.

    A Holm family is the types (or pairs of types) of one convention, statistic and metric; or, for an error rate over
    whole tables, those of all statistics and metrics of one convention, with their p-values multiplied by the number of
    such tables (Bonferroni), so that the chance of any wrong rejection in any of them is held. Benjamini-Hochberg runs
    over all types of the statistics and metrics of one declared family (the coordinate `family`; see
    `plateaulens.names.family`) and of one convention: conventions are two readings of the same curves, not two sets of
    tests. Tests that involve a control are families of their own, so that they take nothing from the others.

    Parameters
    ----------
    comparison
        The p-values, with (convention, statistic, metric) in front, and the coordinates `family` (statistic, metric)
        and `is_control` (activation_type).
    tables
        How many experiments are judged beside each other; None has each statistic and metric stand for itself.

    Returns
    -------
    xarray.Dataset
        `NAME_holm` and `NAME_bh` for each NAME of `P_VALUES`, with its dimensions; NaN where there is no test.
    """
    with_control = comparison["is_control"].to_numpy()
    families = comparison["family"].transpose("statistic", "metric").to_numpy()
    variables = {}
    for name, described in P_VALUES.items():
        p = comparison[name].transpose(*_LEADING, *described.dims)
        pairs = "other_type" in described.dims
        tests = once_per_pair(p.to_numpy()) if pairs else p.to_numpy()
        apart = with_control[:, np.newaxis] | with_control if pairs else with_control
        for method, usual in _IN_WORDS.items():
            words = f"Holm over the whole table, times {tables} tables" if tables and method == "holm" else usual
            adjusted = [
                _adjusted(np.where(members, tests, np.nan), families, method, tables) for members in (apart, ~apart)
            ]
            values = np.where(apart, *adjusted)
            attributes = attrs(f"{described.long_name}, {words}", "1")
            variables[f"{name}_{method}"] = (p.dims, both_ways(values) if pairs else values, attributes)
    return xr.Dataset(variables)


def _adjusted(
    tests: NDArray[np.float64], families: NDArray[np.generic], method: Method, tables: int | None
) -> NDArray[np.float64]:
    """Adjust p-values (convention, statistic, metric, types or pairs) within their `families` (statistic, metric)."""
    if method == "holm" and tables is not None:
        return np.minimum(tables * adjust_families(tests, tests.ndim - 1, "holm"), 1)
    if method == "holm":
        return adjust_families(tests, tests.ndim - len(_LEADING), "holm")
    found = np.full(tests.shape, np.nan)
    for name in dict.fromkeys(families.ravel().tolist()):
        member = families == name
        found[:, member] = adjust_families(tests[:, member], tests.ndim - len(_LEADING) + 1, "bh")
    return found


def _events(comparison: xr.Dataset) -> xr.DataArray:
    """How many curves have their event in the window: a sentinel of the authors is a value, and no event."""
    found: xr.DataArray = (comparison["step_value"].notnull() & ~comparison["censored"]).sum("sample")
    return found


def verdicts(comparison: xr.Dataset, reference: str, settings: AnalysisConfig) -> xr.Dataset:
    """What the comparison says, in the words of `plateaulens.summary.verdicts`, after adjustment by Holm's method.

    Parameters
    ----------
    comparison
        The steps, `VARIABLES` and what `adjusted_p_values` finds, with (convention, statistic, metric) in front, and
        the estimate `restricted_mean_difference`, of each convention or of all.
    reference
        The activation type that the others are compared with.
    settings
        The confidence, 1 - alpha.

    Returns
    -------
    xarray.Dataset
        With (convention, statistic, metric) in front:

        - `verdict(activation_type)`: `equivalence`, "undefined" for the reference itself;
        - `exceeds_chance(activation_type)`: whether equal distributions are rejected, equivalent or not;
        - `direction(activation_type)`, by `plateaulens.summary.verdicts.agreed`: whether the type comes earlier or
          later, or why neither is said;
        - `conclusion(activation_type)`: what a page prints, a verdict or a direction in the statistic's own words, or
          both; "false alarm" for a control that exceeds chance, which only chance can bring about;
        - `nearness(activation_type, other_type)`, by `order`: whether the type is "nearer" to the reference than the
          other type, or "farther"; "undecided" where there are too few base prompts for a test.
    """
    alpha = 1 - settings.confidence
    attributes = {"alpha": alpha, "adjustment": "Holm over the whole table" if settings.family_wise else "Holm"}
    margin = comparison["ks_equivalence_p"].attrs["margin"]
    events, share = _events(comparison), comparison["censored_fraction"]
    verdict = word_array(
        lambda same, different, n, real_n, beyond, real_beyond: equivalence(
            same, different, alpha, can_fail=bool(has_events((n, real_n), (beyond, real_beyond), margin))
        ),
        comparison["ks_equivalence_p_holm"],
        comparison["ks_p_holm"],
        events,
        events.sel(activation_type=reference, drop=True),
        share,
        share.sel(activation_type=reference, drop=True),
    ).assign_attrs(
        attrs(f"verdict on {reference} and the type, by Kolmogorov-Smirnov distance", "1"),
        margin=margin,
        least_events=RELIABLE,
        **attributes,
    )
    censored = comparison["censored_fraction_interval"]
    found = word_array(
        lambda interval, pairs, own, other, p, *rest: agreed(
            direction(interval, pairs, own, other, p=p, alpha=alpha), *rest
        ),
        comparison["mean_difference_interval"],
        comparison["n_pairs"],
        censored,
        censored.sel(activation_type=reference, drop=True),
        comparison["mean_difference_p_holm"],
        comparison["median_difference"],
        comparison["paired_delta"],
        comparison["paired_delta_interval"],
        comparison["restricted_mean_difference"],
    ).assign_attrs(attrs(f"whether the type comes earlier or later than {reference}, or why not", "1"), **attributes)
    exceeds = (comparison["ks_p_holm"] <= alpha).assign_attrs(
        attrs("whether equal distributions are rejected", "1"), **attributes
    )
    nearness = word_array(
        lambda difference, p: order(difference, p, alpha),
        comparison["ks_difference"],
        comparison["ks_difference_p_holm"].where(~_untestable(comparison, reference), 1.0),
    ).assign_attrs(attrs(f"whether the type is nearer to {reference} than the other type", "1"), **attributes)
    judged = {"verdict": verdict, "exceeds_chance": exceeds, "direction": found, "nearness": nearness}
    concluded = conclusions(comparison.assign(judged))
    return xr.Dataset(
        judged
        | {
            "conclusion": concluded.assign_attrs(
                attrs(f"what a page says of {reference} and the type", "1"), **attributes
            )
        }
    )


def _untestable(comparison: xr.Dataset, reference: str) -> xr.DataArray:
    """Which pairs of types have distances to compare and, for want of base prompts, no test: they are undecided."""
    kind, other = comparison["activation_type"], comparison["other_type"]
    pair = (kind != reference) & (other != reference) & (kind != other)
    return pair & comparison["ks_difference"].notnull() & comparison["ks_difference_p_holm"].isnull()


def conclusions(comparison: xr.Dataset) -> xr.DataArray:
    """What a page says of every type; see `verdicts`.

    Parameters
    ----------
    comparison
        With `verdict`, `exceeds_chance` and `direction`, and the coordinate `is_control`.

    Returns
    -------
    xarray.DataArray
        Words, of the dimensions of `verdict`.
    """
    known = [statistic(str(name)) for name in comparison["statistic"].to_numpy()]
    before, after = (
        xr.DataArray([getattr(each, which) for each in known], dims="statistic") for which in ("before", "after")
    )
    found = word_array(
        lambda control, word, beyond, *rest: "false alarm" if control and beyond else conclusion(word, beyond, *rest),
        comparison["is_control"],
        comparison["verdict"],
        comparison["exceeds_chance"],
        comparison["direction"],
        before,
        after,
    )
    return found.transpose(*comparison["verdict"].dims)
