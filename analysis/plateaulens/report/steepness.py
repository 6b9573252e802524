"""How steeply the curves of each type jump: sentences, a table and its caption."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import REFERENCE, label, metric_label
from plateaulens.report.contents import bounds, main_metrics, synthetic_types, types_of
from plateaulens.report.phrases import NOTHING_TO_COMPARE, confidence_of, prompts
from plateaulens.report.table import TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import interval, listing, number

DIGITS = 2
_UNKNOWN = "not shown to differ in steepness from"
_WORDS = {"less steep": "less steep than", "steeper": "steeper than", "undecided": _UNKNOWN}
"""By the word of a summary's `steepness_relation`."""


def steepness_sentences(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None) -> str:
    """Which types' curves are less steep than those towards real targets, and which steeper, on each metric.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.

    Returns
    -------
    str
        Markdown, a paragraph for each.
    """
    if not synthetic_types(experiment):
        return NOTHING_TO_COMPARE
    shown = main_metrics(experiment) if metrics is None else metrics
    return "\n\n".join(_sentence(experiment.sel(metric=metric), metric) for metric in shown)


def steepness_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None) -> Table:
    """Every type's geometric mean steepness, and its ratio to real within base prompts.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.

    Returns
    -------
    Table
        A row per type, and a pair of columns per metric.
    """
    columns = {"type": TYPE}
    found: dict[str, Row] = {name: {"type": name} for name in types_of(experiment)}
    for metric in main_metrics(experiment) if metrics is None else metrics:
        title, mean, ratio = metric_label(metric), f"steepness_mean_{metric}", f"steepness_ratio_{metric}"
        columns |= estimated(title, "steepness_mean", DIGITS, name=mean)
        columns |= estimated(f"{title}, to real", "steepness_ratio", DIGITS, name=ratio)
        columns[count := f"steepness_n_{metric}"] = Column(f"{title}, curves", "count")
        for name, row in found.items():
            values = experiment.sel(metric=metric, activation_type=name)
            row.update(measured(values, "steepness_mean", mean))
            row[count] = int(values["steepness_n"])
            row.update(measured(values, "steepness_ratio", ratio, known=name != REFERENCE))
    return Table(pd.DataFrame(list(found.values())), columns)


def steepness_table_caption(experiment: xr.Dataset) -> str:
    """For `steepness_table`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    confidence = confidence_of(experiment["steepness_ratio_interval"])
    return (
        f"Steepness of the curves, {prompts(experiment)}: the largest rise of one step over the mean rise; geometric "
        f"means, and geometric mean ratios to real within base prompts, with {confidence} bootstrap intervals in "
        "brackets, each for itself; *curves*: how many blow up, which alone have a steepness."
    )


def _sentence(values: xr.Dataset, metric: str) -> str:
    on = f"On {metric_label(metric)}"
    real = values.sel(activation_type=REFERENCE)
    if not int(real["steepness_n"]):
        return f"{on}, no curve towards real targets blows up, so there is no steepness to compare with."
    groups: dict[str, list[str]] = {words: [] for words in _WORDS.values()}
    without = []
    for name in synthetic_types(values):
        own = values.sel(activation_type=name)
        ratio = number(float(own["steepness_ratio"]), DIGITS)
        ends = interval(bounds(own["steepness_ratio_interval"]), DIGITS)
        words = _WORDS.get(str(own["steepness_relation"].item()))
        if words is None:
            without.append(label(name))
        else:
            groups[words].append(f"{label(name)} ({ratio}, {ends})")
    clauses = [f"those towards {listing(items)} are {words} them" for words, items in groups.items() if items]
    if without:
        clauses.append(f"those towards {listing(without)} blow up in no base prompt in which real's do")
    steepest, ends = number(float(real["steepness_mean"]), 1), interval(bounds(real["steepness_mean_interval"]))
    confidence = confidence_of(values["steepness_ratio_interval"])
    return (
        f"{on}, curves towards real targets that blow up are at their steepest {steepest} times ({ends}) as "
        f"steep as a straight line; {'; '.join(clauses)} (ratios of steepness, {confidence} intervals, each for "
        f"itself).{_flat(values)}"
    )


def _flat(values: xr.Dataset) -> str:
    """How many curves have no steepness, by type; nothing where all have one."""
    curves = values.sizes["sample"]
    flat = {name: curves - int(values["steepness_n"].sel(activation_type=name)) for name in types_of(values)}
    items = [f"{number(count, 0)} towards {label(name)}" for name, count in flat.items() if count]
    return f" Curves that do not blow up have none: of {number(curves, 0)} each, {listing(items)}." if items else ""
