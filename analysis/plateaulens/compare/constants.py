"""Which constants nobody has justified, where each is moved to, and what happens to the steps of the events.

Thresholds, tolerances, the step size and the constants of a recipe were chosen once. Each is moved here, one at a time.
Thresholds are moved by factors, because their natural values differ between models and metrics. A coarser step is had
by taking every second, fourth or fifth point of the stored curves; the smallest slope that counts grows with it, and
steps are counted in stored ones all the same. The constants of a recipe, and its random draws, need targets of their
own: they are read off the variants of the run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plateaulens.config import AnalysisConfig
from plateaulens.steps import corrected
from plateaulens.steps.curves import StepValues, as_curves, undefined

STATISTICS_OF = {
    "sensitivity": ("max_slope", "first_nonlinearity"),
    "sensitivity_absolute": ("max_slope",),
    "plateau": ("plateau_length",),
}
"""The statistics of each experiment that conclusions are drawn from."""

CONSTANTS_OF = {
    "max_slope": ("minimum_slope", "step_size"),
    "first_nonlinearity": ("nonlinearity_tolerance", "minimum_slope"),
    "plateau_length": ("plateau_threshold", "step_size"),
}
"""The constants that each statistic depends on."""

FACTORS = {"minimum_slope": (0.01, 0.1, 1.0, 10.0, 100.0), "plateau_threshold": (0.25, 0.5, 1.0, 2.0, 4.0)}
"""What thresholds are multiplied by."""
TOLERANCES = (0.05, 0.1, 0.2, 0.4)
"""Values of `nonlinearity_tolerance`, the two in use among them."""
STRIDES = (1, 2, 4, 5)
"""Values of `step_size`, in stored steps."""


@dataclass(frozen=True)
class Case:
    """One statistic of one experiment with one constant moved to `value`."""

    experiment: str
    statistic: str
    constant: str
    value: float
    settings: AnalysisConfig
    stride: int = 1
    substitutes: Mapping[str, str] = field(default_factory=dict)
    """The variant, by name, that stands in the place of the activation type whose recipe it is."""
    is_default: bool = False
    """Whether nothing is moved."""


def cases(
    experiments: Sequence[str], types: Sequence[str], settings: AnalysisConfig, targets: Mapping[str, Any]
) -> list[Case]:
    """Every constant at every value, for the experiments and activation types that a run has.

    `targets` is that section of the run's configuration, as JSON. A variant that changes one constant of its recipe is
    a case of "TYPE.CONSTANT", one that changes nothing is a case of "TYPE.seed" (numbered 1, 2, ...); one that changes
    more, or the dictionary, says nothing about a single constant and is left out. The value in use is among the cases
    of every constant.
    """
    found = []
    for experiment in experiments:
        for statistic in STATISTICS_OF.get(experiment, ()):
            for constant in CONSTANTS_OF[statistic]:
                for value, moved, stride, is_default in _values(constant, settings):
                    found.append(
                        Case(experiment, statistic, constant, value, moved, stride=stride, is_default=is_default)
                    )
            for constant, value, substitutes in _recipes(targets):
                if {*substitutes, *substitutes.values()} <= set(types):
                    case = Case(experiment, statistic, constant, value, settings, substitutes=substitutes,
                                is_default=not substitutes)  # fmt: skip
                    found.append(case)
    return found


def events(curve: NDArray[np.floating], metric: str, case: Case) -> StepValues:
    """The statistic of curves (..., steps) of one metric, in stored steps; undefined where it has no threshold."""
    settings, stride = case.settings, case.stride
    slope = settings.minimum_slope[metric]
    points = curve[..., ::stride]
    if case.statistic == "max_slope":
        found = corrected.max_slope(points, slope * stride)
    elif case.statistic == "first_nonlinearity":
        found = corrected.first_nonlinearity(points, settings.nonlinearity_tolerance, floor=slope)
    elif metric in settings.plateau_threshold:
        found = corrected.plateau_length(points, settings.plateau_threshold[metric])
    else:
        found = undefined(as_curves(points))
    return StepValues(found.value * stride, found.censored)


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
