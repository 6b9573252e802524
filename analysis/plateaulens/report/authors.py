"""The authors' published numbers for GPT-2 beside this run's: sentences, a table and its caption."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import MAIN_METRICS, REFERENCE, metric_label
from plateaulens.replication.comparison import PLATEAU_END, steps_scale, their_moments
from plateaulens.replication.reference import read_reference
from plateaulens.report.contents import BLOWUP, config_of, group_of, settings_of, types_of, values_of
from plateaulens.report.table import KS_DIGITS, STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import escape, listing, number

_MEASURED = ["experiment", "statistic", "metric", "activation_type"]
_MEAN_AND_SD = "{} ({})"
_PLATEAU = "plateau"


def comparable(summary: xr.DataTree) -> list[dict[str, Any]]:
    """The authors' numbers for what this run has measured as well: of several printings the first.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    list of dict
        Rows of `plateaulens.replication.reference.read_reference`.
    """
    rows = read_reference().dropna(subset="mean").drop_duplicates(_MEASURED).to_dict("records")
    named = [{str(key): value for key, value in row.items()} for row in rows]
    return [row for row in named if _is_measured(summary, *(row[key] for key in _MEASURED))]


def authors_table(summary: xr.DataTree) -> Table:
    """Mean, SD and KS of the authors' GPT-2 runs, and this run's under the authors' own conventions.

    What is measured stands in bold above the types that it was measured for. The authors' conventions are not the
    corrected ones of the other tables, whose KS distances stand in the last column: an event that does not happen is
    given the last step, and the search ends where the path reaches its target. Their steps are the authors' too: parts
    of a path with 100 points.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    Table
        A row per number that the authors printed.
    """
    columns = {
        "measured": Column(),
        "type": TYPE,
        "authors_mean": Column("GPT-2", "number", STEP_DIGITS, also="authors_sd", pattern=_MEAN_AND_SD),
        "authors_ks": Column("GPT-2, KS", "number", KS_DIGITS),
        "mean": Column("here", "number", STEP_DIGITS, also="sd", pattern=_MEAN_AND_SD),
        **estimated("here, KS", "ks", KS_DIGITS),
        **estimated("corrected, KS", "ks", KS_DIGITS, name="corrected_ks"),
    }
    rows = [_row(summary, row) for row in comparable(summary)]
    return Table(pd.DataFrame(rows), columns, grouped_by="measured")


def authors_table_caption(summary: xr.DataTree) -> str:
    """For `authors_table`.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown.
    """
    model = config_of(summary).model.source
    measured_here = list(dict.fromkeys(row["experiment"] for row in comparable(summary)))
    return (
        f"Means (population SD) of steps, and Kolmogorov-Smirnov distances to real. *GPT-2*: what the authors printed. "
        f"*Here*: this run ({escape(model)}) under the authors' conventions.{_scaled(summary, measured_here)}"
        f"{_ended(summary, measured_here)} *Corrected*: the KS distance under the corrected conventions. Intervals are "
        f"uniform bands."
    )


def source_table(summary: xr.DataTree) -> Table:
    """Where the authors printed the numbers of `authors_table`.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    Table
        A row per cell of a notebook and what it prints.
    """
    places: dict[str, list[str]] = {}
    for row in comparable(summary):
        what = _measured(row["experiment"], row["statistic"], row["metric"])
        places.setdefault(row["source"], []).append(what)
    rows = [{"source": source, "measured": "; ".join(dict.fromkeys(what))} for source, what in places.items()]
    return Table(pd.DataFrame(rows), {"source": Column("printed in", "text"), "measured": Column("measured")})


def authors_sentences(summary: xr.DataTree) -> str:
    """Which model the authors' numbers are for, how this run's relates to it, and where the numbers were printed.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown.
    """
    model = config_of(summary).model.source
    rows = comparable(summary)
    if model.rpartition("/")[2] == "gpt2":
        relation = "This run measures the same model, with other code and other prompts."
    else:
        relation = f"This run measures another model, {escape(model)}, so agreement number by number is not expected."
    if not rows:
        return f"The authors' numbers are for GPT-2. {relation} They printed none for what this run has measured."
    return f"The authors' numbers are for GPT-2. {relation} Where they were printed is in @tbl-sources."


def _row(summary: xr.DataTree, authors: Mapping[str, Any]) -> Row:
    name, statistic, metric, kind = (authors[key] for key in _MEASURED)
    experiment = summary[name].to_dataset()
    moments = their_moments(experiment, statistic, metric, kind)
    values = experiment.sel(statistic=statistic, metric=metric, activation_type=kind)
    here, corrected = (values.sel(convention=convention) for convention in reversed(names.CONVENTIONS))
    return {
        "measured": _measured(name, statistic, metric),
        "type": kind,
        "authors_mean": float(authors["mean"]),
        "authors_sd": float(authors["sd"]),
        "authors_ks": float(authors["ks"]),
        "mean": moments.mean,
        "sd": moments.sd,
        **measured(here, "ks", known=kind != REFERENCE),
        **measured(corrected, "ks", "corrected_ks", known=kind != REFERENCE),
    }


def _scaled(summary: xr.DataTree, experiments: Sequence[str]) -> str:
    """By what the steps of each experiment are multiplied."""
    scales: dict[str, list[str]] = {}
    for name in experiments:
        scale = number(steps_scale(summary[name].to_dataset()), 2)
        scales.setdefault(scale, []).append(names.experiment(name).short)
    if not scales:
        return ""
    said = listing([f"{scale} ({listing(shorts)})" for scale, shorts in scales.items()])
    return f" Steps are multiplied by {said}, from this run's grid to theirs of 100 points."


def _ended(summary: xr.DataTree, experiments: Sequence[str]) -> str:
    """Where the authors' plateaus end, and where those of the other tables do."""
    if _PLATEAU not in experiments:
        return ""
    own = settings_of(summary).plateau_threshold.get(MAIN_METRICS[0])
    elsewhere = f", in the other tables {own:g}" if own else ""
    return f" Plateaus end at an {metric_label(MAIN_METRICS[0])} distance of {PLATEAU_END:g}{elsewhere}."


def _measured(name: str, statistic: str, metric: str) -> str:
    """The statistic and the metric; with the experiment where its steps are of one length."""
    experiment = names.experiment(name)
    is_absolute = experiment.steps == "fixed" and experiment.statistic == BLOWUP
    setting = f", {experiment.short}" if is_absolute else ""
    return f"{names.statistic(statistic).title}, {metric_label(metric)}{setting}"


def _is_measured(summary: xr.DataTree, name: str, statistic: str, metric: str, activation_type: str) -> bool:
    experiment = group_of(summary, name)
    return (
        experiment is not None
        and statistic in values_of(experiment, "statistic")
        and metric in values_of(experiment, "metric")
        and activation_type in types_of(experiment)
    )
