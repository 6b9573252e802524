"""Can the targets be told from real ones, before any curve? A sentence, a table and captions."""

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens.names import CONTROL, label
from plateaulens.report.contents import compared_types, synthetic_types, values_of, word_of
from plateaulens.report.phrases import NOTHING_TO_COMPARE, capital, confidence_of, subject
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import number, p_equals

_NOT_SHOWN = "not told apart"
"""The word of a summary's `told` whose p-values are said, as it shows nothing."""
_VERDICTS = {
    "told apart": "told from real before any curve is run, by a classifier or by the mean discrepancy",
    _NOT_SHOWN: "not shown to differ from real by a classifier or by the mean discrepancy",
    "undefined": "not known well enough to be tested",
}
"""By the word of a summary's `told`, what is said of targets."""


def distinguish_sentence(group: xr.Dataset) -> str:
    """Whose targets are told from real ones, by p-values adjusted over types and tests; the second real draw beside.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    str
        Markdown.
    """
    if not synthetic_types(group):
        return NOTHING_TO_COMPARE
    held = synthetic_types(group)
    sentences = []
    for verdict, words in _VERDICTS.items():
        if types := [name for name in held if word_of(group, "told", name) == verdict]:
            who = subject(types, held)
            least = f" (smallest adjusted {p_equals(_least(group, types, '_holm'))})" if verdict == _NOT_SHOWN else ""
            sentences.append(f"{who.opens()} {who.agrees('is', 'are')} {words}{least}.")
    adjusted = "The p-values of types are adjusted over types and tests"
    if CONTROL in compared_types(group):
        sentences += _control(group)
        adjusted += f"; those of {label(CONTROL)} are not"
    return f"{' '.join(sentences)} The tests have {_most(group)} base prompts. {adjusted}."


def _control(group: xr.Dataset) -> list[str]:
    """What the tests make of the second draw of real targets."""
    least = f"smallest {p_equals(_least(group, [CONTROL]))}, not adjusted"
    second = f"{capital(label(CONTROL))}, the second draw of real targets,"
    if word_of(group, "told", CONTROL) != "told apart":
        return [f"{second} is not shown to differ from real ({least})."]
    return [f"{second} is told from real too ({least}).", "That is a false alarm: both draws are made alike."]


def distinguish_table(group: xr.Dataset) -> Table:
    """The classifier two-sample tests and the maximum mean discrepancy of every type's targets against real ones.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    Table
        A row per type.
    """
    columns = {"type": TYPE}
    found: dict[str, Row] = {name: {"type": name} for name in compared_types(group)}
    for classifier in values_of(group, "classifier"):
        initial, auc = classifier[0].upper(), f"auc_{classifier}"
        columns |= estimated(f"{initial}: AUC", "auc", KS_DIGITS, name=auc)
        columns[f"accuracy_{classifier}"] = Column(f"{initial}: right", "percent")
        columns[f"p_{classifier}"] = Column(f"{initial}: p", "p")
        for name, row in found.items():
            own = group.sel(activation_type=name, classifier=classifier)
            row.update(
                measured(own, "auc", auc),
                **{f"accuracy_{classifier}": float(own["accuracy"]), f"p_{classifier}": float(own["classifier_p"])},
            )
    for name, row in found.items():
        own = group.sel(activation_type=name)
        row.update(mmd_thousandths=1000 * float(own["mmd"]), mmd_p=float(own["mmd_p"]))
    columns |= {"mmd_thousandths": Column("MMD", "number", 1), "mmd_p": Column("MMD: p", "p")}
    return Table(pd.DataFrame(list(found.values())), columns)


def distinguish_table_caption(group: xr.Dataset) -> str:
    """For `distinguish_table`.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    str
        Markdown.
    """
    return (
        f"Targets against real ones, n = {_most(group)} base prompts, by a linear (L) and a Gaussian (G) classifier. "
        f"*AUC*: area under the ROC curve, 0.5 by chance, and in brackets its {confidence_of(group['auc_interval'])} "
        f"bootstrap interval. These intervals are of fixed scores: that other prompts would have taught a classifier "
        f"otherwise is left out. *Right*: share of targets told right. *MMD*: squared maximum "
        f"mean discrepancy in thousandths. *p*: of permutations within base prompts, not adjusted."
    )


def distinguishability_caption(group: xr.Dataset) -> str:
    """For `plateaulens.figures.distinguishability`.

    Parameters
    ----------
    group
        The group `distinguish`.

    Returns
    -------
    str
        Markdown.
    """
    confidence = confidence_of(group["auc_interval"])
    return (
        f"How well classifiers tell a type's targets from real ones: area under the ROC curve with {confidence} "
        f"bootstrap intervals of fixed scores, n = {_most(group)} base prompts. Grey: where "
        f"{confidence_of(group['auc_null_upper'])} of areas lie by chance."
    )


def _most(group: xr.Dataset) -> str:
    """The base prompts of the type that has most of them."""
    return number(int(group["prompts"].max()), 0)


def _least(group: xr.Dataset, types: list[str], adjusted: str = "") -> float:
    """The smallest p-value of some types, as it is or `_holm`."""
    own = group.sel(activation_type=types)
    return float(np.fmin(own[f"classifier_p{adjusted}"].min(), own[f"mmd_p{adjusted}"].min()))
