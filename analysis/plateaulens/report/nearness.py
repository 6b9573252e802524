"""Which of two types is nearer to real: the paper's claim, and every other pair. Sentences, tables and captions."""

from collections.abc import Sequence
from itertools import combinations
from math import isnan

import xarray as xr

from plateaulens.names import CLAIMS, MAIN_TYPES, REFERENCE, label
from plateaulens.report.contents import BLOWUP, bounds, compared, synthetic_types, types_of
from plateaulens.report.phrases import alpha_of, capital, grouped, level, on, prompts, unmeasured
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, by_metric, estimated, measured
from plateaulens.report.text import MISSING, agreeing_digits, interval, listing, number

_MAIN = [name for name in reversed(MAIN_TYPES) if name != REFERENCE]
PAIRS = tuple(dict.fromkeys((*CLAIMS, *combinations(_MAIN, 2))))
"""The pairs of the table of pairs, the paper's first; all others are in the matrix."""

_COLUMNS = {
    "type": Column("pair", "type", also="other_type"),
    "ks": Column("KS", "number", KS_DIGITS, also="other_ks"),
    **estimated("difference", "ks_difference", KS_DIGITS),
    "ks_difference_p": Column("p", "p"),
    "ks_difference_p_holm": Column("Holm", "p"),
    "ks_difference_p_bh": Column("BH", "p"),
    "nearer": Column("nearer to real", "type"),
}
_SIGNS = {"undecided": "?", "undefined": MISSING}
_UNTESTED = "untested"
"""Undecided for want of base prompts."""
_OPEN = ("undecided", _UNTESTED)


def claim_sentences(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> str:
    """`nearness_sentence` of the paper's pairs, those that are undecided together.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose distances are compared.

    Returns
    -------
    str
        Markdown.
    """
    found = [each for _, each in compared(experiment, metrics, statistic)]
    held = [pair for pair in CLAIMS if set(pair).issubset(types_of(experiment))]
    undecided = [(pair, each) for pair in held for each in found if _word(each, *pair) in _OPEN]
    if not undecided[1:]:
        return " ".join(nearness_sentence(experiment, *pair, metrics=metrics, statistic=statistic) for pair in CLAIMS)
    sentences = [f"{_answer(each, *pair)}." for pair in held for each in found if _word(each, *pair) not in _OPEN]
    for first in dict.fromkeys(first for (first, _), _ in undecided):
        words = {
            str(each["metric"].item()): {
                pair[1]: _word(each, *pair) for pair, other in undecided if other is each and pair[0] == first
            }
            for each in found
        }
        for word, where, others in grouped(words):
            pairs = [each.sel(activation_type=first, other_type=list(others)) for each in found]
            sentences += _together(
                [each for each in pairs if str(each["metric"].item()) in where], first, others, tested=word in _SIGNS
            )
    lacking = [pair for pair in CLAIMS if pair not in held]
    return " ".join([*sentences, *(nearness_sentence(experiment, *pair) for pair in lacking)])


def nearness_sentence(
    experiment: xr.Dataset,
    first: str,
    second: str,
    *,
    metrics: Sequence[str] | None = None,
    statistic: str = BLOWUP,
) -> str:
    """Which of two types is nearer to real on each metric, with both distances and the interval of their difference.

    Parameters
    ----------
    experiment
        An experiment's group.
    first, second
        The types.
    metrics
        The main ones unless given.
    statistic
        Whose distances are compared.

    Returns
    -------
    str
        Markdown.
    """
    a, b = label(first), label(second)
    if not {first, second}.issubset(types_of(experiment)):
        return f"The run does not have both {a} and {b} targets, so their nearness to real ones is not compared."
    sentences = [f"{_answer(values, first, second)}." for _, values in compared(experiment, metrics, statistic)]
    return " ".join(sentences) or unmeasured(statistic)


def _word(values: xr.Dataset, first: str, second: str) -> str:
    """The summary's word on a pair; where there was no test another than where one left it open."""
    pair = values.sel(activation_type=first, other_type=second)
    word = str(pair["nearness"].item())
    return _UNTESTED if word == "undecided" and isnan(float(pair["ks_difference_p"])) else word


def _together(pairs: Sequence[xr.Dataset], first: str, others: Sequence[str], *, tested: bool) -> list[str]:
    """That it is open which of some types is nearer to real than a first one, on some metrics, and how wide open."""
    a, where = label(first), on([str(each["metric"].item()) for each in pairs])
    names = [label(name) for name in others]
    asked = f"{a} is nearer to real than {' or '.join(names)}" if names[1:] else f"{a} or {names[0]} is nearer to real"
    claim = f"Whether {asked} is undecided {where}"
    if not tested:
        return [f"{claim}: there are too few base prompts for a test."]
    differences = [float(value) for each in pairs for value in each["ks_difference"].to_numpy()]
    ends = [bounds(each["ks_difference_interval"].sel(other_type=name)) for each in pairs for name in others]
    lower, upper = min(end[0] for end in ends), max(end[1] for end in ends)
    least, most = (number(end, KS_DIGITS) for end in (min(differences), max(differences)))
    theirs = "theirs" if names[1:] else f"that of {names[0]}"
    reach = f"{level(pairs[0])} intervals reach from {number(lower, KS_DIGITS)} to {number(upper, KS_DIGITS)}"
    return [f"{claim}.", f"The KS of {a} minus {theirs} is {' to '.join(dict.fromkeys((least, most)))} ({reach})."]


def _answer(values: xr.Dataset, first: str, second: str) -> str:
    """Which of two types is nearer on one metric, and by how much."""
    pair = values.sel(activation_type=first, other_type=second)
    a, b, where = label(first), label(second), on([str(values["metric"].item())])
    claim = {
        "nearer": f"{capital(a)} is nearer to real than {b} {where}",
        "farther": f"{capital(b)} is nearer to real than {a} {where}",
        "undecided": f"Whether {a} or {b} is nearer to real is undecided {where}",
    }.get(str(pair["nearness"].item()))
    if claim is None:
        return f"{capital(a)} and {b} cannot be compared {where}, where one of them has no step"
    own, other = (float(values["ks"].sel(activation_type=name)) for name in (first, second))
    digits = agreeing_digits(own, other, float(pair["ks_difference"]), KS_DIGITS)
    distances = listing([number(own, digits), number(other, digits)])
    if isnan(float(pair["ks_difference_p"])):
        return f"{claim}: KS {distances}, and too few base prompts for a test"
    said = difference(pair, behind=f"; below 0, {a} is nearer", digits=digits)
    return f"{claim}: KS {distances}, difference {said}"


def difference(pair: xr.Dataset, *, behind: str = "", digits: int = KS_DIGITS) -> str:
    """The difference of two types' KS distances to real, the first's minus the second's, with its interval.

    Parameters
    ----------
    pair
        Values of one metric, statistic and pair of types.
    behind
        Stands behind the interval, within its brackets.
    digits
        Behind the point.

    Returns
    -------
    str
        A phrase.
    """
    ends = interval(bounds(pair["ks_difference_interval"]), digits)
    return f"{number(float(pair['ks_difference']), digits)} ({level(pair)} interval {ends}{behind})"


def pair_table(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Which of two types is nearer to real, for the pairs of `PAIRS` that the run has; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose distances are compared.

    Returns
    -------
    Table
        A row per pair and metric.
    """

    def rows(values: xr.Dataset) -> list[Row]:
        held = synthetic_types(values)
        return [_row(values, first, second) for first, second in PAIRS if {first, second}.issubset(held)]

    return by_metric(experiment, metrics, statistic, rows, _COLUMNS)


def pair_table_caption(experiment: xr.Dataset) -> str:
    """For `pair_table`.

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
        f"Which of two types is nearer to real, {prompts(experiment)}: both KS distances, and their paired difference "
        f"with its {level(experiment)} interval. It is the first minus the second, of unrounded distances, below "
        f"0 where the first is nearer. The interval covers two, one for distances away from 0 and one for distances at "
        f"0. It is the wider for it, and its far end no guide to p. P-values are "
        f"raw, and adjusted as in the table of verdicts, here over all pairs of types."
    )


def pair_matrix(experiment: xr.Dataset, *, metrics: Sequence[str] | None = None, statistic: str = BLOWUP) -> Table:
    """Whether the row's type is nearer to real than the column's, for all types; metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        The main ones unless given.
    statistic
        Whose distances are compared.

    Returns
    -------
    Table
        A row per type and metric, and a column per type.
    """
    types = synthetic_types(experiment)

    def rows(values: xr.Dataset) -> list[Row]:
        nearness = values["nearness"].transpose("activation_type", "other_type")
        return [
            {"type": first}
            | {
                second: None if first == second else str(nearness.sel(activation_type=first, other_type=second).item())
                for second in types
            }
            for first in types
        ]

    columns = {name: Column(label(name), words=_SIGNS, missing="") for name in types}
    return by_metric(experiment, metrics, statistic, rows, {"type": TYPE} | columns)


def pair_matrix_caption(experiment: xr.Dataset, *, what: str = "max-slope steps") -> str:
    """For `pair_matrix`.

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
    whole = experiment["nearness"].attrs.get("adjustment") == "Holm over the whole table"
    judged = "all pairs, metrics, statistics and experiments" if whole else "all pairs"
    return (
        f"Is the row's type nearer to real than the column's, or farther, by KS distance of {what}? "
        f"{capital(prompts(experiment))}, tests by Holm over {judged} at a level of {alpha_of(experiment)}. A "
        f"question mark: undecided."
    )


def _row(values: xr.Dataset, first: str, second: str) -> Row:
    pair = values.sel(activation_type=first, other_type=second)
    found = str(pair["nearness"].item())
    p_values = ("ks_difference_p", "ks_difference_p_holm", "ks_difference_p_bh")
    return {
        "type": first,
        "other_type": second,
        "ks": float(values["ks"].sel(activation_type=first)),
        "other_ks": float(values["ks"].sel(activation_type=second)),
        **measured(pair, "ks_difference"),
        **{name: float(pair[name]) for name in p_values},
        "nearness": found,
        "nearer": {"nearer": first, "farther": second}.get(found, found),
    }
