"""Tests of plateaulens.report.findings."""

import json
import re

import numpy as np
import xarray as xr

from plateaulens.names import CONTROL
from plateaulens.report import findings, power, verdicts
from plateaulens.report.contents import experiments_of, types_of
from plateaulens.report.effects import joint_table_caption


def test_what_was_not_measured_is_no_finding(summary: xr.DataTree) -> None:
    """Each bullet has a number and the place that shows it; the section says what is lacking."""
    whole = findings.points(summary).splitlines()
    assert len(whole) == 3
    assert all(re.search(r"\d.*\(@\w+-\w+\)", point) for point in whole)
    tree = summary.copy()
    tree.attrs["analysis"] = json.dumps(json.loads(summary.attrs["analysis"]) | {"plateau_threshold": {}})
    assert findings.points(tree).splitlines() == [whole[0], whole[2]]
    quick = summary.copy()
    del quick["plateau"]
    assert findings.points(quick).splitlines() == [whole[0], whole[2]]
    alone = quick.copy()
    del alone["confounds"]
    assert findings.points(alone).splitlines() == whole[:1]


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
    drawn_again = sum(
        int(experiment["ks"].sel(convention="corrected", activation_type=CONTROL).count())
        for experiment in experiments_of(summary).values()
    )
    assert f"convention, {drawn_again} of them of real targets drawn again. " in text
    assert "none is corrected" not in text
    assert "Intervals are each for themselves, where no caption says that they hold together. Comparisons" in text
    joint = joint_table_caption(summary["sensitivity"].to_dataset())
    assert "hold for all types of a metric together" in joint, "so that not all intervals are"


def test_no_sentence_has_a_hyphen_for_a_minus(summary: xr.DataTree, reversed_summary: xr.DataTree) -> None:
    for tree in (summary, reversed_summary):
        assert not re.search(r"(?<=[ (])-\d", f"{findings.headline(tree)} {findings.points(tree)}")
