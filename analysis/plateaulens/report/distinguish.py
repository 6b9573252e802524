"""Can the targets be told from real ones, before any curve? A sentence, a table and captions."""

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens.names import label
from plateaulens.report.contents import compared_types, controls_of, synthetic_types, values_of, word_of
from plateaulens.report.phrases import NOTHING_TO_COMPARE, capital, confidence_of, noun_of, subject
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import number, p_equals

_TESTS = "a kernel's classifier or the mean discrepancy"
_VERDICTS = {
    "told apart": f"told from real before any curve is run, by {_TESTS}",
    "by detectors alone": "told from real by detectors alone (@tbl-detectors)",
    "not told apart": "not shown to differ from real by {tests}",
    "undefined": "not known well enough to be tested",
}
"""By the word of a summary's `told`, what is said of targets."""
_UNSHOWN = ("by detectors alone", "not told apart")
"""The words whose p-values are said, as some tests show nothing."""


def distinguish_sentence(group: xr.Dataset) -> str:
    """Whose targets are told from real ones, by p-values adjusted over types and tests; the further real draws beside.

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
    every = _TESTS.replace(" or ", ", ") + " or a detector"
    sentences = []
    for verdict, words in _VERDICTS.items():
        if types := [name for name in held if word_of(group, "told", name) == verdict]:
            who = subject(types, held, noun_of(group))
            least = f" (smallest adjusted {p_equals(_least(group, types))})" if verdict == _UNSHOWN[1] else ""
            sentences.append(f"{who.opens()} {who.agrees('is', 'are')} {words.format(tests=every)}{least}.")
            if verdict == _UNSHOWN[0]:
                least = f"smallest adjusted {p_equals(_least(group, types, detectors=False))}"
                sentences.append(f"{capital(_TESTS)} is not shown to tell {who.agrees('it', 'them')} apart ({least}).")
    sentences += [said for name in controls_of(group) for said in _control(group, name)]
    adjusted = "The p-values of types are adjusted over types and tests, those of detectors apart."
    if controls_of(group):
        adjusted += " Those of a further draw of real are adjusted over its own tests, and its detectors apart."
    return f"{' '.join(sentences)} The tests have {_most(group)} base prompts. {adjusted}"


def _control(group: xr.Dataset, name: str) -> list[str]:
    """What the tests make of a further draw of real targets."""
    least = f"smallest adjusted {p_equals(_least(group, [name]))}"
    drawn = f"{capital(label(name))}, a further draw of real targets,"
    if word_of(group, "told", name) == "undefined":
        return [f"{drawn} is not known well enough to be tested."]
    if word_of(group, "told", name) == "not told apart":
        return [f"{drawn} is not shown to differ from real ({least})."]
    return [f"{drawn} is told from real too ({least}).", "That is a false alarm: both draws are made alike."]


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


def _least(group: xr.Dataset, types: list[str], *, detectors: bool = True) -> float:
    """The smallest adjusted p-value of some types, of all tests or of those that are no detectors."""
    own = group.sel(activation_type=types)
    names = ["classifier_p_holm", "mmd_p_holm", *(["detector_p_holm"] if detectors else [])]
    return float(np.fmin.reduce([own[name].min() for name in names]))
