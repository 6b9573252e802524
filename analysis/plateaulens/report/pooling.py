"""What all runs of a sweep say together: a sentence, a table and its caption."""

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import label, metric_label
from plateaulens.report.contents import bounds, compared_types, main_metrics, synthetic_types, word_of
from plateaulens.report.phrases import confidence_of
from plateaulens.report.sweep import experiment_of
from plateaulens.report.table import STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import interval, listing, number

_COLUMNS = {
    "metric": Column(kind="metric"),
    "type": TYPE,
    **estimated("mean over sites", "pooled_difference", STEP_DIGITS),
    "pooled_spread": Column("spread", "number", STEP_DIGITS),
    "new": Column("a new site", "text"),
}


def pooled_sentence(summary: xr.DataTree) -> str:
    """Which types come later or earlier than real over all sites, and at which a new site is expected to, too.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    experiment = experiment_of(summary)
    if (experiment["pooled_direction"] == "undefined").all():
        return "The sweep has too few sites to say something of all of them together, or of a further one."
    statistic = names.statistic(str(experiment["pooled_difference"].attrs["statistic"]))
    sentences = []
    for metric in main_metrics(experiment):
        values = experiment.sel(metric=metric)
        clauses = []
        for word, said in (("earlier", statistic.before), ("later", statistic.after)):
            found = [name for name in synthetic_types(experiment) if word_of(values, "pooled_direction", name) == word]
            sure = [name for name in found if word_of(values, "pooled_new_site", name) == word]
            if found:
                clauses.append(f"{listing([label(name) for name in found])} {said} than real ({_new(sure, found)})")
        none = f"no type is shown to be {statistic.before} or {statistic.after} than real"
        sentences.append(
            f"On {metric_label(metric)}, over {number(_sites(experiment), 0)} sites together: "
            f"{'; '.join(clauses) or none}."
        )
    return " ".join(sentences)


def pooled_table(summary: xr.DataTree) -> Table:
    """Per metric and type, the mean difference over all sites, their spread, and where a new site's is to be expected.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per metric and type.
    """
    experiment = experiment_of(summary)
    rows: list[Row] = []
    for metric in main_metrics(experiment):
        for name in compared_types(experiment):
            own = experiment.sel(metric=metric, activation_type=name)
            ends = bounds(own["pooled_prediction_interval"])
            rows.append(
                {
                    "metric": metric,
                    "type": name,
                    **measured(own, "pooled_difference"),
                    "pooled_spread": float(own["pooled_spread"]),
                    "new": interval(ends.tolist(), STEP_DIGITS) if np.isfinite(ends).all() else None,
                }
            )
    return Table(pd.DataFrame(rows), _COLUMNS, grouped_by="metric")


def pooled_table_caption(summary: xr.DataTree) -> str:
    """For `pooled_table`.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    experiment = experiment_of(summary)
    confidence = confidence_of(experiment["pooled_difference_interval"])
    statistic = names.statistic(str(experiment["pooled_difference"].attrs["statistic"]))
    return (
        f"All sites together, {number(_sites(experiment), 0)} of them, each with the same weight: mean paired "
        f"difference to real of the {statistic.label} with its {confidence} interval, in steps; *spread*: standard "
        f"deviation of the sites' true differences; *a new site*: {confidence} prediction interval for the true "
        f"difference at a site that was not measured, if it is one like these. That sites share their base prompts is "
        f"accounted for; runs at one write site count as one site, unless there are too few write sites for that. "
        f"Intervals are each for themselves."
    )


def _sites(experiment: xr.Dataset) -> int:
    """The most that any type has on any metric."""
    counts = experiment["pooled_sites"].to_numpy()
    return int(np.nanmax(counts)) if np.isfinite(counts).any() else 0


def _new(sure: list[str], found: list[str]) -> str:
    """Of which types a new site may be expected to show the same."""
    if not sure:
        return "at a new site it need not be so"
    return (
        "at a new site as well"
        if sure == found
        else f"at a new site as well: {listing([label(name) for name in sure])}"
    )
