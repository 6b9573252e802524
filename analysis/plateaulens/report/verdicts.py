"""Which types are like real ones: sentences, tables and captions.

Verdicts are those that the summary stores; the words for them are closed, so that a sentence says what was found and no
more. Every sentence is Markdown without markup, makes one claim, and has at most thirty words.
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
    shown_metrics,
    synthetic_types,
    word_of,
)
from plateaulens.report.phrases import (
    NOTHING_TO_COMPARE,
    alpha_of,
    capital,
    confidence_of,
    grouped,
    happens,
    level,
    margin_of,
    noun_of,
    on,
    prompts,
    subject,
    unmeasured,
)
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import MISSING, listing, number, p_equals, percent

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
    """The verdict on every type: a sentence for each word, with the types and the metrics that it holds for.

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
    held = synthetic_types(experiment)
    if not held:
        return NOTHING_TO_COMPARE
    conclusions = {
        metric: {name: word_of(values, "conclusion", name) for name in held}
        for metric, values in compared(experiment, metrics, statistic)
    }
    said = grouped(conclusions)
    margin = margin_of(experiment)
    patterns = _patterns(margin, statistic)
    sentences = []
    for word, where, types in sorted(said, key=lambda each: list(patterns).index(each.word)):
        who = subject(types, held, noun_of(experiment))
        verb = {
            "is": who.agrees("is", "are"),
            "has": who.agrees("has", "have"),
            "differs": who.agrees("differs", "differ"),
        }
        happening = {
            when: happens(statistic, when, plural=who.is_plural)
            for when in (names.statistic(statistic).before, names.statistic(statistic).after)
        }
        # "Every type but X differs" would deny that X, which is within the margin, is shown to differ as well.
        both = any(conclusions[metric][name].startswith("equivalent, ") for metric in where for name in held)
        beyond = f" without being shown within KS {margin}" if both else ""
        sentences.append(f"{who.opens()} {patterns[word].format(on=on(where), beyond=beyond, **verb, **happening)}.")
    return " ".join(sentences) or unmeasured(statistic)


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
    draws = controls_of(experiment)
    if not draws:
        return f"The run has no {label(CONTROL)} targets, so the noise floor of the distances was not measured."
    sentences, missing = [], []
    for metric, values in compared(experiment, metrics, statistic):
        known = [name for name in draws if word_of(values, "verdict", name) != "undefined"]
        if not known:
            missing.append(metric)
            continue
        mean, upper = (number(_of(values, name, known[0]), KS_DIGITS) for name in ("ks_null", "ks_null_upper"))
        share = confidence_of(values["ks_null_upper"])
        what = "two draws of real targets lie" if len(draws) == 1 else f"{len(draws)} further draws of real targets lie"
        distances = listing(
            [f"{number(_of(values, 'ks', name), KS_DIGITS)} ({p_equals(_of(values, 'ks_p', name))})" for name in known]
        )
        apart = "apart" if len(draws) == 1 else "from the first"
        sentences += [
            f"On {metric_label(metric)}, {what} KS {distances} {apart}.",
            f"Chance alone gives {mean} on average, and at most {upper} in {share} of cases.",
        ]
    if alarms := false_alarms(experiment, metrics=metrics, statistic=statistic):
        sentences += [
            f"Telling real targets from real ones {listing(alarms)} is a false alarm: they are drawn alike.",
            "Chance alone gives a p as small, or smaller, with at most that probability in each such test.",
            "How many of them this page judges is said in @sec-verdicts.",
        ]
    whole = _is_whole(experiment)
    if sentences and (whole or len(draws) > 1):
        family = "all tests of such draws in every table" if whole else f"the {len(draws)} draws"
        sentences.append(f"These p-values are raw; false alarms go by those adjusted for {family}.")
    if missing:
        sentences.append(f"Two draws of real targets have no distance {on(missing)}.")
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
    """How many columns of the overview table have a false alarm, how many are expected, and that they go together.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown; nothing where the run has no second draw of real targets.
    """
    columns, draws, alarms, level_of_tests, is_whole = 0, 0, [], 0.0, False
    for name, experiment in experiments_of(summary).items():
        described, shown = names.experiment(name), shown_metrics(summary, name, experiment)
        tested = [
            metric
            for metric, values in compared(experiment, shown, described.statistic)
            if controls_of(experiment)
            and (values["verdict"].sel(activation_type=controls_of(experiment)) != "undefined").any()
        ]
        columns += len(tested)
        draws = max(draws, len(controls_of(experiment)))
        level_of_tests, is_whole = float(experiment["verdict"].attrs["alpha"]), _is_whole(experiment)
        alarms += [
            f"{described.short} {alarm}"
            for alarm in false_alarms(experiment, metrics=tested, statistic=described.statistic)
        ]
    if not columns:
        return ""
    which = f" ({', '.join(alarms)})" if alarms else ""
    chance = f"By chance, {number(columns * level_of_tests, KS_DIGITS)} false alarms are expected."
    if is_whole:
        chance = f"As they are adjusted together, chance gives any at all in {percent(level_of_tests)} of runs at most."
    further = "second one" if draws == 1 else f"{draws} further ones"
    return (
        f"Draws of real targets are told apart in {len(alarms) or 'none'}{which} of the {columns} columns of "
        f"@tbl-overview. {chance} "
        f"They are not independent: all of them judge one draw of real targets, against the same {further}."
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
        for metric, values in compared(experiment, shown_metrics(summary, name, experiment), described.statistic):
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
    first = next(iter(found.values()))
    family = "everything that the tables of verdicts say" if _is_whole(first) else "the types of a column"
    apart = ", and those of real targets drawn again apart" if any(map(controls_of, found.values())) else ""
    margins = listing([f"{margin_of(group)} ({names.experiment(name).short})" for name, group in found.items()])
    return (
        f"The verdict on every type, by experiment and metric. *Equivalent*: within a KS distance of real of "
        f"{margins}; a second word, how it differs where the KS test finds that too. *Earlier*, *later*, *shorter*, "
        f"*longer*: different, and in that direction by all four measures of @sec-comparison. *Mixed*: different, and "
        f"these do not agree. *Different*: in no direction that is shown. *Undecided*: this run does not settle the "
        f"question. Tests are at a level of {alpha_of(first)}, adjusted for {family}{apart}. "
        f"*False alarm*: real targets told from real ones."
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
            recorded = f"{attributes['margin_recorded']:g} was" if "margin_recorded" in attributes else "none was"
            sentences.append(
                f"The margin of equivalence for {names.experiment(name).title}, {margin_of(experiment)}, is not the "
                f"one that was written down before collecting: {recorded}."
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
    judged = "everything that the tables of verdicts say" if _is_whole(experiment) else "the types"
    return (
        f"Verdicts, {prompts(experiment)}. KS to real with its {level(experiment)} uniform band. *Chance*: its mean if "
        f"type and real were exchangeable, and in brackets what {confidence_of(experiment['ks_null_upper'])} of such "
        f"distances do not exceed. *p*: of equal distributions. *Holm*: adjusted for {judged}. *BH*: adjusted by "
        f"Benjamini and Hochberg for types, metrics and statistics. *Bound*: one-sided {level(experiment)} upper bound "
        f"of KS, not adjusted: a verdict needs more than a bound below the margin. *p, margin*: of a KS distance of "
        f"{margin_of(experiment)} or more, by Holm."
    )


def ks_forest_caption(experiment: xr.Dataset, *, name: str = "", statistic: str = BLOWUP) -> str:
    """For `plateaulens.figures.ks_forest`.

    Parameters
    ----------
    experiment
        An experiment's group.
    name
        The experiment, where the page has not said which it is.
    statistic
        Whose distances they are.

    Returns
    -------
    str
        Markdown.
    """
    opening = f"{capital(names.experiment(name).title)}. " if name else ""
    return (
        f"{opening}Kolmogorov-Smirnov distance (KS) to real by {names.statistic(statistic).label}s, with "
        f"{level(experiment)} uniform bands, {prompts(experiment)}. Beside each row: its verdict (@tbl-overview); "
        f"equivalence needs the tick, not the whole band, left of the margin."
    )


def _row(values: xr.Dataset, name: str) -> Row:
    plain = ("ks_null", "ks_null_upper", "ks_p", "ks_p_holm", "ks_p_bh", "ks_upper_bound", "ks_equivalence_p_holm")
    return {
        "type": name,
        "is_unknown": isnan(float(values["ks_null"])),
        **measured(values, "ks"),
        **{variable: float(values[variable]) for variable in plain},
        "conclusion": str(values["conclusion"].item()),
    }


def _patterns(margin: str, statistic: str) -> dict[str, str]:
    """By the word of a summary's `conclusion`, in the order of their sentences, what follows the subject."""
    before, after = names.statistic(statistic).before, names.statistic(statistic).after
    near = f"{{is}} within KS {margin} of real {{on}}"
    return {
        "equivalent": near,
        f"equivalent, {before}": f"{near}, and detectably {before}",
        f"equivalent, {after}": f"{near}, and detectably {after}",
        "equivalent, mixed": f"{near}, and detectably different in no single direction",
        "equivalent, different": f"{near}, and detectably different",
        before: f"{{differs}} from real {{on}}{{beyond}}, and {{{before}}}",
        after: f"{{differs}} from real {{on}}{{beyond}}, and {{{after}}}",
        "mixed": "{differs} from real {on}{beyond}, in no single direction",
        "different": "{differs} from real {on}{beyond}, and no direction is shown",
        "undecided": f"{{is}} undecided {{on}}: by KS neither shown to lie within {margin} of real nor to differ",
        "undefined": "{has} no step to compare {on}",
    }


def _is_whole(experiment: xr.Dataset) -> bool:
    """Whether p-values are adjusted over all that the tables say, and not over the types of one column."""
    return bool(experiment["verdict"].attrs.get("adjustment") == "Holm over the whole table")


def _of(values: xr.Dataset, quantity: str, name: str) -> float:
    """One number of one type."""
    return float(values[quantity].sel(activation_type=name))
