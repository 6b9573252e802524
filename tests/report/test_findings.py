"""Tests of plateaulens.report.findings."""

import json
import re

import numpy as np
import xarray as xr

from plateaulens.report import findings, verdicts
from plateaulens.report.contents import types_of


def test_findings_have_an_item_per_question(summary: xr.DataTree) -> None:
    items = findings.findings(summary).splitlines()
    titles = [item.partition("**")[2].partition("**")[0] for item in items]
    assert titles == [
        "Like real ones?",
        "The paper's claim.",
        "Noise floor.",
        "Plateaus.",
        "Path lengths.",
        "The targets themselves.",
        "Constants.",
    ]


def test_findings_say_once_what_the_summary_lacks(summary: xr.DataTree) -> None:
    tree = xr.DataTree.from_dict({name: summary[name].to_dataset() for name in ("geometry", "plateau")})
    tree.attrs = summary.attrs
    text = findings.findings(tree)
    assert text.count("This run has no experiment with relative steps.") == 1
    for absent in ("comparison at equal geometry", "test of the targets themselves", "under other constants"):
        assert text.count(absent) == 1


def test_a_run_without_a_plateau_threshold_says_so(summary: xr.DataTree) -> None:
    tree = summary.copy()
    tree.attrs["analysis"] = json.dumps(json.loads(summary.attrs["analysis"]) | {"plateau_threshold": {}})
    assert "**Plateaus.** The analysis has no plateau threshold" in findings.findings(tree)


def test_the_noise_floor_says_how_many_false_alarms_there_are(summary: xr.DataTree) -> None:
    text = findings.findings(summary)
    assert verdicts.false_alarm_sentence(summary) in text
    assert "more than chance" not in text


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
        assert not re.search(r"-\d", findings.findings(tree))
