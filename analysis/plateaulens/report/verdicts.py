"""Which types are like real ones: sentences, tables and captions.

Verdicts are those that the summary stores; the words for them are closed, so that a sentence says what was found and no
more. Every sentence is Markdown without markup.
"""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import CONTROL, label, metric_label
from plateaulens.report.contents import (
    BLOWUP,
    compared,
    compared_types,
    experiments_of,
    main_metrics,
    plateau_metric,
    synthetic_types,
    types_of,
)
from plateaulens.report.phrases import NOTHING_TO_COMPARE, alike, alpha_of, are, level, margin_of, prompts, unmeasured
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import listing, number, p_equals

_COLUMNS = {
    "type": TYPE,
    **estimated("KS to real", "ks", KS_DIGITS),
    "ks_null": Column("chance", "number", KS_DIGITS),
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
    """How far two independent draws of real targets lie apart: the noise floor of the KS distances.

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
    if CONTROL not in types_of(experiment):
        return f"The run has no {label(CONTROL)} targets, so the noise floor of the distances was not measured."
    apart, missing = [], []
    for metric, found in compared(experiment, metrics, statistic):
        on = f"on {metric_label(metric)}"
        values = found.sel(activation_type=CONTROL)
        if str(values["verdict"].item()) == "undefined":
            missing.append(on)
            continue
        expected = number(float(values["ks_null"]), KS_DIGITS)
        apart.append(
            f"{number(float(values['ks']), KS_DIGITS)} {on} (by chance {expected} on average; "
            f"{p_equals(float(values['ks_p']))})"
        )
    sentences = [f"The KS distance of two independent draws of real targets is {listing(apart)}."] if apart else []
    if beyond := control_excess(experiment, metrics=metrics, statistic=statistic):
        sentences.append(
            f"That is more than chance gives {listing(beyond)}, so a type at such a distance there need not differ "
            f"from real by more than another draw does."
        )
    if missing:
        sentences.append(f"Two draws of real targets have no distance {listing(missing)}.")
    return " ".join(sentences) or unmeasured(statistic)


def control_excess(
    experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP
) -> list[str]:
    """On which metrics two draws of real targets differ by more than chance gives.

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
    if CONTROL not in types_of(experiment):
        return []
    return [
        f"on {metric_label(metric)}"
        for metric, values in compared(experiment, metrics, statistic)
        if values["exceeds_chance"].sel(activation_type=CONTROL)
    ]


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
                word = str(values["conclusion"].sel(activation_type=kind).item())
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
    experiment = next(iter(experiments_of(summary).values()))
    return (
        f"The verdict on every type, by experiment and metric. *Equivalent*: indistinguishable from real within a KS "
        f"distance of {margin_of(experiment)}. *Earlier*, *later*, *shorter*, *longer*: different from real in that "
        f"direction; *different*: in no direction that is shown. All hold together for the types of a column, at a "
        f"level of {alpha_of(experiment)}; {label(CONTROL)} has a column's level to itself."
    )


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
        f"type and real were exchangeable; *p* of equal distributions, raw, and adjusted by Holm's method (types) and "
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
    control = (
        f" The grey band is the interval of {label(CONTROL)}, two independent draws of real targets: distances within "
        f"it are what chance alone produces."
        if CONTROL in types_of(experiment)
        else ""
    )
    return (
        f"Kolmogorov-Smirnov distance of each type's max-slope steps to those of real, with {level(experiment)} "
        f"uniform bands; {prompts(experiment)}.{control}"
    )


def _shown_metrics(summary: xr.DataTree, name: str, experiment: xr.Dataset) -> list[str]:
    """The metrics of an experiment's columns: of plateau lengths the one that has a threshold."""
    if "plateau_threshold" not in names.statistic(names.experiment(name).statistic).constants:
        return main_metrics(experiment)
    metric = plateau_metric(summary)
    return [metric] if metric else []


def _row(values: xr.Dataset, name: str) -> Row:
    plain = ("ks_null", "ks_p", "ks_p_holm", "ks_p_bh", "ks_upper_bound", "ks_equivalence_p_holm")
    return {
        "type": name,
        **measured(values, "ks"),
        **{variable: float(values[variable]) for variable in plain},
        "conclusion": str(values["conclusion"].item()),
    }


def _verdicts(values: xr.Dataset, statistic: str) -> str:
    groups: dict[str, list[str]] = {}
    for name in synthetic_types(values):
        groups.setdefault(str(values["conclusion"].sel(activation_type=name).item()), []).append(name)
    before, after = names.statistic(statistic).before, names.statistic(statistic).after
    predicates = {
        "equivalent": f"indistinguishable from real within a KS distance of {margin_of(values)}",
        before: f"different from real and {before}",
        after: f"different from real and {after}",
        "different": f"different from real, neither shown to be {before} nor {after}",
        "undecided": "undecided",
        "undefined": "without a step to compare",
    }
    return "; ".join(f"{are(groups[verdict])} {words}" for verdict, words in predicates.items() if verdict in groups)
