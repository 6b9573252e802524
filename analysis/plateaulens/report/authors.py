"""The authors' published numbers for GPT-2 beside this run's."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import pandas as pd
import xarray as xr

from plateaulens.names import label, metric_label
from plateaulens.replication.reference import read_reference
from plateaulens.report.contents import REFERENCE, config_of, experiment_of, types_of
from plateaulens.report.rows import KS_DIGITS, STEP_DIGITS, cell
from plateaulens.report.tables import STATISTICS
from plateaulens.report.text import MISSING, escape, listing, number

_MEASURED = ["experiment", "statistic", "metric", "activation_type"]


def comparable(summary: xr.DataTree) -> list[dict[str, Any]]:
    """The authors' numbers, as rows, for what this run has measured as well: of several printings the first."""
    rows = read_reference().dropna(subset="mean").drop_duplicates(_MEASURED).to_dict("records")
    named = [{str(key): value for key, value in row.items()} for row in rows]
    return [row for row in named if _is_measured(summary, *(row[key] for key in _MEASURED))]


def authors_table(summary: xr.DataTree) -> pd.DataFrame:
    """Mean, SD and KS of the authors' GPT-2 runs, and this run's under the authors' own conventions.

    What is measured stands in bold above the types that it was measured for. The authors' conventions are not the
    corrected ones of the other tables, whose KS distances stand in the last column: an event that does not happen is
    given the last step, and the search ends where the path reaches its target.
    """
    rows: list[dict[str, str]] = []
    for measured, group in groupby(comparable(summary), key=_measured):
        rows.append({"type": f"**{measured}**"})
        rows.extend(_row(summary, row) for row in group)
    return pd.DataFrame(rows).fillna("")


def authors_sentences(summary: xr.DataTree) -> str:
    """Which model the authors' numbers are for, how this run's relates to it, and where the numbers were printed."""
    model = config_of(summary).model.source
    rows = comparable(summary)
    if model.rpartition("/")[2] == "gpt2":
        relation = "This run measures the same model, with other code and other prompts."
    else:
        relation = f"This run measures another model, {escape(model)}, so agreement number by number is not expected."
    if not rows:
        return f"The authors' numbers are for GPT-2. {relation} They printed none for what this run has measured."
    printed = listing(list(dict.fromkeys(escape(row["source"]) for row in rows)))
    place = f"They were printed in the authors' notebooks (cells c, commits @): {printed}."
    return f"The authors' numbers are for GPT-2. {relation} {place}"


def _row(summary: xr.DataTree, authors: Mapping[str, Any]) -> dict[str, str]:
    name, statistic, metric, activation_type = (authors[key] for key in _MEASURED)
    experiment = experiment_of(summary, name)
    assert experiment is not None
    here = experiment.sel(convention="authors", statistic=statistic, metric=metric, activation_type=activation_type)
    corrected = experiment.sel(
        convention="corrected", statistic=statistic, metric=metric, activation_type=activation_type
    )
    is_reference = activation_type == REFERENCE
    return {
        "type": label(activation_type),
        "GPT-2": _mean(authors["mean"], authors["sd"]),
        "GPT-2, KS": number(authors["ks"], KS_DIGITS),
        "here": _mean(float(here["mean"]), float(here["sd"])),
        "here, KS": MISSING if is_reference else cell(here, "ks", KS_DIGITS),
        "corrected, KS": MISSING if is_reference else cell(corrected, "ks", KS_DIGITS),
    }


def _measured(authors: Mapping[str, Any]) -> str:
    setting = ", absolute" if authors["experiment"] == "sensitivity_absolute" else ""
    return f"{STATISTICS[authors['statistic']]}, {metric_label(authors['metric'])}{setting}"


def _is_measured(summary: xr.DataTree, name: str, statistic: str, metric: str, activation_type: str) -> bool:
    experiment = experiment_of(summary, name)
    return (
        experiment is not None
        and statistic in experiment["statistic"].values
        and metric in experiment["metric"].values
        and activation_type in types_of(experiment)
    )


def _mean(mean: float, sd: float) -> str:
    return f"{number(mean, STEP_DIGITS)} ({number(sd, STEP_DIGITS)})"
