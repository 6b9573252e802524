"""Which types are like real ones: sentences, tables and captions.

Verdicts are those that the summary stores; the words for them are closed, so that a sentence says what was found and no
more. Every sentence is Markdown without markup.
"""

from collections.abc import Sequence
from math import isnan

import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import CONTROL, label, metric_label
from plateaulens.report.contents import (
    BLOWUP,
    compared,
    compared_types,
    controls_of,
    experiments_of,
    main_metrics,
    plateau_metric,
    synthetic_types,
    word_of,
)
from plateaulens.report.phrases import (
    NOTHING_TO_COMPARE,
    alike,
    alpha_of,
    are,
    confidence_of,
    level,
    margin_of,
    prompts,
    unmeasured,
)
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import MISSING, listing, number, p_equals

_UNKNOWN = ("is_unknown", MISSING)
_COLUMNS = {
    "type": TYPE,
    **estimated("KS to real", "ks", KS_DIGITS),
    "ks_null": Column("chance", "number", KS_DIGITS, also="ks_null_upper", pattern="{} ({})", instead=_UNKNOWN),
    "ks_p": Column("p", "p"),
    "ks_p_holm": Column("Holm", "p"),
    "ks_p_bh": Column("BH", "p"),
    "ks_upper_bound": Column("bound", "number", KS_DIGITS),
    "ks_equivalence_p_holm": Column("p, margin", "p"),
    "conclusion": Column("verdict"),
}


def verdict_sentences(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> str:
    """The verdict on every type, a sentence for each metric; one for those on which all verdicts agree.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        What the verdicts are about.

    Returns
    -------
    str
        Markdown.
    """
    if not synthetic_types(experiment):
        return NOTHING_TO_COMPARE
    found = {
        metric_label(metric): _verdicts(values, statistic)
        for metric, values in compared(experiment, metrics, statistic)
    }
    return alike(found) or unmeasured(statistic)


def control_sentence(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> str:
    """How far independent draws of real targets lie from the first one: the noise floor of the KS distances.

    Where a test tells a draw from the first one, that is called a false alarm: the draws are exchangeable by
    construction.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose distances they are.

    Returns
    -------
    str
        Markdown.
    """
    if not controls_of(experiment):
        return f"The run has no {label(CONTROL)} targets, so the noise floor of the distances was not measured."
    draws = controls_of(experiment)
    apart, missing = [], []
    for metric, values in compared(experiment, metrics, statistic):
        on = f"on {metric_label(metric)}"
        known = [name for name in draws if word_of(values, "verdict", name) != "undefined"]
        if not known:
            missing.append(on)
            continue
        items = [
            f"{number(_of(values, 'ks', name), KS_DIGITS)} ({p_equals(_of(values, 'ks_p', name))})" for name in known
        ]
        mean, upper = (number(_of(values, name, known[0]), KS_DIGITS) for name in ("ks_null", "ks_null_upper"))
        share = confidence_of(values["ks_null_upper"])
        apart.append(
            f"{listing(items)} {on}, where chance gives {mean} on average and at most {upper} in {share} of cases"
        )
    sentences = []
    if apart:
        what = "two independent draws" if len(draws) == 1 else f"{len(draws)} further draws and the first one"
        sentences.append(f"The KS distance of {what} of real targets is {'; '.join(apart)}.")
    if alarms := false_alarms(experiment, metrics=metrics, statistic=statistic):
        sentences.append(
            f"Equal distributions are rejected {listing(alarms)}. Draws of real targets are exchangeable by "
            f"construction, so this is a false alarm, which is expected in one of {_one_in(experiment)} such tests."
        )
    if missing:
        sentences.append(f"Two draws of real targets have no distance {listing(missing)}.")
    return " ".join(sentences) or unmeasured(statistic)


def false_alarms(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> list[str]:
    """On which metrics a test tells a draw of real targets from the first one.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose distances they are.

    Returns
    -------
    list of str
        Phrases; none without a second draw.
    """
    draws = controls_of(experiment)
    return [
        f"on {metric_label(metric)}"
        for metric, values in compared(experiment, metrics, statistic)
        if draws and values["exceeds_chance"].sel(activation_type=draws).any()
    ]


def false_alarm_sentence(summary: xr.DataTree) -> str:
    """How many columns of the overview table have a false alarm, and how many are expected.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown; nothing where the run has no second draw of real targets.
    """
    columns, alarms, level_of_tests = 0, [], 0.0
    for name, experiment in experiments_of(summary).items():
        described, shown = names.experiment(name), _shown_metrics(summary, name, experiment)
        tested = [
            metric
            for metric, values in compared(experiment, shown, described.statistic)
            if controls_of(experiment)
            and (values["verdict"].sel(activation_type=controls_of(experiment)) != "undefined").any()
        ]
        columns += len(tested)
        level_of_tests = float(experiment["verdict"].attrs["alpha"])
        alarms += [
            f"{described.short} {alarm}"
            for alarm in false_alarms(experiment, metrics=tested, statistic=described.statistic)
        ]
    if not columns:
        return ""
    which = f" ({', '.join(alarms)})" if alarms else ""
    return (
        f"Draws of real targets are told apart in {len(alarms) or 'none'}{which} of the {columns} columns of "
        f"@tbl-overview; {number(columns * level_of_tests, KS_DIGITS)} false alarms are expected."
    )


def overview_table(summary: xr.DataTree) -> Table:
    """The verdict on every type in every experiment: a column per experiment and metric.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    Table
        A row per type, with a dash where an experiment lacks it.
    """
    columns = {"type": TYPE}
    found: dict[str, Row] = {}
    for name, experiment in experiments_of(summary).items():
        described = names.experiment(name)
        for metric, values in compared(experiment, _shown_metrics(summary, name, experiment), described.statistic):
            key = f"{name}_{metric}"
            columns[key] = Column(f"{described.short}, {metric_label(metric)}")
            for kind in compared_types(experiment):
                word = word_of(values, "conclusion", kind)
                found.setdefault(kind, {"type": kind})[key] = word
    return Table(pd.DataFrame(list(found.values())), columns)


def overview_table_caption(summary: xr.DataTree) -> str:
    """For `overview_table`.

    Parameters
    ----------
    summary
        The summary, with an experiment.

    Returns
    -------
    str
        Markdown.
    """
    found = experiments_of(summary)
    margins = listing([f"{margin_of(group)} ({names.experiment(name).short})" for name, group in found.items()])
    return (
        f"The verdict on every type, by experiment and metric. *Equivalent*: within a KS distance of real of "
        f"{margins}; a word behind it says how the type differs detectably all the same. *Earlier*, *later*, "
        f"*shorter*, *longer*: different from real, and in that direction by the mean, the median, within prompts and "
        f"with censored curves counted; *mixed*: different, and these do not point one way; *different*: in no "
        f"direction that is shown. Tests are at a level of {alpha_of(next(iter(found.values())))}, adjusted for the "
        f"types of a column. Those of {label(CONTROL)} are adjusted apart: where it is told from real, that is a "
        f"*false alarm*."
    )


def margin_sentences(summary: xr.DataTree) -> str:
    """In which experiments the margin of equivalence is not the one that was written down before collecting.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown; nothing where all are.
    """
    sentences = []
    for name, experiment in experiments_of(summary).items():
        attributes = experiment["verdict"].attrs
        if not attributes["margin_as_recorded"]:
            recorded = f", {attributes['margin_recorded']:g}" if "margin_recorded" in attributes else ""
            sentences.append(
                f"For {names.experiment(name).title} the margin of equivalence, {margin_of(experiment)}, is not the "
                f"one that was written down before collecting{recorded or ' (none was)'}."
            )
    return " ".join(sentences)


def verdict_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Every type's KS distance to real with what its verdict rests on; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        What the verdicts are about.

    Returns
    -------
    Table
        A row per type and metric.
    """

    def rows(values: xr.Dataset) -> list[Row]:
        return [_row(values.sel(activation_type=name), name) for name in compared_types(values)]

    return by_metric(experiment, metrics, statistic, rows, _COLUMNS)


def verdict_table_caption(experiment: xr.Dataset, *, explained: bool = False) -> str:
    """For `verdict_table`.

    Parameters
    ----------
    experiment
        An experiment's group.
    explained
        Whether the columns were, in @tbl-verdicts.

    Returns
    -------
    str
        Markdown.
    """
    if explained:
        return f"Verdicts, {prompts(experiment)}; the columns are those of @tbl-verdicts."
    return (
        f"Verdicts, {prompts(experiment)}. KS to real with its {level(experiment)} uniform band; *chance*: its mean if "
        f"type and real were exchangeable, and what {confidence_of(experiment['ks_null_upper'])} of such distances do "
        f"not exceed; *p* of equal distributions, raw, and adjusted by Holm's method (types) and "
        f"by Benjamini and Hochberg's (types, metrics, statistics); *bound*: one-sided {level(experiment)} upper bound "
        f"of KS, raw; *p, margin*: of a KS distance of {margin_of(experiment)} or more, Holm."
    )


def ks_forest_caption(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.ks_forest`.

    Parameters
    ----------
    experiment
        An experiment's group.

    Returns
    -------
    str
        Markdown.
    """
    share = confidence_of(experiment["ks_null_upper"])
    return (
        f"Kolmogorov-Smirnov distance of each type's max-slope steps to those of real, with {level(experiment)} "
        f"uniform bands; {prompts(experiment)}. Grey: {share} of the distances of exchangeable types lie in it, with "
        f"this type's ties and pairing. Dashed: the margin of equivalence, {margin_of(experiment)}."
    )


def _shown_metrics(summary: xr.DataTree, name: str, experiment: xr.Dataset) -> list[str]:
    """The metrics of an experiment's columns: of plateau lengths the one that has a threshold."""
    if "plateau_threshold" not in names.statistic(names.experiment(name).statistic).constants:
        return main_metrics(experiment)
    metric = plateau_metric(summary)
    return [metric] if metric else []


def _row(values: xr.Dataset, name: str) -> Row:
    plain = ("ks_null", "ks_null_upper", "ks_p", "ks_p_holm", "ks_p_bh", "ks_upper_bound", "ks_equivalence_p_holm")
    return {
        "type": name,
        "is_unknown": isnan(float(values["ks_null"])),
        **measured(values, "ks"),
        **{variable: float(values[variable]) for variable in plain},
        "conclusion": str(values["conclusion"].item()),
    }


def _verdicts(values: xr.Dataset, statistic: str) -> str:
    groups: dict[str, list[str]] = {}
    for name in synthetic_types(values):
        groups.setdefault(word_of(values, "conclusion", name), []).append(name)
    before, after = names.statistic(statistic).before, names.statistic(statistic).after
    near = f"within KS {margin_of(values)} of real"
    predicates = {
        "equivalent": near,
        f"equivalent, {before}": f"{near} and detectably {before}",
        f"equivalent, {after}": f"{near} and detectably {after}",
        "equivalent, mixed": f"{near} and detectably different, in no single direction",
        "equivalent, different": f"{near} and detectably different",
        before: f"different from real and {before}",
        after: f"different from real and {after}",
        "mixed": "different from real, in no single direction",
        "different": f"different from real, neither shown to be {before} nor {after}",
        "undecided": "undecided",
        "undefined": "without a step to compare",
    }
    return "; ".join(f"{are(groups[verdict])} {words}" for verdict, words in predicates.items() if verdict in groups)


def _of(values: xr.Dataset, quantity: str, name: str) -> float:
    """One number of one type."""
    return float(values[quantity].sel(activation_type=name))


def _one_in(experiment: xr.Dataset) -> str:
    """Out of how many tests one rejects by chance."""
    return number(1 / float(experiment["verdict"].attrs["alpha"]), 0)
