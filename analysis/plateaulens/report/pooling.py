"""What all runs of a sweep say together: a sentence, a table and its caption."""

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.report.contents import bounds, compared_types, main_metrics, synthetic_types, word_of
from plateaulens.report.phrases import capital, confidence_of, happens, noun_of, on, subject
from plateaulens.report.sweep import experiment_of
from plateaulens.report.table import STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import interval, number

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
    sentences, held = [], synthetic_types(experiment)
    for metric in main_metrics(experiment):
        values = experiment.sel(metric=metric)
        where, own = f"{capital(on([metric]))}, over {number(_sites(experiment), 0)} sites together,", []
        for word, said in (("earlier", statistic.before), ("later", statistic.after)):
            found = [name for name in held if word_of(values, "pooled_direction", name) == word]
            sure = [name for name in found if word_of(values, "pooled_new_site", name) == word]
            if found:
                who = subject(found, held, noun_of(experiment))
                own.append(f"{where} {who.text} {happens(statistic.name, said, plural=who.is_plural)} than real.")
                own.append(_new(sure, found, held, noun_of(experiment)))
        none = f"{where} no type is shown to be {statistic.before} or {statistic.after} than real."
        sentences += own or [none]
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
        f"{_weighted(_sites(experiment))}: mean paired difference to real of the {statistic.label} with its "
        f"{confidence} interval, in steps. *Spread*: standard deviation of the sites' true differences. *A new site*: "
        f"{confidence} prediction interval for the true difference at a site that was not measured, if it is one like "
        f"these. That sites share their base prompts is accounted for. Runs at one write site count as one site, "
        f"unless there are too few write sites for that. Intervals are each for themselves."
    )


def _sites(experiment: xr.Dataset) -> int:
    """The most that any type has on any metric."""
    counts = experiment["pooled_sites"].to_numpy()
    return int(np.nanmax(counts)) if np.isfinite(counts).any() else 0


def _weighted(sites: int) -> str:
    return (
        f"All sites together, {number(sites, 0)} of them, each with the same weight"
        if sites not in {0, 1}
        else "All sites together"
    )


def _new(sure: list[str], found: list[str], held: list[str], noun: str) -> str:
    """Of which types a new site may be expected to show the same, in a sentence behind what is found."""
    if not sure:
        return "At a new site it need not be so."
    if sure == found:
        return "The same is to be expected at a new site."
    return f"At a new site the same is to be expected of {subject(sure, held, noun).text}."
