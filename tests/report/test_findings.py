"""Tests of plateaulens.report.findings."""

import json
import re

import numpy as np
import xarray as xr

from plateaulens.report import findings, power, verdicts
from plateaulens.report.contents import types_of


def test_a_run_without_a_plateau_threshold_says_so(summary: xr.DataTree) -> None:
    tree = summary.copy()
    tree.attrs["analysis"] = json.dumps(json.loads(summary.attrs["analysis"]) | {"plateau_threshold": {}})
    assert findings.points(tree).splitlines()[1].startswith("- The analysis has no plateau threshold")


def test_the_first_screen_has_no_false_alarm_for_a_finding(summary: xr.DataTree) -> None:
    """What is tested of real control is no claim about a type."""
    text = f"{findings.headline(summary)} {findings.points(summary)}"
    assert "control" not in text
    assert "more than chance" not in text


def test_limits_hold_what_the_run_says_against_itself(summary: xr.DataTree) -> None:
    items = findings.limits(summary).splitlines()
    assert items == [f"- {findings.comparisons_sentence(summary)}"]
    tree = summary.copy()
    looks = [
        {"completed": {"sensitivity": count}, "level": 0.05, "planned": {"sensitivity": 300}} for count in (12, 24)
    ]
    tree.attrs["looks"] = json.dumps(looks)
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    verdict = groups["plateau"]["verdict"]
    groups["plateau"] = groups["plateau"].assign(verdict=verdict.assign_attrs(margin_as_recorded=False))
    late = xr.DataTree.from_dict(groups)
    late.attrs = tree.attrs
    assert findings.limits(late).splitlines() == [
        *items,
        f"- {verdicts.margin_sentences(late)}",
        f"- {power.looks_sentence(late)}",
    ]


def test_comparisons_are_counted(summary: xr.DataTree) -> None:
    count = sum(
        int(np.isfinite(summary[name]["ks"].sel(convention="corrected", activation_type=kind)).sum())
        for name in ("sensitivity", "sensitivity_absolute", "plateau")
        for kind in types_of(summary[name].to_dataset())
        if kind != "real"
    )
    text = findings.comparisons_sentence(summary)
    assert text.startswith(f"The summary holds {count} comparisons")
    assert "none is corrected" not in text


def test_no_sentence_has_a_hyphen_for_a_minus(summary: xr.DataTree, reversed_summary: xr.DataTree) -> None:
    for tree in (summary, reversed_summary):
        assert not re.search(r"(?<=[ (])-\d", f"{findings.headline(tree)} {findings.points(tree)}")
