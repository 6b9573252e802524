"""What a comparison consists of: every variable's dimensions, name and units.

Adjusted p-values and the verdicts that rest on them, for a comparison dataset.

Comparison of activation types in a stored experiment: `compare_types` with names on its axes.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.distributions import DECILES, INTERVAL_METHODS, compare_types
from plateaulens.compare.multiplicity import Method, adjust_families, both_ways, once_per_pair
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.names import CONTROL, REFERENCE, statistic
from plateaulens.summary.labels import Attributes, attrs, bounds, interval_attrs, strings
from plateaulens.summary.verdicts import conclusion, direction, equivalence, order, word_array

PER_TYPE = ("activation_type",)
PER_PAIR = ("activation_type", "other_type")
PER_QUANTILE = ("activation_type", "quantile")


class Described(NamedTuple):
    """A variable of `compare_types`: its own dimensions, its name in words, its units, and its interval's method."""

    dims: tuple[str, ...]
    long_name: str
    units: str
    method: str | None = None


ESTIMATES = {
    "n": Described(PER_TYPE, "base prompts with a value", "1"),
    "n_pairs": Described(PER_TYPE, "base prompts with a value for the type and for real", "1"),
    "mean": Described(PER_TYPE, "mean step", "step", "studentised"),
    "sd": Described(PER_TYPE, "standard deviation of the step", "step", "studentised, logarithm"),
    "censored_fraction": Described(PER_TYPE, "share of curves whose event lies beyond the window", "1", "wilson"),
    "mean_difference": Described(PER_TYPE, "mean paired difference to real", "step", "studentised"),
    "median_difference": Described(PER_TYPE, "median paired difference to real", "step", "percentile, whole draws"),
    "quantile_shift": Described(PER_QUANTILE, "quantile minus that of real", "step", "percentile, whole draws"),
    "cliffs_delta": Described(PER_TYPE, "Cliff's delta to real, P(later) - P(earlier)", "1", "bca"),
    "paired_delta": Described(PER_TYPE, "P(later) - P(earlier) than real within a base prompt", "1", "bca"),
    "wasserstein": Described(PER_TYPE, "Wasserstein distance to real within the window", "step", "uniform band"),
    "ks": Described(PER_TYPE, "Kolmogorov-Smirnov distance to real", "1", "uniform band"),
    "ks_percentile": Described(PER_TYPE, "Kolmogorov-Smirnov distance to real, percentile method", "1", "percentile"),
    "ks_difference": Described(
        PER_PAIR, "difference of two types' Kolmogorov-Smirnov distances to real", "1", "normal, place by place"
    ),
}
"""Quantities with an interval, `NAME_interval`, where a method is named."""

OTHERS = {
    "degenerate": Described(PER_TYPE, "whether the type's values are too few or too equal to resample", "1"),
    "difference_degenerate": Described(
        PER_TYPE, "whether the paired differences are too few or too equal to resample", "1"
    ),
    "ks_bias": Described(PER_TYPE, "bootstrap estimate of the Kolmogorov-Smirnov distance's bias", "1"),
    "ks_null": Described(PER_TYPE, "mean Kolmogorov-Smirnov distance if type and real were exchangeable", "1"),
    "ks_upper_bound": Described(PER_TYPE, "one-sided upper bound of the Kolmogorov-Smirnov distance to real", "1"),
    "ks_p_pooled": Described(PER_TYPE, "p-value of equal distributions, as independent samples", "1"),
}

P_VALUES = {
    "ks_p": Described(PER_TYPE, "p-value of equal distributions, paired", "1"),
    "mean_difference_p": Described(PER_TYPE, "p-value of no mean paired difference", "1"),
    "ks_equivalence_p": Described(PER_TYPE, "p-value of a Kolmogorov-Smirnov distance of the margin or more", "1"),
    "mean_equivalence_p": Described(PER_TYPE, "p-value of a mean paired difference of the margin or more", "1"),
    "ks_difference_p": Described(PER_PAIR, "p-value of equal Kolmogorov-Smirnov distances to real", "1"),
}
"""P-values that are also adjusted: `NAME_holm` over types, `NAME_bh` over types, metrics and statistics."""


def _variables() -> dict[str, Described]:
    intervals = {
        f"{name}_interval": described._replace(dims=(*described.dims, "bound"))
        for name, described in ESTIMATES.items()
        if described.method
    }
    by_method = {
        f"{name}_interval_by_method": ESTIMATES[name]._replace(
            dims=(*PER_TYPE, "interval_method", "bound"), method="that of interval_method"
        )
        for name in ("mean", "mean_difference")
    }
    points = {name: described._replace(method=None) for name, described in ESTIMATES.items() if name != "ks_percentile"}
    return points | OTHERS | P_VALUES | intervals | by_method


VARIABLES = _variables()
"""Everything that `compare_types` returns."""


_LEADING = ("convention", "statistic", "metric")
_IN_WORDS: dict[Method, str] = {"holm": "Holm within a family", "bh": "Benjamini-Hochberg within a declared family"}


def adjusted_p_values(comparison: xr.Dataset) -> xr.Dataset:
    """`NAME_holm` and `NAME_bh` of every p-value of `plateaulens.summary.comparison.P_VALUES`.

    A Holm family is the types (or pairs of types) of one convention, statistic and metric. Benjamini-Hochberg runs over
    all types of the statistics and metrics of one declared family (the coordinate `family`; see
    `plateaulens.names.family`) and of one convention: conventions are two readings of the same curves, not two sets of
    tests. Tests that involve the control are families of their own, so that they take nothing from the others.
    """
    with_control = comparison["activation_type"].to_numpy() == CONTROL
    families = comparison["family"].transpose("statistic", "metric").to_numpy()
    variables = {}
    for name, described in P_VALUES.items():
        p = comparison[name].transpose(*_LEADING, *described.dims)
        pairs = "other_type" in described.dims
        tests = once_per_pair(p.to_numpy()) if pairs else p.to_numpy()
        apart = with_control[:, np.newaxis] | with_control if pairs else with_control
        for method, words in _IN_WORDS.items():
            adjusted = [_adjusted(np.where(members, tests, np.nan), families, method) for members in (apart, ~apart)]
            values = np.where(apart, *adjusted)
            attributes = attrs(f"{described.long_name}, {words}", "1")
            variables[f"{name}_{method}"] = (p.dims, both_ways(values) if pairs else values, attributes)
    return xr.Dataset(variables)


def _adjusted(tests: NDArray[np.float64], families: NDArray[np.generic], method: Method) -> NDArray[np.float64]:
    """P-values (convention, statistic, metric, types or pairs of types), adjusted within their families."""
    if method == "holm":
        return adjust_families(tests, tests.ndim - len(_LEADING), "holm")
    found = np.full(tests.shape, np.nan)
    for name in dict.fromkeys(families.ravel().tolist()):
        member = families == name
        found[:, member] = adjust_families(tests[:, member], tests.ndim - len(_LEADING) + 1, "bh")
    return found


def verdicts(comparison: xr.Dataset, reference: str, settings: AnalysisConfig) -> xr.Dataset:
    """What the comparison says, in the words of `plateaulens.summary.verdicts`, after adjustment by Holm's method.

    - `verdict` of each type: `equivalence`, "undefined" for the reference itself;
    - `exceeds_chance`: whether equal distributions are rejected, equivalent or not;
    - `direction` of each type: whether it comes earlier or later, or why neither is said;
    - `conclusion` of each type: the one word that a page prints, a verdict or a direction in the statistic's own words;
    - `nearness` of each pair of types, by `order`: whether `activation_type` is "nearer" to the reference than
      `other_type`, or "farther".
    """
    alpha = 1 - settings.confidence
    attributes = {"alpha": alpha, "adjustment": "Holm"}
    verdict = word_array(
        lambda same, different: equivalence(same, different, alpha),
        comparison["ks_equivalence_p_holm"],
        comparison["ks_p_holm"],
    ).assign_attrs(
        attrs(f"verdict on {reference} and the type, by Kolmogorov-Smirnov distance", "1"),
        margin=settings.equivalence_margin,
        **attributes,
    )
    censored = comparison["censored_fraction_interval"]
    found = word_array(
        lambda interval, pairs, own, other, p: direction(interval, pairs, own, other, p=p, alpha=alpha),
        comparison["mean_difference_interval"],
        comparison["n_pairs"],
        censored,
        censored.sel(activation_type=reference, drop=True),
        comparison["mean_difference_p_holm"],
    ).assign_attrs(attrs(f"whether the type comes earlier or later than {reference}, or why not", "1"), **attributes)
    known = [statistic(str(name)) for name in comparison["statistic"].to_numpy()]
    before, after = (
        xr.DataArray([getattr(each, which) for each in known], dims="statistic") for which in ("before", "after")
    )
    concluded = word_array(conclusion, verdict, found, before, after)
    nearness = word_array(
        lambda difference, p: order(difference, p, alpha),
        comparison["ks_difference"],
        comparison["ks_difference_p_holm"],
    ).assign_attrs(attrs(f"whether the type is nearer to {reference} than the other type", "1"), **attributes)
    return xr.Dataset(
        {
            "verdict": verdict,
            "exceeds_chance": (comparison["ks_p_holm"] <= alpha).assign_attrs(
                attrs("whether equal distributions are rejected", "1"), **attributes
            ),
            "direction": found,
            "conclusion": concluded.transpose(*verdict.dims).assign_attrs(
                attrs(f"what a page says of {reference} and the type", "1"), **attributes
            ),
            "nearness": nearness,
        }
    )


_MARGINS = {"ks_equivalence_p": "equivalence_margin", "mean_equivalence_p": "equivalence_steps"}


def compare_dataset(
    steps: xr.Dataset,
    resampling: Resampling,
    settings: AnalysisConfig,
    rng: np.random.Generator,
    *,
    last_step: float,
) -> xr.Dataset:
    """Compare the activation types of `step_dataset`'s result for every convention, statistic and metric.

    All of them share the resamples of `resampling`, whose samples are those of `steps`, and as many swaps, drawn from
    `rng`; `last_step` is the end of the stored window. Variables and their dimensions are those of
    `plateaulens.summary.comparison.VARIABLES` behind (convention, statistic, metric), and the adjusted p-values and
    verdicts of `plateaulens.summary.comparison`; see `compare_types` for censoring and for NaN. Intervals carry
    `confidence`, `resamples` and `method` as attributes. `steps` must hold the activation type `real`.
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
            settings=settings,
            rng=_own_rng(key, steps, index),
        )
        for index in np.ndindex(shape)
    ]
    variables = {}
    for name, described in VARIABLES.items():
        stacked = np.stack([result[name] for result in results])
        attributes = _attributes(name, described, resampling, settings)
        variables[name] = ((*_LEADING, *described.dims), stacked.reshape(*shape, *stacked.shape[1:]), attributes)
    coordinates = {
        "bound": bounds(),
        "other_type": _names("other_type", types, "the other activation type"),
        "interval_method": _names("interval_method", INTERVAL_METHODS, "method of the interval"),
        "quantile": xr.Variable("quantile", DECILES, attrs("probability of the quantile", "1")),
    }
    comparison = xr.Dataset(variables, coords={**steps.coords, **coordinates})
    comparison = comparison.assign(adjusted_p_values(comparison).data_vars)
    return comparison.assign(verdicts(comparison, REFERENCE, settings).data_vars)


def _own_rng(key: NDArray[np.int64], steps: xr.Dataset, index: tuple[int, ...]) -> np.random.Generator:
    """Random numbers of one convention, statistic and metric, which do not depend on what else is compared."""
    cell = " ".join(str(steps[dim].to_numpy()[place]) for dim, place in zip(_LEADING, index, strict=True))
    return np.random.default_rng([*key, *cell.encode()])


def _attributes(name: str, described: Described, resampling: Resampling, settings: AnalysisConfig) -> Attributes:
    if described.method:
        attributes = interval_attrs(described.long_name, described.units, resampling, settings.confidence)
        return attributes | {"method": described.method}
    attributes = attrs(described.long_name, described.units)
    if name == "ks_upper_bound":
        return attributes | {"confidence": settings.confidence}
    return attributes | ({"margin": getattr(settings, _MARGINS[name])} if name in _MARGINS else {})


def _names(dim: str, names: tuple[str, ...] | list[str], long_name: str) -> xr.Variable:
    return xr.Variable(dim, strings(names), attrs(long_name, "1"))
