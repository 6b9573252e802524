"""Curves whose event never comes: a sentence, a table and captions."""

from collections.abc import Sequence
from math import isnan

import xarray as xr

from plateaulens import names
from plateaulens.names import REFERENCE, label, metric_label
from plateaulens.report.contents import BLOWUP, compared, types_of, values_of
from plateaulens.report.phrases import confidence_of, level, main_types, prompts, unmeasured
from plateaulens.report.table import STEP_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import listing, percent

_COLUMNS = {
    "type": TYPE,
    "censored_fraction": Column("censored", "percent", 1),
    "last_step_fraction": Column("last step", "percent", 1),
    "sentinel_mean": Column("sentinel mean", "number", STEP_DIGITS),
    **estimated("restricted mean", "restricted_mean", STEP_DIGITS),
    **estimated("difference", "restricted_mean_difference", STEP_DIGITS),
    "logrank_p": Column("p", "p"),
    "paired_logrank_p": Column("p, paired", "p"),
}


def censoring_sentence(experiment: xr.Dataset, *, statistic: str = BLOWUP) -> str:
    """How many curves lack the event, and how many are steepest where the window ends: largest shares.

    The second is said of max-slope steps alone, of shares that the summary calls large: a curve that is
    steepest at the last step may be steeper beyond it, so its step is a lower bound rather than a step. Another event,
    such as a crossing, has happened there.

    Parameters
    ----------
    experiment
        An experiment's group.
    statistic
        Whose event it is.

    Returns
    -------
    str
        Markdown.
    """
    event = names.statistic(statistic).event
    found = _largest(experiment, "censored_fraction", statistic)
    if found is None:
        return unmeasured(statistic)
    share, where = found
    said = (
        f"At most {percent(share, 1)} of a type's curves do not {event} inside the window and are censored: those of "
        f"{where}."
    )
    if share == 0:
        said = f"No curve is censored: all {event} inside the window."
    return " ".join([said, *_at_the_end(experiment, statistic)])


def _at_the_end(experiment: xr.Dataset, statistic: str) -> list[str]:
    if statistic != BLOWUP:
        return []
    large = experiment["last_step_fraction"].where(experiment["last_step_large"])
    found = _largest(experiment.assign(last_step_fraction=large), "last_step_fraction", statistic)
    if found is None:
        return []
    return [
        f"Up to {percent(found[0], 1)} are steepest at the window's last step, those of {found[1]}.",
        "They may be steeper beyond it, so that their steps are too early.",
    ]


_MOST_NAMED = 2
"""Of several that tie, how many are named."""


def _largest(experiment: xr.Dataset, quantity: str, statistic: str) -> tuple[float, str] | None:
    """The largest share over types and metrics, and whose it is, all that tie; None where nothing is known."""
    shares = [
        (float(values[quantity].sel(activation_type=kind)), f"{label(kind)} on {metric_label(metric)}")
        for metric, values in compared(experiment, values_of(experiment, "metric"), statistic)
        for kind in types_of(values)
    ]
    known = [share for share, _ in shares if not isnan(share)]
    if not known:
        return None
    whose = [own for share, own in shares if share == max(known)]
    some = listing(whose) if len(whose) <= _MOST_NAMED else f"{len(whose)} of {len(shares)} pairs of type and metric"
    return max(known), some


def censoring_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Censored curves as observations (log-rank, restricted mean) beside the authors' sentinel.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose event it is.

    Returns
    -------
    Table
        A row per type and metric.
    """
    authors = experiment["mean"].sel(convention="authors")

    def rows(values: xr.Dataset) -> list[Row]:
        sentinel = authors.sel(statistic=values["statistic"], metric=values["metric"])
        return [
            _row(values.sel(activation_type=name), name, float(sentinel.sel(activation_type=name)))
            for name in types_of(values)
        ]

    return by_metric(experiment, metrics, statistic, rows, _COLUMNS)


def censoring_table_caption(experiment: xr.Dataset) -> str:
    """For `censoring_table`.

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
        f"Censoring, max-slope steps, {prompts(experiment)}. *Last step*: the share that is steepest there. *Sentinel "
        f"mean*: the authors' convention, in which a curve that does not blow up has step 99. Its steps are this "
        f"run's, not yet multiplied as in @tbl-authors. For absolute steps its search ends where the path reaches its "
        f"target, and for relative ones before step 100. A curve that is steepest later has another step then. "
        f"*Restricted mean*: of the step or the window's end, whichever is first, with its paired difference to "
        f"real and {level(experiment)} bootstrap intervals. *p*: of the log-rank test against real, with the pairing "
        f"ignored. *p, paired*: with the pairing respected. Neither is adjusted."
    )


def survival_curves_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.survival_curves`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    confidence = confidence_of(experiment["survival_band"])
    return (
        f"Kaplan-Meier curves of the max-slope step for {main_types(experiment)}, {prompts(experiment)}. They show the "
        f"share of curves that have not blown up, with simultaneous {confidence} bands, and end at the share that is "
        f"censored."
    )


def _row(values: xr.Dataset, name: str, sentinel: float) -> Row:
    compared_with_real = name != REFERENCE
    nothing = float("nan")
    return {
        "type": name,
        "censored_fraction": float(values["censored_fraction"]),
        "last_step_fraction": float(values["last_step_fraction"]),
        "sentinel_mean": sentinel,
        **measured(values, "restricted_mean"),
        **measured(values, "restricted_mean_difference", known=compared_with_real),
        "logrank_p": float(values["logrank_p"]) if compared_with_real else nothing,
        "paired_logrank_p": float(values["paired_logrank_p"]) if compared_with_real else nothing,
    }
