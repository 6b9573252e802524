"""The section that sets a run beside one of another model, on what both have and on scales that both share."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import xarray as xr
from IPython.display import Markdown

from plateaulens import figures
from plateaulens.names import MAIN_METRICS, REFERENCE, metric_label
from plateaulens.report.contents import (
    bounds,
    check,
    compared,
    compared_types,
    config_of,
    group_of,
    main_metrics,
    types_of,
    values_of,
)
from plateaulens.report.effects import timing_sentences
from plateaulens.report.page import shown
from plateaulens.report.phrases import confidence_of
from plateaulens.report.table import KS_DIGITS, STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.taken import Taken
from plateaulens.report.text import escape, interval, listing, number
from plateaulens.store.location import locate
from plateaulens.store.reading import open_summary
from plateaulens.summary.verdicts import apart

EXPERIMENT = "sensitivity"
DIGITS = 1
_HEADING = "## Beside another model {#sec-models}"
_PICTURE = "models.svg"
_QUANTITIES = {
    "steepness_mean": ("steepness", DIGITS),
    "mean_difference": ("difference", STEP_DIGITS),
    "ks": ("KS", KS_DIGITS),
}

Runs = Mapping[str, xr.Dataset]


def section(summary: xr.DataTree, other: str, kept: Taken | None = None) -> Markdown:
    """The section, with its heading and a picture that is written to the working directory.

    Parameters
    ----------
    summary
        The summary of the run.
    other
        The path or URL of the summary that this one is set beside, or empty.
    kept
        Keeps the figure for the reader of a page.

    Returns
    -------
    IPython.display.Markdown
        Nothing without `other`. Where there is none, or where one of the two lacks relative steps, the section says so.

    Raises
    ------
    UsageError
        When `other` is no summary, or was made by another version.
    """
    return shown(_text(summary, other, kept or Taken("")) if other else "")


def _text(summary: xr.DataTree, other: str, kept: Taken) -> str:
    place = locate(other)
    if not place.exists():
        name = escape(Path(other).stem)
        return (
            f"{_HEADING}\n\nThis run is meant to be read beside {name}, of which there is no summary here: collect and "
            f"analyse the preset of that name, and render this report again."
        )
    with open_summary(place) as second:
        own, others = str(summary.attrs["name"]), str(second.attrs["name"])
        trees = {own: summary, others if others != own else f"{others} (the other)": check(second, place).load()}
    runs = {name: group for name, tree in trees.items() if (group := group_of(tree, EXPERIMENT)) is not None}
    if len(runs) < len(trees):
        return f"{_HEADING}\n\nThis summary and {escape(other)} do not both hold relative steps."
    types = shared_types(runs)
    figure = kept.keep("models", figures.beside(runs, types=[name for name in types if name != REFERENCE]))
    figure.savefig(_PICTURE, metadata={"Date": None})  # the same bytes every time
    table = models_table(runs).markdown()
    return "\n\n".join(
        [
            _HEADING,
            setting_sentence(trees),
            *(steepness_sentence(runs, metric) for metric in shared_metrics(runs)),
            *(f"**{escape(name)}.** {_timing(run.sel(activation_type=types))}" for name, run in runs.items()),
            f"::: {{#fig-models}}\n\n![]({_PICTURE}){{fig-alt='{_alternative(runs)}'}}\n\n{_caption(runs)}\n\n:::",
            *filter(None, [str(kept.links("models").data)]),
            f"::: {{#tbl-models}}\n\n{table}\n\n{_table_caption(runs)}\n\n:::",
        ]
    )


def shared_types(runs: Runs) -> list[str]:
    """The types that all runs have.

    Parameters
    ----------
    runs
        The same experiment of each, by name.

    Returns
    -------
    list of str
        In the first one's order.
    """
    first, *others = (types_of(run) for run in runs.values())
    return [name for name in first if all(name in other for other in others)]


def shared_metrics(runs: Runs) -> list[str]:
    """The main metrics that all runs have.

    Parameters
    ----------
    runs
        The same experiment of each, by name.

    Returns
    -------
    list of str
        In the order of `plateaulens.names.MAIN_METRICS`.
    """
    held = [values_of(run, "metric") for run in runs.values()]
    return [metric for metric in MAIN_METRICS if all(metric in each for each in held)]


def setting_sentence(trees: Mapping[str, xr.DataTree]) -> str:
    """What the runs measured, and what cannot be compared between them.

    Parameters
    ----------
    trees
        The summaries by name.

    Returns
    -------
    str
        Markdown.
    """
    items = []
    for name, tree in trees.items():
        config = config_of(tree)
        samples, sites = tree[EXPERIMENT].sizes["sample"], config.sites
        held = f", held {escape(', '.join(sites.frozen))}" if sites.frozen else ""
        items.append(
            f"{escape(name)} ({escape(sites.write)} to {escape(sites.read)}{held}, {number(samples, 0)} prompts of "
            f"{config.prompts.length} tokens, {escape(config.prompts.source)})"
        )
    return (
        f"Relative steps of {listing(items)}. Distances at the read site and plateau lengths are on each model's own "
        "scale and not compared; compared are when a curve blows up, as a part of the way, and how much steeper than a "
        "straight line it is there. @janiak2024 found stable regions, which end steeply, in the models of several "
        "families, and Gemma to be the exception."
    )


def steepness_sentence(runs: Runs, metric: str) -> str:
    """How steep the curves towards real targets are in each run, and in which one steeper, where intervals tell.

    Parameters
    ----------
    runs
        The same experiment of both, by name.
    metric
        Value of the coordinate `metric`.

    Returns
    -------
    str
        Markdown.
    """
    own = {name: run.sel(metric=metric, activation_type=REFERENCE) for name, run in runs.items()}
    ends = {name: bounds(values["steepness_mean_interval"]) for name, values in own.items()}
    items = [
        f"{number(float(own[name]['steepness_mean']), DIGITS)} times in {escape(name)} ({interval(ends[name], DIGITS)})"
        for name in own
    ]
    first, second = sorted(ends, key=lambda name: float(ends[name][0]))
    found = {
        "above": f"they are steeper in {escape(first)}",
        "below": f"they are steeper in {escape(second)}",
    }.get(apart(ends[first], ends[second]), f"{escape(first)} and {escape(second)} are not told apart")
    confidence = confidence_of(next(iter(own.values()))["steepness_mean_interval"])
    return (
        f"On {metric_label(metric)}, curves towards real targets are at their steepest {listing(items)} as steep as a "
        f"straight line (geometric means, {confidence} intervals): {found}."
    )


def models_table(runs: Runs) -> Table:
    """Steepness, mean difference to real and KS distance of the shared types in every run; metrics below each other.

    Parameters
    ----------
    runs
        The same experiment of each, by name.

    Returns
    -------
    Table
        A row per type and metric, and a column per quantity and run.
    """
    columns = {"metric": Column(kind="metric"), "type": TYPE}
    for quantity, (title, digits) in _QUANTITIES.items():
        for name in runs:
            columns |= estimated(f"{title}, {escape(name)}", quantity, digits, name=_column(name, quantity))
    rows = [
        {"metric": metric, "type": kind} | _row(runs, metric, kind)
        for metric in shared_metrics(runs)
        for kind in shared_types(runs)
    ]
    return Table(pd.DataFrame(rows), columns, grouped_by="metric")


def _row(runs: Runs, metric: str, kind: str) -> Row:
    row: Row = {}
    for name, run in runs.items():
        for _, values in compared(run, [metric]):
            for quantity in _QUANTITIES:
                known = kind != REFERENCE or quantity == "steepness_mean"
                row |= measured(values.sel(activation_type=kind), quantity, _column(name, quantity), known=known)
    return row


def _column(name: str, quantity: str) -> str:
    return f"{name}: {quantity}"


def _timing(run: xr.Dataset) -> str:
    metrics = main_metrics(run) if compared_types(run) else main_metrics(run)[:1]
    return " ".join(timing_sentences(run, metric=metric) for metric in metrics)


def _caption(runs: Runs) -> str:
    first, second = (escape(name) for name in runs)
    confidence = confidence_of(next(iter(runs.values()))["mean_difference_interval"])
    return (
        "Above, mean curves divided by their last point (less steep than single ones, which jump at different steps); "
        f"below, mean paired difference to real of the max-slope step, with {confidence} intervals. Solid lines and "
        f"filled marks: {first}; dashed lines and open marks: {second}."
    )


def _table_caption(runs: Runs) -> str:
    confidence = confidence_of(next(iter(runs.values()))["steepness_mean_interval"])
    return (
        f"Relative steps in both models: steepness (geometric mean), mean paired difference to real of the max-slope "
        f"step, and KS distance to real, with {confidence} bootstrap intervals in brackets."
    )


def _alternative(runs: Runs) -> str:
    return (
        f"Two panels of rising curves, solid and dashed, for the {len(runs)} runs; below them rows of marks with bars, "
        "one row per activation type, around a line at zero."
    )
