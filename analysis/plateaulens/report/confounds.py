"""Do types differ at equal geometry? Sentences, a table and captions."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import CUT, experiment, metric_label, path_label
from plateaulens.report.contents import BLOWUP, compared_types, main_metrics, synthetic_types, values_of
from plateaulens.report.phrases import NOTHING_TO_COMPARE, alike, are, confidence_of, unmeasured
from plateaulens.report.table import STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import number

_ADJUSTMENTS = {"none": "as it is", "path_length": "equal path length", "all": "equal geometry"}
_MATCHED = "path_length"
"""What base prompts are matched on."""


def adjusted_sentences(
    confounds: xr.Dataset, *, metrics: Sequence[str] | None = None, path: str = "sensitivity"
) -> str:
    """What becomes of the differences to real at equal path length, by regression and of matched base prompts.

    Each is for itself: these are no verdicts on all types together.

    Parameters
    ----------
    confounds
        The group `confounds`.
    metrics
        The main ones unless given.
    path
        Value of the coordinate `path`.

    Returns
    -------
    str
        Markdown.
    """
    if path not in values_of(confounds, "path"):
        return f"The run has no {path_label(path)} to compare at equal path length."
    if not synthetic_types(confounds):
        return NOTHING_TO_COMPARE
    if BLOWUP not in values_of(confounds, "statistic"):
        return unmeasured(BLOWUP)
    values = confounds.sel(path=path, statistic=BLOWUP)
    shown = main_metrics(confounds) if metrics is None else metrics
    text = alike({metric_label(metric): _fates(values.sel(metric=metric)) for metric in shown})
    return f"At equal path length ({path_label(path)}), {text[0].lower()}{text[1:]}"


def confounds_table(confounds: xr.Dataset, *, metric: str, paths: Sequence[str] | None = None) -> Table:
    """Mean differences to real as they are, at equal path length, at equal geometry, and of matched base prompts.

    Parameters
    ----------
    confounds
        The group `confounds`.
    metric
        Value of the coordinate `metric`.
    paths
        Values of the coordinate `path`; unless given all those of experiments that are about the max-slope step.

    Returns
    -------
    Table
        A row per path and type; those that the group lacks have none.
    """
    is_there = metric in values_of(confounds, "metric") and BLOWUP in values_of(confounds, "statistic")
    held = values_of(confounds, "path") if is_there else []
    shown = [path for path in held if _statistic(path) == BLOWUP] if paths is None else paths
    rows = [
        {"path": path} | _row(confounds.sel(path=path, statistic=BLOWUP, metric=metric, activation_type=name), name)
        for path in shown
        if path in held
        for name in compared_types(confounds)
    ]
    columns = {"path": Column(words={path: path_label(path) for path in held}), "type": TYPE}
    for adjustment, title in _ADJUSTMENTS.items():
        instead = (f"{adjustment}_beyond", "no overlap")
        columns |= estimated(title, "adjusted_difference", STEP_DIGITS, name=adjustment, instead=instead)
    columns |= estimated("matched", "matched_difference", STEP_DIGITS)
    columns["matched_prompts"] = Column("prompts", "count")
    return Table(pd.DataFrame(rows), columns, grouped_by="path")


def confounds_table_caption(confounds: xr.Dataset, *, metric: str) -> str:
    """For `confounds_table`.

    Parameters
    ----------
    confounds
        The group `confounds`.
    metric
        Value of the coordinate `metric`.

    Returns
    -------
    str
        Markdown.
    """
    caliper = number(confounds["matched_prompts"].attrs["caliper"], 1)
    return (
        f"Mean difference of the max-slope step to real on {metric_label(metric)}, in steps, a curve without one "
        f"counting as the window's end: as it is; by regression at equal path length and at equal geometry "
        f"({_robust(confounds)} intervals); and over the base prompts whose two paths agree to {caliper} standard "
        f"deviations (matched; bootstrap intervals). *No overlap*: the data hold no equal targets. Intervals are not "
        f"adjusted for their number."
    )


def adjusted_differences_caption(confounds: xr.Dataset, *, metric: str) -> str:
    """For `plateaulens.figures.adjusted_differences`.

    Parameters
    ----------
    confounds
        The group `confounds`.
    metric
        Value of the coordinate `metric`.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Mean difference of the max-slope step to real on {metric_label(metric)}, with {_robust(confounds)} "
        f"intervals: as it is, and by regression at equal path length and at equal geometry (path length, norm, cosine "
        f"to the base, distance from the mean base). *To the target*: both paths of a prompt end at the nearer target."
    )


def _statistic(path: str) -> str:
    """Which statistic the experiment is about whose paths these are."""
    return experiment(path.removesuffix(CUT)).statistic


def _fates(values: xr.Dataset) -> str:
    groups: dict[str, list[str]] = {}
    for name in synthetic_types(values):
        own = values.sel(activation_type=name)
        regressed = _than_real(str(own["adjusted_fate"].sel(adjustment="path_length").item()))
        matched = _than_real(str(own["matched_fate"].sel(covariate=_MATCHED).item()))
        both = f"{regressed} by regression and by matching"
        each = f"{regressed} by regression, {matched} by matching"
        groups.setdefault(both if regressed == matched else each, []).append(name)
    return "; ".join(f"{are(types)} {words}" for words, types in groups.items())


def _than_real(fate: str) -> str:
    return f"{fate} than real" if fate.endswith(("earlier", "later")) else fate


def _row(values: xr.Dataset, name: str) -> Row:
    row: Row = {"type": name}
    for adjustment in _ADJUSTMENTS:
        own = values.sel(adjustment=adjustment)
        row |= measured(own, "adjusted_difference", adjustment) | {f"{adjustment}_beyond": not bool(own["overlap"])}
    matched = values.sel(covariate=_MATCHED)
    return row | measured(matched, "matched_difference") | {"matched_prompts": int(matched["matched_prompts"])}


def _robust(confounds: xr.Dataset) -> str:
    return f"robust {confidence_of(confounds['adjusted_difference_interval'])}"
