"""What curves and their steps look like, before any comparison: tables of steps, and captions of figures of curves."""

from collections.abc import Sequence
from math import isfinite

import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import metric_label
from plateaulens.report.contents import BLOWUP, bounds, compared, compared_types, main_metrics, types_of, values_of
from plateaulens.report.phrases import bands, level, main_types, prompts
from plateaulens.report.table import KS_DIGITS, STEP_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import MISSING, listing

_BEYOND = {float("inf"): "beyond"}
_TOO_FEW = ("is_open", MISSING)
"""Of so few prompts none is the earliest of all that may come."""


def step_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Mean of every type's steps with its interval, and their standard deviation; metrics one below the other.

    Both are in steps, over the prompts whose curve has the event; where the step of a new prompt falls counts the
    others as later. The last column is the share of these.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps they are.

    Returns
    -------
    Table
        A row per type and metric.
    """

    def rows(values: xr.Dataset) -> list[Row]:
        return [_steps(values.sel(activation_type=name), name) for name in types_of(values)]

    columns = {
        "type": TYPE,
        **estimated("mean", "mean", STEP_DIGITS),
        "sd": Column("SD", "number", STEP_DIGITS),
        "prediction_lower": Column(
            "a new prompt", "number", also="prediction_upper", pattern="{} to {}", words=_BEYOND, instead=_TOO_FEW
        ),
        "n": Column("prompts", "count"),
        "censored_fraction": Column("censored", "percent", 1),
    }
    return by_metric(experiment, metrics, statistic, rows, columns)


def step_table_caption(experiment: xr.Dataset, *, what: str = "Max-slope steps") -> str:
    """For `step_table`.

    Parameters
    ----------
    experiment
        An experiment's group.
    what
        The statistic, in words.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"{what} by activation type, {prompts(experiment)}. Mean in steps over the prompts whose curve has one, with "
        f"its {level(experiment)} bootstrap interval in brackets, and their standard deviation. *A new prompt*: where "
        f"its step falls in {level(experiment)} of cases. *Beyond*: later than the window."
    )


def ks_table(experiment: xr.Dataset) -> Table:
    """KS distance to real in the statistics that no experiment's verdicts are about, on the main metrics.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    Table
        A row per type, and a column per statistic and metric.
    """
    judged = {known.statistic for known in names.EXPERIMENTS.values()}
    columns = {"type": TYPE}
    found: dict[str, Row] = {name: {"type": name} for name in compared_types(experiment)}
    for statistic in values_of(experiment, "statistic"):
        if statistic in judged:
            continue
        for metric, values in compared(experiment, None, statistic):
            name = f"ks_{statistic}_{metric}"
            title = f"{names.statistic(statistic).title}, {metric_label(metric)}"
            columns |= estimated(title, "ks", KS_DIGITS, name=name)
            for kind, row in found.items():
                row.update(measured(values.sel(activation_type=kind), "ks", name))
    return Table(pd.DataFrame(list(found.values())), columns)


def ks_table_caption(experiment: xr.Dataset) -> str:
    """For `ks_table`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Kolmogorov-Smirnov distance to real in the other step statistics, {prompts(experiment)}, with "
        f"{level(experiment)} uniform bands in brackets."
    )


def max_slope_cdf_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.max_slope_cdf`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Distribution functions of the max-slope step on {_metrics(experiment)} for every activation type, "
        f"{prompts(experiment)}. A line that ends below 1 belongs to a type with censored curves."
    )


def example_curves_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.example_curves`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    examples = experiment.sizes["example"]
    return (
        f"Curves on {_metrics(experiment, 'top', 'bottom')} of the first {examples} base prompts, with a dot at each "
        f"max-slope step. Last column: the mean over {prompts(experiment)}. Bands are {bands(experiment)}."
    )


def drawing_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.experiment_drawing`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    metric = metric_label(main_metrics(experiment)[0])
    return (
        f"The experiment, with a curve of this run. Above: the path from base to target. Below: how far the response "
        f"on {metric} is from that at the base, for one prompt and a real target. Grey: until it leaves the "
        f"first fifth of its height."
    )


def max_slope_histograms_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.max_slope_histograms`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Max-slope steps on {_metrics(experiment, 'left', 'right')} for {main_types(experiment)}, "
        f"{prompts(experiment)}. Bars are shares of all prompts, vertical lines means of those that have one, black "
        f"outlines the histogram of real. Below: the distribution functions."
    )


def _metrics(experiment: xr.Dataset, *places: str) -> str:
    """The main metrics, where there are as many as places with the place of each."""
    shown = [metric_label(metric) for metric in main_metrics(experiment)]
    if len(shown) == len(places):
        shown = [f"{name} ({place})" for name, place in zip(shown, places, strict=True)]
    return listing(shown)


def _steps(values: xr.Dataset, name: str) -> Row:
    lower, upper = bounds(values["prediction"]).tolist()
    return {
        "type": name,
        **measured(values, "mean"),
        "sd": float(values["sd"]),
        "is_open": not isfinite(lower),
        "prediction_lower": lower,
        "prediction_upper": upper,
        "n": int(values["n"]),
        "censored_fraction": float(values["censored_fraction"]),
    }
