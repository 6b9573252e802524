"""What a summary holds: its experiments, metrics, types, settings and intervals.

All of it comes from the summary itself. `plateaulens.names` says what things are called and in which order they come;
what it does not know is shown by its own name.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import ValidationError

from plateaulens import names
from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.errors import UsageError, explain
from plateaulens.names import CONTROL, MAIN_METRICS, REFERENCE
from plateaulens.store.location import Location
from plateaulens.store.reading import check_summary

BLOWUP = names.experiment("sensitivity").statistic
"""The statistic that the page is about where nothing else is said."""


def check(summary: xr.DataTree, where: Location | None = None) -> xr.DataTree:
    """The summary, if it holds what the report words.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.
    where
        Where it is, to be named; None for one in memory.

    Returns
    -------
    xarray.DataTree
        The same.

    Raises
    ------
    UsageError
        When another version made it; see `plateaulens.store.reading.check_summary`.
    """
    check_summary(summary.attrs, where)
    return summary


def group_of(summary: xr.DataTree, name: str) -> xr.Dataset | None:
    """One group of a summary.

    Parameters
    ----------
    summary
        The summary.
    name
        The group's name.

    Returns
    -------
    xarray.Dataset or None
        None when the summary does not have it.
    """
    return summary.children[name].to_dataset() if name in summary.children else None


def experiments_of(summary: xr.DataTree) -> dict[str, xr.Dataset]:
    """The experiments of a summary: its groups with steps.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    dict
        Groups by name: known experiments in the order of `plateaulens.names.EXPERIMENTS`, then others by name.
    """
    known = list(names.EXPERIMENTS)
    found = [name for name, group in summary.children.items() if "step_value" in group]
    places = {name: known.index(name) if name in known else len(known) for name in found}
    return {name: summary[name].to_dataset() for name in sorted(found, key=lambda name: (places[name], name))}


def values_of(group: xr.Dataset, coordinate: str) -> list[str]:
    """The values of one coordinate of a group.

    Parameters
    ----------
    group
        Of a summary.
    coordinate
        Of names, such as `metric` or `statistic`.

    Returns
    -------
    list of str
        In the summary's order.
    """
    return [str(name) for name in group[coordinate].to_numpy()]


def types_of(group: xr.Dataset) -> list[str]:
    """The activation types of a group.

    Parameters
    ----------
    group
        Of a summary.

    Returns
    -------
    list of str
        In the run's order.
    """
    return values_of(group, "activation_type")


def compared_types(group: xr.Dataset) -> list[str]:
    """The types that are compared with real: all others.

    Parameters
    ----------
    group
        Of a summary.

    Returns
    -------
    list of str
        In the run's order.
    """
    return [name for name in types_of(group) if name != REFERENCE]


def word_of(values: xr.Dataset, variable: str, activation_type: str) -> str:
    """The word that a summary has on one type.

    Parameters
    ----------
    values
        Of one metric and statistic.
    variable
        Which word.
    activation_type
        The type.

    Returns
    -------
    str
        As it is stored.
    """
    return str(values[variable].sel(activation_type=activation_type).item())


def controls_of(group: xr.Dataset) -> list[str]:
    """The types that are real targets drawn again: only chance tells them from real.

    Parameters
    ----------
    group
        Of a summary.

    Returns
    -------
    list of str
        Those that an experiment's `is_control` marks; in a group that has no such marks the one that is known by name.
    """
    if "is_control" in group.coords:
        return types_of(group.isel(activation_type=np.flatnonzero(group["is_control"])))
    return [name for name in types_of(group) if name == CONTROL]


def synthetic_types(group: xr.Dataset) -> list[str]:
    """The types that a verdict is about: all but real and what is real targets drawn again.

    Parameters
    ----------
    group
        Of a summary.

    Returns
    -------
    list of str
        In the run's order.
    """
    return [name for name in compared_types(group) if name not in controls_of(group)]


def metrics_of(summary: xr.DataTree) -> list[str]:
    """The metrics of a summary's experiments.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    list of str
        Each once, in the run's order.
    """
    return list(
        dict.fromkeys(name for group in experiments_of(summary).values() for name in values_of(group, "metric"))
    )


def main_metrics(group: xr.Dataset) -> list[str]:
    """The metrics that sentences, tables and figures show where they have room for few.

    Parameters
    ----------
    group
        Of a summary.

    Returns
    -------
    list of str
        Those of `plateaulens.names.MAIN_METRICS` that the group has; all that it has where that is none.
    """
    held = values_of(group, "metric")
    return [name for name in MAIN_METRICS if name in held] or held


def other_metrics(group: xr.Dataset) -> list[str]:
    """The metrics that are shown where there is room for all.

    Parameters
    ----------
    group
        Of a summary.

    Returns
    -------
    list of str
        Those that are not among `main_metrics`.
    """
    return [name for name in values_of(group, "metric") if name not in main_metrics(group)]


def compared(
    experiment: xr.Dataset, metrics: Sequence[str] | None = None, statistic: str = BLOWUP
) -> Iterator[tuple[str, xr.Dataset]]:
    """What the corrected convention makes of one statistic, metric by metric.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        Those to show, the main ones unless given; those that the experiment lacks are left out.
    statistic
        Nothing is there of one that the experiment lacks.

    Yields
    ------
    tuple
        A metric, and the experiment's values on it.
    """
    held = values_of(experiment, "metric") if statistic in values_of(experiment, "statistic") else []
    for metric in main_metrics(experiment) if metrics is None else metrics:
        if metric in held:
            yield metric, experiment.sel(convention="corrected", statistic=statistic, metric=metric)


def config_of(summary: xr.DataTree) -> RunConfig:
    """The configuration that the run was collected with.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    RunConfig
        From its attribute `config`.

    Raises
    ------
    UsageError
        When this version cannot read it.
    """
    try:
        return RunConfig.model_validate_json(summary.attrs["config"])
    except ValidationError as error:
        raise UsageError(
            f"run {summary.attrs['name']} is of another version of plateaulens: {explain(error)}"
        ) from None


def settings_of(summary: xr.DataTree) -> AnalysisConfig:
    """The settings that the run was analysed with.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    AnalysisConfig
        From its attribute `analysis`.
    """
    return AnalysisConfig.model_validate_json(summary.attrs["analysis"])


def definitions_of(summary: xr.DataTree) -> dict[str, str]:
    """How each activation type makes its targets, in the words that the run carries along.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.

    Returns
    -------
    dict
        By type; empty for a run of schema 1, which has no such words.
    """
    found: dict[str, str] = json.loads(summary.attrs.get("definitions", "{}"))
    return found


def plateau_metric(summary: xr.DataTree) -> str | None:
    """The metric whose plateau lengths are shown.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str or None
        Of the metrics that the run has and that have a threshold the first of `plateaulens.names.MAIN_METRICS`, where
        it is one of them, else the first that the settings name; None where there is none.
    """
    held = metrics_of(summary)
    ends = [metric for metric in settings_of(summary).plateau_threshold if metric in held]
    return MAIN_METRICS[0] if MAIN_METRICS[0] in ends else next(iter(ends), None)


class Leading(NamedTuple):
    """What the first screen of a report is about."""

    name: str
    """An experiment."""
    statistic: str
    """That of its verdicts."""
    metrics: list[str]
    """The metrics that are shown; none where the statistic is defined on none."""


def leading(summary: xr.DataTree) -> Leading:
    """The experiment that the first screen is about: the first one, with relative steps before all others.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    Leading
        That of relative steps, without metrics, where the summary has no experiment.
    """
    found = experiments_of(summary)
    if not found:
        return Leading(next(iter(names.EXPERIMENTS)), BLOWUP, [])
    name = next(iter(found))
    return Leading(name, names.experiment(name).statistic, shown_metrics(summary, name, found[name]))


def shown_metrics(summary: xr.DataTree, name: str, experiment: xr.Dataset) -> list[str]:
    """The metrics on which an experiment's verdicts are shown: of plateau lengths the one that has a threshold.

    Parameters
    ----------
    summary
        The summary.
    name
        Of the experiment.
    experiment
        Its group.

    Returns
    -------
    list of str
        None where no metric has a threshold.
    """
    if "plateau_threshold" not in names.statistic(names.experiment(name).statistic).constants:
        return main_metrics(experiment)
    metric = plateau_metric(summary)
    return [metric] if metric else []


def step_length(experiment: xr.Dataset) -> float | None:
    """The distance between two points of a path in activation units.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    float or None
        None for relative steps.
    """
    return float(experiment["length"].diff("step")[0]) if "length" in experiment.coords else None


def bounds(interval: xr.DataArray) -> NDArray[np.float64]:
    """Both ends of one interval.

    Parameters
    ----------
    interval
        With the dimension `bound` alone.

    Returns
    -------
    NDArray
        The lower one and the upper one, (2,).
    """
    return np.asarray(interval.sel(bound=["lower", "upper"]).values, dtype=np.float64)
