"""The authors' published numbers for GPT-2 beside this run's: sentences, a table and its caption."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import REFERENCE, metric_label
from plateaulens.replication.comparison import their_moments
from plateaulens.replication.reference import read_reference
from plateaulens.report.contents import BLOWUP, config_of, group_of, types_of, values_of
from plateaulens.report.table import KS_DIGITS, STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import escape

_MEASURED = ["experiment", "statistic", "metric", "activation_type"]
_MEAN_AND_SD = "{} ({})"


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
    return (
        f"Means (population SD) of steps, and Kolmogorov-Smirnov distances to real. *GPT-2*: what the authors printed. "
        f"*Here*: this run ({escape(model)}) under the authors' conventions, its steps counted on their grid of 100 "
        f"points. *Corrected*: the KS distance under the corrected conventions. Intervals are uniform bands."
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
