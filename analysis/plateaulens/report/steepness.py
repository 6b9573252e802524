"""How steeply the curves of each type jump: sentences, a table and its caption."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import REFERENCE, label, metric_label
from plateaulens.report.contents import bounds, main_metrics, synthetic_types, types_of, word_of
from plateaulens.report.phrases import NOTHING_TO_COMPARE, confidence_of, noun_of, prompts, subject
from plateaulens.report.table import TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import interval, number

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


def real_sentence(experiment: xr.Dataset) -> str:
    """How steep curves towards real targets are at their steepest, on each main metric.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    return " ".join(
        _real(experiment.sel(metric=metric, activation_type=REFERENCE), metric) for metric in main_metrics(experiment)
    )


def _real(real: xr.Dataset, metric: str) -> str:
    where = f"On {metric_label(metric)}"
    if not int(real["steepness_n"]):
        return f"{where}, no curve towards real targets blows up, so there is no steepness to compare with."
    steepest, ends = number(float(real["steepness_mean"]), 1), interval(bounds(real["steepness_mean_interval"]))
    key = f"{confidence_of(real['steepness_mean_interval'])} interval {ends}"
    return (
        f"{where}, curves towards real targets are {steepest} times as steep as a line where they rise most (geometric "
        f"mean, n\u00a0=\u00a0{number(int(real['steepness_n']), 0)}, {key})."
    )


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
        f"Steepness of the curves, {prompts(experiment)}: the largest rise of one step over the mean rise. Geometric "
        f"means, and geometric mean ratios to real within base prompts, with {confidence} bootstrap intervals in "
        "brackets, each for itself. *Curves*: how many blow up, which alone have a steepness."
    )


def _sentence(values: xr.Dataset, metric: str) -> str:
    here, held = f"On {metric_label(metric)}", synthetic_types(values)
    real = values.sel(activation_type=REFERENCE)
    if not int(real["steepness_n"]):
        return _real(real, metric)
    found: dict[str, list[str]] = {}
    for name in held:
        found.setdefault(word_of(values, "steepness_relation", name), []).append(name)
    sentences = [_real(real, metric)]
    for word, words in _WORDS.items():
        if types := found.get(word):
            who = subject(types, held, noun_of(values)).text
            sentences.append(f"{here}, curves towards {who} are {words} real: {_ratios(values, types)}.")
    if without := [name for name in held if word_of(values, "steepness_relation", name) not in _WORDS]:
        who = subject(without, held, noun_of(values)).text
        sentences.append(f"{here}, curves towards {who} blow up in no base prompt in which real's do.")
    return " ".join([*sentences, *_flat(values)])


def _ratios(values: xr.Dataset, types: Sequence[str]) -> str:
    """The smallest and the largest ratio of steepness, with whose it is."""
    ordered = sorted(types, key=lambda name: float(values["steepness_ratio"].sel(activation_type=name)))
    said = []
    for name in dict.fromkeys((ordered[0], ordered[-1])):
        own = values.sel(activation_type=name)
        ends = interval(bounds(own["steepness_ratio_interval"]), DIGITS)
        whose = f"; {label(name)}" if len(types) > 1 else ""
        said.append(f"{number(float(own['steepness_ratio']), DIGITS)} ({ends}{whose})")
    return f"{'ratios' if len(types) > 1 else 'a ratio of'} {' to '.join(said)}"


def _flat(values: xr.Dataset) -> list[str]:
    """How many curves have no steepness, for the type that has most of them; nothing where all have one."""
    curves = values.sizes["sample"]
    flat = {name: curves - int(values["steepness_n"].sel(activation_type=name)) for name in types_of(values)}
    most = max(flat, key=lambda name: flat[name])
    if not flat[most]:
        return []
    count = f"{number(flat[most], 0)} of {number(curves, 0)} of a type"
    return [f"Curves that do not blow up have none: at most {count}, those towards {label(most)}."]
