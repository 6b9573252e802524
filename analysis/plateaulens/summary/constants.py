"""How far the conclusions hang on constants that nobody has justified.

Thresholds, tolerances, the step size and the constants of a recipe were chosen once. Each is moved here, one at a time
(`cases`). Thresholds are moved by factors, because their natural values differ between models and metrics. A coarser
step is had by taking every second, fourth or fifth point of the stored curves; the smallest slope that counts grows
with it, and steps are counted in stored ones all the same. The constants of a recipe, and its random draws, need
targets of their own: they are read off the variants of the run.

Every conclusion on a type and on a pair of types is drawn again in every case, by the comparison that the report's own
stand on (`plateaulens.summary.comparison.compare_dataset`): the same resamples and swaps, the same tests, the same
adjustment for how many there are. With nothing moved they are the report's. One that changes with a constant is one
about the constant.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens import names
from plateaulens.config import AnalysisConfig
from plateaulens.names import CLAIMS, REFERENCE
from plateaulens.steps import corrected
from plateaulens.steps.curves import StepValues
from plateaulens.steps.dataset import thresholds
from plateaulens.store.reading import sample_ranges
from plateaulens.summary.attributes import attrs, texts

Compare = Callable[[str, xr.Dataset, int], xr.Dataset]
"""From the name of an experiment, its steps and the last step of its window to their comparison, as the report has it:
`plateaulens.summary.comparison.compare_dataset` with the experiment's own resamples, swaps and margin."""
STORED = (
    "mean_difference",
    "mean_difference_interval",
    "ks_difference",
    "ks_difference_interval",
    "verdict",
    "direction",
    "conclusion",
    "nearness",
)
"""What is kept of each comparison: the verdicts, and the estimates that figures draw."""
CONCLUSIONS = {"conclusion": "what a page says of the type", "nearness": "which type is nearer"}
"""The verdicts whose changes are marked, in words."""


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


_NO_CONSTANTS = {
    "dictionary": "trained",
    "add_error": False,
    "sae_error": "none",
    "own_token": False,
    "matched": False,
    "kept_share": None,
}
"""What a variant may have that makes it another type, with what it has by default."""


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
        changed_otherwise = any(variant.get(key, default) != default for key, default in _NO_CONSTANTS.items())
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
    experiments: Mapping[str, xr.Dataset], chosen: Sequence[Case], compare: Compare, *, types: Sequence[str]
) -> xr.Dataset:
    """Every conclusion in every one of some cases, as a group of the summary.

    Parameters
    ----------
    experiments
        Groups of a run, by the experiment's name; their curves are read in ranges of base prompts. All types of a group
        are compared, as a family of tests is all of them.
    chosen
        The cases, each of one of these experiments.
    compare
        The report's own comparison.
    types
        The activation types to keep: those of the run but its variants, each of which stands in the place of the type
        whose recipe it is, in its own case.

    Returns
    -------
    xarray.Dataset
        - `STORED` of each comparison: of types (case, metric, activation_type), of pairs (case, metric,
          activation_type, other_type);
        - `conclusion_changed` and `nearness_changed`: whether a verdict is another one than with nothing moved;
        - what `tally` counts.

        The coordinates `constant`, `value` (see `Case`), `experiment`, `statistic` and `is_default` say what a case is.
    """
    found: list[xr.Dataset] = []
    ordered = sorted(chosen, key=lambda case: list(experiments).index(case.experiment))
    for name, group in experiments.items():
        mine = [case for case in ordered if case.experiment == name]
        unmoved: dict[str, xr.Dataset] = {}
        for case, steps in zip(mine, _steps(group, mine), strict=True):
            if case.is_default and case.statistic in unmoved:
                found.append(unmoved[case.statistic])
                continue
            last = (group.sizes["step"] - 1) // case.stride * case.stride
            compared = compare(name, _as_dataset(group, case, steps), last)
            own = compared.sel(convention="corrected", statistic=case.statistic)[list(STORED)].reset_coords(drop=True)
            own = own.assign_coords(is_control=compared["is_control"])
            found.append(own.sel(activation_type=list(types), other_type=list(types)))
            if case.is_default:
                unmoved[case.statistic] = found[-1]
    summarized = xr.concat(found, "case", combine_attrs="override").assign_coords(
        {
            "constant": texts("case", [case.constant for case in ordered], "the constant that is moved"),
            "value": ("case", [case.value for case in ordered], attrs("where it is moved to", "1")),
            "experiment": texts("case", [case.experiment for case in ordered], "experiment"),
            "statistic": texts("case", [case.statistic for case in ordered], "step statistic"),
            "is_default": ("case", [case.is_default for case in ordered], attrs("whether nothing moved", "1")),
        }
    )
    marked = summarized.assign(
        {
            f"{name}_changed": (
                summarized[name].dims,
                _changed(summarized[name].to_numpy(), ordered),
                attrs(f"whether the conclusion is another one than with nothing moved: {words}", "1"),
            )
            for name, words in CONCLUSIONS.items()
        }
    )
    return marked.assign(tally(marked).data_vars)


def tally(constants: xr.Dataset) -> xr.Dataset:
    """How many conclusions each constant is asked about, and how many come out otherwise at any of its values.

    Counted are the conclusions of a page: on the main metrics those on every type but the reference and the further
    draws of it, and which type of the paper's first claim is nearer. One that is undefined at all values is none.

    Parameters
    ----------
    constants
        `conclusion`, `nearness` and what is changed of both, with the coordinates of a case and `is_control`.

    Returns
    -------
    xarray.Dataset
        `conclusions(case)` and `conclusions_changed(case)`, for all cases of a constant the same.
    """
    metrics = [str(name) for name in constants["metric"].to_numpy()]
    main = [name for name in metrics if names.metric(name).is_main] or metrics
    kinds = constants["activation_type"].to_numpy()
    judged = [str(name) for name in kinds[(kinds != REFERENCE) & ~constants["is_control"].to_numpy()]]
    asked = [constants.sel(metric=main, activation_type=judged)[["conclusion", "conclusion_changed"]]]
    first, second = CLAIMS[0]
    if first in kinds and second in constants["other_type"]:
        pair = constants.sel(metric=main, activation_type=[first], other_type=second, drop=True)
        asked.append(pair[["nearness", "nearness_changed"]])
    keys = list(zip(*(constants[name].to_numpy().tolist() for name in _CONSTANT), strict=True))
    counts = {}
    for key in dict.fromkeys(keys):
        mine = [place for place, other in enumerate(keys) if other == key]
        own = [group.isel(case=mine).transpose("case", ...) for group in asked]
        counts[key] = (
            sum(int((group[next(iter(group))] != "undefined").any("case").sum()) for group in own),
            sum(int(group[f"{next(iter(group))}_changed"].any("case").sum()) for group in own),
        )
    described = {
        "conclusions": "conclusions that a constant is asked about, on the main metrics",
        "conclusions_changed": "those of them that are others at some value of the constant",
    }
    return xr.Dataset(
        {
            name: ("case", np.array([counts[key][place] for key in keys]), attrs(words, "1"))
            for place, (name, words) in enumerate(described.items())
        }
    )


_CONSTANT = ("experiment", "statistic", "constant")
"""The coordinates of a case that say which constant of which statistic it moves."""


def _as_dataset(group: xr.Dataset, case: Case, steps: StepValues) -> xr.Dataset:
    """Steps (metric, activation_type, sample) as `plateaulens.steps.dataset.step_dataset` has those of a statistic."""
    dims = ("convention", "statistic", "metric", "activation_type", "sample")
    value, censored = (each[np.newaxis, np.newaxis] for each in steps)
    metrics = [str(metric) for metric in group["metric"].to_numpy()]
    families = [[names.family(case.statistic, metric) for metric in metrics]]
    return xr.Dataset(
        {"step_value": (dims, value), "censored": (dims, censored)},
        coords={
            "convention": texts("convention", ["corrected"], "convention of the step statistics"),
            "statistic": texts("statistic", [case.statistic], "step statistic"),
            "metric": group["metric"].variable,
            "activation_type": group["activation_type"].variable,
            "family": (("statistic", "metric"), families),
        },
    )


def _steps(experiment: xr.Dataset, chosen: Sequence[Case]) -> list[StepValues]:
    """The steps (metric, activation_type, sample) in each case, from curves that are read in ranges of base prompts."""
    types, metrics = ([str(name) for name in experiment[dim].to_numpy()] for dim in ("activation_type", "metric"))
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
        In stored steps, (...); undefined where the metric has no threshold, and where one point of a curve is left.
    """
    stride = case.stride
    if curve.shape[-1] <= stride:
        return StepValues(np.full(curve.shape[:-1], np.nan), np.zeros(curve.shape[:-1], dtype=np.bool_))
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
