"""By how many steps types come earlier or later than real ones: sentences, tables and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from plateaulens import names
from plateaulens.names import CLAIMS, MAIN_TYPES, REFERENCE, label, metric_label
from plateaulens.report.contents import (
    BLOWUP,
    bounds,
    compared,
    compared_types,
    main_metrics,
    other_metrics,
    synthetic_types,
    types_of,
    word_of,
)
from plateaulens.report.phrases import NOTHING_TO_COMPARE, level, prompts, unmeasured
from plateaulens.report.table import KS_DIGITS, STEP_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import interval, listing, number, percent
from plateaulens.summary.verdicts import MINIMUM_PAIRS

SHIFTED = (*MAIN_TYPES[1:2], *(second for _, second in CLAIMS), CLAIMS[0][0])
"""The types whose shift functions are drawn: the Gaussian, and those of the paper's claim."""

_EFFECTS = {
    "wasserstein": ("Wasserstein", STEP_DIGITS),
    "cliffs_delta": ("Cliff's delta", KS_DIGITS),
    "mean_difference": ("mean", STEP_DIGITS),
    "median_difference": ("median", STEP_DIGITS),
}
_DIRECTIONS = ("later", "earlier", "mixed", "undecided", "censored", "too few", "uncorrected", "undefined")
"""The words of a summary's `direction`, in the order of their sentences."""

_AGREEING = "; the median; the mean with censored curves counted at the window's end; P(later) minus P(earlier)"
"""What stands behind a mean difference that they do not agree with."""


@dataclass(frozen=True)
class Wording:
    """The patterns of a statistic's sentences; `{types}` stands for the types concerned."""

    claim: str = "{types} targets {event} {when} than real ones"
    question: str = "whether {types} targets {event} {before} or {after} than real ones"


_WORDINGS = {
    "plateau_length": Wording(
        claim="plateaus around {types} bases are {when} than around real ones",
        question="whether plateaus around {types} bases are {before} or {after} than around real ones",
    )
}


def timing_paragraphs(experiment: xr.Dataset, *, statistic: str = BLOWUP) -> str:
    """`timing_sentences` on every main metric.

    Parameters
    ----------
    experiment
        An experiment's group.
    statistic
        Whose steps are compared.

    Returns
    -------
    str
        Markdown, a paragraph for each.
    """
    return "\n\n".join(
        timing_sentences(experiment, metric=metric, statistic=statistic) for metric in main_metrics(experiment)
    )


def timing_sentences(experiment: xr.Dataset, *, metric: str, statistic: str = BLOWUP) -> str:
    """Which types come earlier than real on one metric, which later, and for which that is undecided, and why.

    The summary's `direction` says which: one is claimed when the interval of the mean paired difference (type minus
    real, in steps) excludes 0, its p-value, adjusted by Holm's method for the number of types, is significant as well,
    and the median, the prompts one by one and the mean with censored curves point the same way. Further draws of real
    targets are left out: they are no types of their own.

    Parameters
    ----------
    experiment
        An experiment's group.
    metric
        Value of the coordinate `metric`.
    statistic
        Whose steps are compared.

    Returns
    -------
    str
        Markdown, a sentence for each direction that there is.
    """
    if not synthetic_types(experiment):
        return NOTHING_TO_COMPARE
    sentences = []
    for _, values in compared(experiment, [metric], statistic):
        types: dict[str, list[str]] = {direction: [] for direction in _DIRECTIONS}
        for name in synthetic_types(values):
            types[word_of(values, "direction", name)].append(name)
        sentences += [_sentence(values, held, found, metric, statistic) for found, held in types.items() if held]
    return " ".join(sentences) or unmeasured(statistic)


def effect_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Effect sizes of every type against real with their intervals; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps are compared.

    Returns
    -------
    Table
        A row per type and metric.
    """

    def rows(values: xr.Dataset) -> list[Row]:
        return [_effects(values.sel(activation_type=name), name) for name in compared_types(values)]

    columns = {"type": TYPE}
    for quantity, (title, digits) in _EFFECTS.items():
        columns |= estimated(title, quantity, digits)
    return by_metric(experiment, metrics, statistic, rows, columns)


def other_effect_table(experiment: xr.Dataset) -> Table:
    """`effect_table` on the metrics that other tables have no room for.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    Table
        A row per type and metric.
    """
    return effect_table(experiment, metrics=other_metrics(experiment))


def effect_table_caption(experiment: xr.Dataset, *, what: str = "max-slope steps") -> str:
    """For `effect_table`.

    Parameters
    ----------
    experiment
        An experiment's group.
    what
        The statistic, in words.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Effect sizes of {what} against real, {prompts(experiment)}, with {level(experiment)} bootstrap intervals in "
        f"brackets: Wasserstein distance in steps, Cliff's delta (-1 all earlier, 1 all later), mean and median paired "
        f"difference in steps, type minus real."
    ).replace("(-1", "(\u22121")


def quantile_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Quantile shifts to real at the deciles with an odd number, without intervals; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose steps are compared.

    Returns
    -------
    Table
        A row per type and metric, infinite where the type's quantile lies beyond the window.
    """
    deciles = [f"{float(p):g}" for p in experiment["quantile"][::2]]

    def rows(values: xr.Dataset) -> list[Row]:
        shift = values["quantile_shift"].isel(quantile=slice(None, None, 2))
        return [
            {"type": name}
            | {f"shift_{p}": float(value) for p, value in zip(deciles, shift.sel(activation_type=name), strict=True)}
            for name in compared_types(values)
        ]

    beyond = {float("inf"): "beyond"}
    columns = {"type": TYPE} | {f"shift_{p}": Column(p, "number", words=beyond) for p in deciles}
    return by_metric(experiment, metrics, statistic, rows, columns)


def quantile_table_caption(experiment: xr.Dataset) -> str:
    """For `quantile_table`.

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
        f"Quantile of the type minus that of real, max-slope steps, {prompts(experiment)}; *beyond*: the type's "
        f"quantile lies beyond the window."
    )


def quantile_shifts_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.quantile_shifts` of the types `SHIFTED`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    held = types_of(experiment)
    shown = listing([label(name) for name in SHIFTED if name in held] or ["no type"])
    return (
        f"By how many steps the deciles of the max-slope step of {shown} lie behind those of real, "
        f"{prompts(experiment)}, with pointwise {level(experiment)} bootstrap bands. A horizontal line would be a mere "
        f"delay; a line ends where the decile lies beyond the window."
    )


def _effects(values: xr.Dataset, name: str) -> Row:
    row: Row = {"type": name}
    for quantity in _EFFECTS:
        row |= measured(values, quantity)
    return row


def _sentence(values: xr.Dataset, types: Sequence[str], direction: str, metric: str, statistic: str) -> str:
    on = f"On {metric_label(metric)}"
    if direction == "undefined":
        words = listing([label(name) for name in types])
        return f"{on} there is nothing to compare for {words}: no base prompt has a step both for it and for real."
    event = names.statistic(statistic).event
    reason = {
        "too few": f", because fewer than {MINIMUM_PAIRS} base prompts have both steps",
        "mixed": ", because what would have to agree does not",
        "uncorrected": ", because the p-value does not hold once adjusted for the number of types",
        "censored": f", because the differences leave out curves that do not {event}, and their shares differ",
    }.get(direction, "")
    real = percent(float(values["censored_fraction"].sel(activation_type=REFERENCE)), 1)
    share = {"censored": f" and share censored, real {real}", "mixed": _AGREEING}.get(direction, "")
    if len(types) == 1:
        claim = _claim(label(types[0]), direction, statistic)
        key = f"mean difference in steps ({level(values)} interval{share})"
        return f"{on}, {claim}{reason}: {key} {_difference(values, types[0], direction)}."
    items = [f"{label(name)} {_difference(values, name, direction)}" for name in types]
    key = f"mean differences in steps ({level(values)} intervals{share})"
    return f"{on}, {_claim('these', direction, statistic)}{reason}: {key} {listing(items)}."


def _claim(types: str, direction: str, statistic: str) -> str:
    """What is said of some types: in which direction they differ, or that this is undecided or has no single answer."""
    named, wording = names.statistic(statistic), _WORDINGS.get(statistic, Wording())
    when = {"earlier": named.before, "later": named.after}.get(direction)
    words = {"types": types, "event": named.event, "before": named.before, "after": named.after}
    if when is None:
        answer = "has no single answer" if direction == "mixed" else "is undecided"
        return f"{wording.question.format(**words)} {answer}"
    return wording.claim.format(when=when, **words)


def _difference(values: xr.Dataset, name: str, direction: str) -> str:
    own = values.sel(activation_type=name)
    share = f"; {percent(float(own['censored_fraction']), 1)}" if direction == "censored" else ""
    if direction == "mixed":
        steps = (number(float(own[name]), STEP_DIGITS) for name in ("median_difference", "restricted_mean_difference"))
        share = "; " + "; ".join((*steps, number(float(own["paired_delta"]), KS_DIGITS)))
    ends = interval(bounds(own["mean_difference_interval"]), STEP_DIGITS)
    return f"{number(float(own['mean_difference']), STEP_DIGITS)} ({ends}{share})"
