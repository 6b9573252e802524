"""Can the targets be told from real ones, before any curve? A sentence, a table and captions."""

import pandas as pd
import xarray as xr

from plateaulens.names import CONTROL, label
from plateaulens.report.contents import compared_types, synthetic_types, values_of, word_of
from plateaulens.report.phrases import NOTHING_TO_COMPARE, confidence_of
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import listing, number, p_equals


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
    told = {name: word_of(group, "told", name) for name in compared_types(group)}
    words = {
        "told apart": "told from real ones, by a classifier or by their mean discrepancy, for",
        "not told apart": "told from real ones by no test for",
        "undefined": "not known well enough to be tested for",
    }
    found = []
    for verdict, claim in words.items():
        if types := [label(name) for name in synthetic_types(group) if told[name] == verdict]:
            found.append(f"{claim} {listing(types)}")
    text = f"Targets are {'; they are '.join(found)} (n = {_most(group)}, p adjusted over types and tests)."
    if CONTROL not in told:
        return text
    smallest = f"(smallest {p_equals(_least(group.sel(activation_type=CONTROL)))}, not adjusted)"
    if told[CONTROL] != "told apart":
        return (
            f"{text} {label(CONTROL).capitalize()}, the second draw of real targets, is not told from real {smallest}."
        )
    return (
        f"{text} {label(CONTROL).capitalize()}, the second draw of real targets, is told from real too {smallest}: the "
        f"two are exchangeable by construction, so this is a false alarm."
    )


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
        f"Targets against real ones, n = {_most(group)} base prompts: area under the ROC curve (AUC, chance 0.5) and "
        f"share of targets told right, of a linear (L) and a Gaussian (G) classifier; squared maximum mean discrepancy "
        f"(MMD) in thousandths; permutation p-values within base prompts, not adjusted."
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
        f"How well cross-validated classifiers tell a type's targets from real ones: area under the ROC curve with "
        f"{confidence} bootstrap intervals, n = {_most(group)} base prompts. Of areas that targets exchangeable with "
        f"real ones would have, {confidence_of(group['auc_null_upper'])} lie in the grey part."
    )


def _most(group: xr.Dataset) -> str:
    """The base prompts of the type that has most of them."""
    return number(int(group["prompts"].max()), 0)


def _least(own: xr.Dataset) -> float:
    """The smallest p-value of one type."""
    return min(float(p) for p in (*own["classifier_p"], own["mmd_p"]))
