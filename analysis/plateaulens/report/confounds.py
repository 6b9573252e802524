"""Do types differ at equal geometry? Sentences, a table and captions."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import CUT, experiment, label, metric_label, path_label
from plateaulens.report.contents import BLOWUP, compared_types, main_metrics, synthetic_types, values_of
from plateaulens.report.phrases import NOTHING_TO_COMPARE, alike, are, confidence_of, unmeasured
from plateaulens.report.table import STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import estimate, listing, number

_ADJUSTMENTS = {"none": "as it is", "path_length": "equal path length", "all": "equal geometry"}
_EQUAL = "path_length"
"""What sentences and the columns of changes adjust for, and base prompts are matched on."""
_MOVED = {"shrinks": "shrinks", "grows": "grows", "turns": "turns round"}
"""By the summary's word, what a difference does."""


def adjusted_sentences(
    confounds: xr.Dataset, *, metrics: Sequence[str] | None = None, path: str = "sensitivity"
) -> str:
    """What becomes of the differences to real at equal path length, and what that is shown to change.

    Each is for itself: these are no verdicts on all types together. A change is claimed where its own interval excludes
    0, and no difference is ever called explained.

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
    changes = alike({metric_label(metric): _changes(values.sel(metric=metric)) for metric in shown})
    return f"At equal path length ({path_label(path)}), {text[0].lower()}{text[1:]} {changes}"


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
    columns |= estimated("change, regression", "adjusted_change", STEP_DIGITS)
    columns |= estimated("matched", "matched_difference", STEP_DIGITS)
    columns |= estimated("change, matching", "matched_change", STEP_DIGITS)
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
        f"counting as the window's end: as it is; by regression at equal path length and at equal geometry; and over "
        f"the base prompts whose two paths agree to {caliper} standard deviations (matched). *Change*: the difference "
        f"as it is minus that at equal path length, of the same base prompts. Only where its interval excludes 0 is "
        f"the path length shown to matter: an adjusted interval that holds 0 shows nothing by itself. *No overlap*: "
        f"the data hold no equal targets. {_robust(confounds)} intervals, not adjusted for their number."
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
        matched = _than_real(str(own["matched_fate"].sel(covariate=_EQUAL).item()))
        both = f"{regressed} by regression and by matching"
        each = f"{regressed} by regression, {matched} by matching"
        groups.setdefault(both if regressed == matched else each, []).append(name)
    return "; ".join(f"{are(types)} {words}" for words, types in groups.items())


def _changes(values: xr.Dataset) -> str:
    """The differences that regression at equal path length is shown to change, each with its change."""
    own = values.sel(adjustment=_EQUAL)
    found: dict[str, list[str]] = {}
    for name in synthetic_types(own):
        change = own.sel(activation_type=name)
        if (word := str(change["adjusted_movement"].item())) in _MOVED:
            steps = abs(change["adjusted_change"].item())
            ends = sorted(abs(change["adjusted_change_interval"].to_numpy()))
            found.setdefault(word, []).append(f"{label(name)} (by {estimate(steps, ends, STEP_DIGITS)} steps)")
    clauses = [f"the difference {_MOVED[word]} for {listing(types)}" for word, types in found.items()]
    return "; ".join(clauses) or "regression shows no change of any difference"


def _than_real(fate: str) -> str:
    return f"{fate} than real" if fate.endswith(("earlier", "later")) else fate


def _row(values: xr.Dataset, name: str) -> Row:
    row: Row = {"type": name}
    for adjustment in _ADJUSTMENTS:
        own = values.sel(adjustment=adjustment)
        row |= measured(own, "adjusted_difference", adjustment) | {f"{adjustment}_beyond": not bool(own["overlap"])}
    matched = values.sel(covariate=_EQUAL)
    return (
        row
        | measured(values.sel(adjustment=_EQUAL), "adjusted_change")
        | measured(matched, "matched_difference")
        | measured(matched, "matched_change")
        | {"matched_prompts": int(matched["matched_prompts"])}
    )


def _robust(confounds: xr.Dataset) -> str:
    return f"robust {confidence_of(confounds['adjusted_difference_interval'])}"
