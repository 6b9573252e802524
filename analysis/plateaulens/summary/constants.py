"""How far the conclusions hang on constants that nobody has justified.

Thresholds, tolerances, the step size and the constants of a recipe were chosen once. Each is moved here, one at a time
(`cases`). Thresholds are moved by factors, because their natural values differ between models and metrics. A coarser
step is had by taking every second, fourth or fifth point of the stored curves; the smallest slope that counts grows
with it, and steps are counted in stored ones all the same. The constants of a recipe, and its random draws, need
targets of their own: they are read off the variants of the run.

Two conclusions are drawn again in every case (`conclusions`): which types come earlier or later than real (the interval
of the mean paired difference), and whether `structured` is nearer to real than `baseline` (that of the difference of
their distances). A conclusion that changes with a constant is one about the constant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens import names
from plateaulens.compare.distances import distances, distribution_functions, ks_difference, ks_difference_interval
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.compare.survival import restricted
from plateaulens.config import AnalysisConfig
from plateaulens.steps import corrected
from plateaulens.steps.curves import StepValues
from plateaulens.steps.dataset import thresholds
from plateaulens.store.reading import sample_ranges
from plateaulens.summary.attributes import attrs, bounds, interval_attrs, strings, texts
from plateaulens.summary.verdicts import nearness, timing


@dataclass(frozen=True)
class Case:
    """One statistic of one experiment with one constant moved to `value`."""

    experiment: str
    statistic: str
    constant: str
    value: float
    """A factor for `minimum_slope` and `plateau_threshold`, a number of stored steps for `step_size`, the number of the
    redrawing for a seed, and else the constant's own value."""
    settings: AnalysisConfig
    """Those of the analysis, with the constant moved."""
    stride: int = 1
    """Of so many stored points one is kept."""
    substitutes: Mapping[str, str] = field(default_factory=dict)
    """The variant, by name, that stands in the place of the activation type whose recipe it is."""
    is_default: bool = False
    """Whether nothing is moved."""


FACTORS = {"minimum_slope": (0.01, 0.1, 1.0, 10.0, 100.0), "plateau_threshold": (0.25, 0.5, 1.0, 2.0, 4.0)}
"""What thresholds are multiplied by."""
TOLERANCES = (0.05, 0.1, 0.2, 0.4)
"""Values of `nonlinearity_tolerance`, the two in use among them."""
STRIDES = (1, 2, 4, 5)
"""Values of `step_size`, in stored steps."""


def cases(
    experiments: Sequence[str], types: Sequence[str], settings: AnalysisConfig, targets: Mapping[str, Any]
) -> list[Case]:
    """Every constant at every value, for the experiments and activation types that a run has.

    The value in use is among the cases of every constant.

    Parameters
    ----------
    experiments, types
        Their names.
    settings
        Those of the analysis, which the cases start from.
    targets
        The section of that name of the run's configuration, as JSON. A variant that changes one constant of its recipe
        is a case of "TYPE.CONSTANT", one that changes nothing is a case of "TYPE.seed" (numbered 1, 2, ...); one that
        changes more, or the dictionary, says nothing about a single constant and is left out.

    Returns
    -------
    list[Case]
        The cases of each experiment, in order: the statistics that conclusions are drawn from, and the constants of
        each.
    """
    found = []
    for experiment in experiments:
        for statistic in names.experiment(experiment).concluded:
            for constant in names.statistic(statistic).constants:
                for value, moved, stride, is_default in _values(constant, settings):
                    found.append(
                        Case(experiment, statistic, constant, value, moved, stride=stride, is_default=is_default)
                    )
            for constant, value, substitutes in _recipes(targets):
                if {*substitutes, *substitutes.values()} <= set(types):
                    found.append(
                        Case(
                            experiment,
                            statistic,
                            constant,
                            value,
                            settings,
                            substitutes=substitutes,
                            is_default=not substitutes,
                        )
                    )
    return found


def _values(constant: str, settings: AnalysisConfig) -> Iterator[tuple[float, AnalysisConfig, int, bool]]:
    """Where a constant of the analysis is moved to: value, settings, stride and whether it is where it was."""
    if constant == "step_size":
        yield from ((stride, settings, stride, stride == 1) for stride in STRIDES)
    elif constant == "nonlinearity_tolerance":
        used = settings.nonlinearity_tolerance
        for value in sorted({*TOLERANCES, used}):
            yield value, settings.model_copy(update={constant: value}), 1, value == used
    else:
        used = getattr(settings, constant)
        for factor in FACTORS[constant]:
            moved = {metric: value * factor for metric, value in used.items()}
            yield factor, settings.model_copy(update={constant: moved}), 1, factor == 1


def _recipes(targets: Mapping[str, Any]) -> Iterator[tuple[str, float, dict[str, str]]]:
    """Constants of recipes, their values and the variants that have them; for the value in use there is no variant."""
    in_use: dict[str, float] = {}
    redrawn: dict[str, int] = {}
    for name, variant in targets.get("variants", {}).items():
        given = {
            key: value for key, value in variant.items() if key in targets and key != "types" and value is not None
        }
        moved = {key: float(value) for key, value in given.items() if value != targets[key]}
        changed_otherwise = variant.get("dictionary", "trained") != "trained" or variant.get("add_error", False)
        if changed_otherwise or len(moved) > 1:
            continue
        kind = variant["type"]
        if moved:
            ((key, value),) = moved.items()
            in_use[f"{kind}.{key}"] = float(targets[key])
            yield f"{kind}.{key}", value, {kind: name}
        else:
            redrawn[kind] = redrawn.get(kind, 0) + 1
            in_use[f"{kind}.seed"] = 0.0
            yield f"{kind}.seed", float(redrawn[kind]), {kind: name}
    yield from ((constant, value, {}) for constant, value in in_use.items())


def constants_dataset(
    experiments: Mapping[str, xr.Dataset],
    chosen: Sequence[Case],
    resamplings: Mapping[str, Resampling],
    *,
    types: Sequence[str],
    reference: str,
    confidence: float,
) -> xr.Dataset:
    """Both conclusions in every one of some cases, as a group of the summary.

    Parameters
    ----------
    experiments
        Groups of a run, by the experiment's name; their curves are read in ranges of base prompts.
    chosen
        The cases, each of one of these experiments.
    resamplings
        Resamples of each experiment's base prompts, by its name.
    types
        The activation types to compare: those of the run but its variants, each of which stands in the place of the
        type whose recipe it is, in its own case.
    reference
        The activation type that the others are compared with.
    confidence
        The nominal coverage of intervals.

    Returns
    -------
    xarray.Dataset
        - `mean_difference(case, metric, activation_type)`, its interval and its verdict `timing`;
        - `ks_difference(case, metric)`, structured minus baseline, its interval and its verdict `nearness`;
        - `timing_changed` and `nearness_changed`: whether a verdict is another one than with nothing moved.

        The coordinates `constant`, `value` (see `Case`), `experiment`, `statistic` and `is_default` say what a case is.
    """
    first = next(iter(experiments.values()))
    metrics = [str(metric) for metric in first["metric"].to_numpy()]
    nearer, farther = names.CLAIMS[0]
    claim = (types.index(nearer), types.index(farther)) if {nearer, farther} <= set(types) else None
    found: list[Conclusions] = []
    ordered = sorted(chosen, key=lambda case: list(experiments).index(case.experiment))
    for name, group in experiments.items():
        mine = [case for case in ordered if case.experiment == name]
        for case, steps in zip(mine, _steps(group, mine, types, metrics), strict=True):
            last = (group.sizes["step"] - 1) // case.stride * case.stride
            found += [
                conclusions(
                    StepValues(steps.value[m], steps.censored[m]),
                    last,
                    resamplings[name],
                    reference=types.index(reference),
                    claim=claim,
                    confidence=confidence,
                )
                for m in range(len(metrics))
            ]
    resampling = next(iter(resamplings.values()))
    mean, ks = "mean paired difference to real of the step", f"KS distance to real, {nearer} minus {farther}"
    per_metric = ("case", "metric")
    per_type = (*per_metric, "activation_type")
    described = {
        "mean_difference": (per_type, attrs(mean, "step")),
        "mean_difference_interval": ((*per_type, "bound"), interval_attrs(mean, "step", resampling, confidence)),
        "timing": (per_type, attrs("whether the type comes earlier or later than real", "1")),
        "ks_difference": (per_metric, attrs(ks, "1")),
        "ks_difference_interval": ((*per_metric, "bound"), interval_attrs(ks, "1", resampling, confidence)),
        "nearness": (per_metric, attrs(f"whether {nearer} is nearer to real than {farther}", "1")),
    }
    variables = {}
    for name, columns in zip(Conclusions._fields, zip(*found, strict=True), strict=True):
        dims, attributes = described[name]
        values = strings(columns) if name in {"timing", "nearness"} else np.array(columns)
        variables[name] = (dims, values.reshape(len(ordered), len(metrics), *values.shape[1:]), attributes)
    summarized = xr.Dataset(
        variables,
        coords={
            "constant": texts("case", [case.constant for case in ordered], "the constant that is moved"),
            "value": ("case", [case.value for case in ordered], attrs("where it is moved to", "1")),
            "experiment": texts("case", [case.experiment for case in ordered], "experiment"),
            "statistic": texts("case", [case.statistic for case in ordered], "step statistic"),
            "is_default": ("case", [case.is_default for case in ordered], attrs("whether nothing moved", "1")),
            "metric": first["metric"].variable,
            "activation_type": ("activation_type", strings(types), first["activation_type"].attrs),
            "bound": bounds(),
        },
    )
    return summarized.assign(
        {
            f"{name}_changed": (
                summarized[name].dims,
                _changed(summarized[name].to_numpy(), ordered),
                attrs(f"whether the conclusion is another one than with nothing moved: {words}", "1"),
            )
            for name, words in (("timing", "order with real"), ("nearness", "which type is nearer"))
        }
    )


def _steps(
    experiment: xr.Dataset, chosen: Sequence[Case], types: Sequence[str], metrics: Sequence[str]
) -> list[StepValues]:
    """The steps (metric, activation_type, sample) in each case, from curves that are read in ranges of base prompts."""
    shape = (len(metrics), len(types), experiment.sizes["sample"])
    found = [StepValues(np.empty(shape), np.empty(shape, dtype=np.bool_)) for _ in chosen]
    for rows in sample_ranges(shape[-1]):
        curve = experiment["curve"].isel(sample=rows).load()
        curve = curve.transpose("metric", "activation_type", "sample", "step")
        for case, steps in zip(chosen, found, strict=True):
            own = curve.sel(activation_type=[case.substitutes.get(name, name) for name in types]).to_numpy()
            for m, metric in enumerate(metrics):
                steps.value[m, :, rows], steps.censored[m, :, rows] = events(own[m], metric, case)
    return found


def events(curve: NDArray[np.floating], metric: str, case: Case) -> StepValues:
    """The statistic of a case.

    Parameters
    ----------
    curve
        Curves of one metric, (..., steps).
    metric
        Its name.
    case
        Whose statistic, settings and stride to take.

    Returns
    -------
    StepValues
        In stored steps, (...); undefined where the metric has no threshold.
    """
    stride = case.stride
    own = thresholds(case.settings, metric)
    found = corrected.EVALUATED[case.statistic](
        curve[..., ::stride], own._replace(minimum_slope=own.minimum_slope * stride)
    )
    return StepValues(found.value * stride, found.censored)


def _changed(words: NDArray[np.generic], chosen: Sequence[Case]) -> NDArray[np.bool_]:
    """Which of some verdicts (case, ...) differ from that of the same constant's case in which nothing is moved."""
    used = {
        (case.experiment, case.statistic, case.constant): place for place, case in enumerate(chosen) if case.is_default
    }
    default = [used[case.experiment, case.statistic, case.constant] for case in chosen]
    return np.asarray(words != words[default])


class Conclusions(NamedTuple):
    """The two conclusions for one case and metric: what each rests on, and its verdict."""

    mean_difference: NDArray[np.float64]
    """Of the type minus the reference, in steps, (type,)."""
    mean_difference_interval: NDArray[np.float64]
    """(type, 2)"""
    timing: list[str]
    """Of each type."""
    ks_difference: float
    """Of the claim's first type minus its second."""
    ks_difference_interval: NDArray[np.float64]
    """(2,)"""
    nearness: str


def conclusions(
    event: StepValues,
    last: int,
    resampling: Resampling,
    *,
    reference: int,
    claim: tuple[int, int] | None,
    confidence: float,
) -> Conclusions:
    """Draw the conclusions from the steps of one case and metric.

    Parameters
    ----------
    event
        Steps, (activation_type, sample).
    last
        The last step that there is.
    resampling
        Resamples of the base prompts.
    reference
        The number of the type that the others are compared with.
    claim
        The numbers of the two types whose distances are compared; None for NaN and "undefined".
    confidence
        The nominal coverage of intervals.

    Returns
    -------
    Conclusions
        Differences are of min(step, last), `last` where censored; distances have censored steps at infinity. Intervals
        are over base prompts: percentiles for differences of steps, `ks_difference_interval` for that of distances.
    """
    time = restricted(*event, last)
    change = time - time[reference]
    there = np.isfinite(change)
    draws = ratio(resampling.sums(np.where(there, change, 0.0).T), resampling.sums(there.T))
    interval = percentile_interval(draws[1:], confidence)
    when = [timing(ends, int(pairs)) for ends, pairs in zip(interval, there.sum(axis=1), strict=True)]
    difference, ends = np.nan, np.full(2, np.nan)
    if claim is not None:
        functions = _differences(event, claim, reference, resampling)
        difference = float(ks_difference(distances(functions[0]))[0, 1])
        ends = ks_difference_interval(functions, confidence)[0, 1]
    return Conclusions(draws[0], interval, list(when), difference, ends, nearness(ends))


def _differences(
    event: StepValues, pair: tuple[int, int], reference: int, resampling: Resampling
) -> NDArray[np.float64]:
    """Distribution functions of two types minus the reference's, (1 + resamples, type, bins); row 0 is the sample."""
    compared = [*pair, reference]
    placed = np.where(event.censored[compared], np.inf, event.value[compared])
    support = np.unique(placed[~np.isnan(placed)])
    codes = np.where(np.isnan(placed), -1, np.searchsorted(support, placed))
    functions = distribution_functions(resampling.histograms(codes.T, max(1, len(support))))
    return functions[:, :2] - functions[:, 2:]
