"""The comparison of the activation types of one experiment, as its group of the summary holds it.

`compare_dataset` puts names on the axes of `plateaulens.compare.distributions.compare_types`, for every convention,
statistic and metric: `VARIABLES` says what each variable is, which dimensions it has and in which units. To these
`adjusted_p_values` adds p-values that allow for how many tests there are, and `verdicts` the words that rest on them.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.distributions import DECILES, compare_types
from plateaulens.compare.multiplicity import Method, adjust_families, both_ways, once_per_pair
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.names import CONTROL, REFERENCE, statistic
from plateaulens.summary.attributes import Attributes, attrs, bounds, interval_attrs, texts
from plateaulens.summary.verdicts import conclusion, direction, equivalence, order, word_array

_LEADING = ("convention", "statistic", "metric")

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
"""Estimates; where a method is named, with an interval `NAME_interval`. `ks_percentile` is an interval of `ks`."""

OTHERS = {
    "degenerate": Described(PER_TYPE, "whether the type's values are too few or too equal to resample", "1"),
    "difference_degenerate": Described(
        PER_TYPE, "whether the paired differences are too few or too equal to resample", "1"
    ),
    "ks_null": Described(PER_TYPE, "mean Kolmogorov-Smirnov distance if type and real were exchangeable", "1"),
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

VARIABLES = (
    {name: described._replace(method=None) for name, described in ESTIMATES.items() if name != "ks_percentile"}
    | OTHERS
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
) -> xr.Dataset:
    """Compare the activation types for every convention, statistic and metric.

    Parameters
    ----------
    steps
        `plateaulens.steps.dataset.step_dataset`'s result, which must hold the activation type `real`.
    resampling
        The resamples that all comparisons share, of the samples of `steps`.
    settings
        The confidence of intervals, the margins of equivalence, and how many swaps to draw.
    rng
        Random numbers of the swaps, which all comparisons share too, and of pooled p-values.
    last_step
        The end of the stored window.

    Returns
    -------
    xarray.Dataset
        `VARIABLES`, with (convention, statistic, metric) in front of their own dimensions, and what `adjusted_p_values`
        and `verdicts` find; see `compare_types` for censoring and for NaN. Intervals carry `confidence`, `resamples`
        and `method` as attributes.
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
        "other_type": texts("other_type", types, "the other activation type"),
        "quantile": xr.Variable("quantile", DECILES, attrs("probability of the quantile", "1")),
    }
    comparison = xr.Dataset(variables, coords={**steps.coords, **coordinates})
    comparison = comparison.assign(adjusted_p_values(comparison).data_vars)
    return comparison.assign(verdicts(comparison, REFERENCE, settings).data_vars)


_MARGINS = {"ks_equivalence_p": "equivalence_margin", "mean_equivalence_p": "equivalence_steps"}
"""The setting that is the margin of a p-value of equivalence."""


def _attributes(name: str, described: Described, resampling: Resampling, settings: AnalysisConfig) -> Attributes:
    """The attributes of a variable of `VARIABLES`."""
    if described.method:
        attributes = interval_attrs(described.long_name, described.units, resampling, settings.confidence)
        return attributes | {"method": described.method}
    attributes = attrs(described.long_name, described.units)
    if name == "ks_upper_bound":
        return attributes | {"confidence": settings.confidence}
    return attributes | ({"margin": getattr(settings, _MARGINS[name])} if name in _MARGINS else {})


def _own_rng(key: NDArray[np.int64], steps: xr.Dataset, index: tuple[int, ...]) -> np.random.Generator:
    """Random numbers of one convention, statistic and metric, which do not depend on what else is compared."""
    cell = " ".join(str(steps[dim].to_numpy()[place]) for dim, place in zip(_LEADING, index, strict=True))
    return np.random.default_rng([*key, *cell.encode()])


_IN_WORDS: dict[Method, str] = {"holm": "Holm within a family", "bh": "Benjamini-Hochberg within a declared family"}


def adjusted_p_values(comparison: xr.Dataset) -> xr.Dataset:
    """Adjust every p-value of `P_VALUES` for the tests that belong to its family.

    A Holm family is the types (or pairs of types) of one convention, statistic and metric. Benjamini-Hochberg runs over
    all types of the statistics and metrics of one declared family (the coordinate `family`; see
    `plateaulens.names.family`) and of one convention: conventions are two readings of the same curves, not two sets of
    tests. Tests that involve the control are families of their own, so that they take nothing from the others.

    Parameters
    ----------
    comparison
        The p-values, with (convention, statistic, metric) in front, and the coordinate `family` (statistic, metric).

    Returns
    -------
    xarray.Dataset
        `NAME_holm` and `NAME_bh` for each NAME of `P_VALUES`, with its dimensions; NaN where there is no test.
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
    """Adjust p-values (convention, statistic, metric, types or pairs) within their `families` (statistic, metric)."""
    if method == "holm":
        return adjust_families(tests, tests.ndim - len(_LEADING), "holm")
    found = np.full(tests.shape, np.nan)
    for name in dict.fromkeys(families.ravel().tolist()):
        member = families == name
        found[:, member] = adjust_families(tests[:, member], tests.ndim - len(_LEADING) + 1, "bh")
    return found


def verdicts(comparison: xr.Dataset, reference: str, settings: AnalysisConfig) -> xr.Dataset:
    """What the comparison says, in the words of `plateaulens.summary.verdicts`, after adjustment by Holm's method.

    Parameters
    ----------
    comparison
        `VARIABLES` and what `adjusted_p_values` finds, with (convention, statistic, metric) in front.
    reference
        The activation type that the others are compared with.
    settings
        The confidence, 1 - alpha, and the margin of equivalence.

    Returns
    -------
    xarray.Dataset
        With (convention, statistic, metric) in front:

        - `verdict(activation_type)`: `equivalence`, "undefined" for the reference itself;
        - `exceeds_chance(activation_type)`: whether equal distributions are rejected, equivalent or not;
        - `direction(activation_type)`: whether the type comes earlier or later, or why neither is said;
        - `conclusion(activation_type)`: the one word that a page prints, a verdict or a direction in the statistic's
          own words;
        - `nearness(activation_type, other_type)`, by `order`: whether the type is "nearer" to the reference than the
          other type, or "farther".
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
