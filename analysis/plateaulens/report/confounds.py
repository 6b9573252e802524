"""Do types differ at equal geometry? Sentences, a table and captions."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import CUT, experiment, metric_label, path_label
from plateaulens.report.contents import BLOWUP, compared_types, main_metrics, synthetic_types, values_of, word_of
from plateaulens.report.phrases import (
    NOTHING_TO_COMPARE,
    Said,
    capital,
    confidence_of,
    grouped,
    happens,
    noun_of,
    on,
    subject,
    unmeasured,
)
from plateaulens.report.table import STEP_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import number

_ADJUSTMENTS = {"none": "as it is", "path_length": "equal path length", "all": "equal geometry"}
_EQUAL = "path_length"
"""What sentences and the columns of changes adjust for, and base prompts are matched on."""
_METHODS = {"adjusted": "by regression", "matched": "by matching"}
_MOVED = {"shrinks": "is smaller", "grows": "is larger", "turns": "changes sign"}
"""By the summary's word, what a difference does at equal path length."""


def adjusted_sentences(
    confounds: xr.Dataset, *, metrics: Sequence[str] | None = None, path: str = "sensitivity"
) -> str:
    """What becomes of the differences to real at equal path length, and what that is shown to change.

    A sentence for each verdict, with the types, methods and metrics that it holds for; the table has the numbers. A
    change is claimed where it is shown among those of all types, and no difference is ever called explained.

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
        return f"The run has no {_steps(path)} to compare at equal path length."
    if not synthetic_types(confounds):
        return NOTHING_TO_COMPARE
    if BLOWUP not in values_of(confounds, "statistic"):
        return unmeasured(BLOWUP)
    values = confounds.sel(path=path, statistic=BLOWUP)
    shown = main_metrics(confounds) if metrics is None else metrics
    sentences = [f"The differences of {_steps(path)} are compared at equal path length (@tbl-confounds)."]
    for fate, where, types in _said(values, shown, "fate"):
        sentences.append(f"{capital(_fate(fate, types, values))} {_places(where, shown)}.")
    changes = [each for each in _said(values, shown, "movement") if each.word in _MOVED]
    for movement, where, types in changes:
        whose = subject(types, synthetic_types(values), noun_of(values)).text
        sentences.append(f"The difference of {whose} {_MOVED[movement]} {_places(where, shown)}.")
    other = "other " if changes else ""
    return f"{' '.join(sentences)} No {other}difference is shown to change."


def still_sentence(confounds: xr.Dataset, *, path: str = "sensitivity") -> str:
    """How many differences to real are still there at equal path length, on the main metrics, by each method.

    Parameters
    ----------
    confounds
        The group `confounds`.
    path
        Value of the coordinate `path`.

    Returns
    -------
    str
        A sentence by method, which names the direction where all that it finds have the same.
    """
    held = synthetic_types(confounds)
    if path not in values_of(confounds, "path"):
        return f"The run has no {_steps(path)} to compare at equal path length."
    if not held:
        return NOTHING_TO_COMPARE
    if BLOWUP not in values_of(confounds, "statistic"):
        return unmeasured(BLOWUP)
    values = confounds.sel(path=path, statistic=BLOWUP)
    of = f" of {len(held)} {noun_of(values)}{'' if len(held) == 1 else 's'}"
    return (
        f"For {_steps(path)} at equal path length, regression {_finds(values, 'adjusted_fate', of)} "
        f"Matching {_finds(values, 'matched_fate')}"
    )


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
    columns["adjusted_change"] = Column("change, regression", "estimate", STEP_DIGITS, starred="adjusted_moves")
    columns |= estimated("matched", "matched_difference", STEP_DIGITS)
    columns["matched_change"] = Column("change, matching", "estimate", STEP_DIGITS, starred="matched_moves")
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
        f"counting as the window's end. It is given as it is, and by regression at equal path length and at equal "
        f"geometry. *Matched*: over the base prompts whose two paths agree to {caliper} standard deviations. "
        f"*Change*: the difference as it is minus that at equal path length, of the same base prompts. A star: "
        f"shown to change, by Holm for the types of one path and metric. *No overlap*: the data hold no equal targets. "
        f"Intervals are {_robust(confounds)} ones, not adjusted for their number. They need not be those that other "
        f"tables have of the same difference, which are by bootstrap."
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
        f"Mean difference of the max-slope step to real on {metric_label(metric)}, as it is and by regression, with "
        f"{_robust(confounds)} intervals. Equal geometry: path length, norm, cosine to the base, and distance from the "
        f"mean base. *To the target*: both paths of a prompt end at the nearer target."
    )


def _finds(values: xr.Dataset, words: str, of: str = "") -> str:
    """How many types a method still finds on each main metric, and on which side of real, as the end of a sentence."""
    found = {}
    for metric in main_metrics(values):
        fates = _words(values.sel(metric=metric), words).values()
        found[metric] = [fate.removeprefix("still ") for fate in fates if fate.startswith("still ")]
    sides = {side for types in found.values() for side in types}
    when = next(iter(sides)) if len(sides) == 1 else "earlier or later"
    (first, count), *others = ((metric, len(types) or "none") for metric, types in found.items())
    rest = "".join(f", and {more} {on([metric])}" for metric, more in others)
    return f"still finds {count}{of} {when} than real {on([first])}{rest}."


def _steps(path: str) -> str:
    """The steps of a path, as a sentence has them."""
    return f"{experiment(path.removesuffix(CUT)).title}{' up to the target' if path.endswith(CUT) else ''}"


def _statistic(path: str) -> str:
    """Which statistic the experiment is about whose paths these are."""
    return experiment(path.removesuffix(CUT)).statistic


def _words(values: xr.Dataset, variable: str) -> dict[str, str]:
    """The word at equal path length on every type, of one metric."""
    where = {name: _EQUAL for name in ("adjustment", "covariate") if name in values[variable].dims}
    return {name: word_of(values.sel(where), variable, name) for name in synthetic_types(values)}


def _fate(fate: str, types: Sequence[str], values: xr.Dataset) -> str:
    """What becomes of the difference of some types, as a clause."""
    who = subject(types, synthetic_types(values), noun_of(values))
    how, _, when = fate.partition(" ")
    if when in {"earlier", "later"}:
        return f"{who.text} {how} {happens(BLOWUP, when, plural=who.is_plural)} than real"
    verb = who.agrees("is", "are")
    return {"undecided": f"the fate of {who.text} is undecided"}.get(fate, f"{who.text} {verb} {fate}")


def _said(values: xr.Dataset, metrics: Sequence[str], what: str) -> list[Said]:
    """The words of both methods, alike ones together, each place a method and a metric."""
    return list(
        grouped(
            {
                f"{method} {metric}": _words(values.sel(metric=metric), f"{method}_{what}")
                for method in _METHODS
                for metric in metrics
            }
        )
    )


def _places(where: Sequence[str], metrics: Sequence[str]) -> str:
    """By which methods, and on which metrics, something holds."""
    found: dict[tuple[str, ...], list[str]] = {}
    for method, how in _METHODS.items():
        if there := tuple(metric for metric in metrics if f"{method} {metric}" in where):
            found.setdefault(there, []).append(how)
    return " and ".join(f"{' and '.join(methods)} {on(there)}" for there, methods in found.items())


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
        | {
            f"{method}_moves": str(own[f"{method}_movement"].item()) in _MOVED
            for method, own in (("adjusted", values.sel(adjustment=_EQUAL)), ("matched", matched))
        }
    )


def _robust(confounds: xr.Dataset) -> str:
    return f"robust {confidence_of(confounds['adjusted_difference_interval'])}"
