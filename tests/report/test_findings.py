"""Tests of plateaulens.report.findings."""

import json
import re

import numpy as np
import xarray as xr

from plateaulens.names import CONTROL
from plateaulens.report import confounds, findings, nearness, plateaus, power, verdicts
from plateaulens.report.contents import experiments_of, types_of
from plateaulens.report.effects import joint_table_caption


def test_what_was_not_measured_is_no_finding(summary: xr.DataTree) -> None:
    """Each bullet has the place that shows it; the section says what is lacking."""
    whole = findings.points(summary).splitlines()
    assert len(whole) == 3
    assert all(re.search(r"\d.*[( ]@tbl-[\w-]+\)", point) for point in whole)
    tree = summary.copy()
    tree.attrs["analysis"] = json.dumps(json.loads(summary.attrs["analysis"]) | {"plateau_threshold": {}})
    assert findings.points(tree).splitlines() == [whole[0], whole[2]]
    quick = summary.copy()
    del quick["plateau"]
    assert findings.points(quick).splitlines() == [whole[0], whole[2]]
    alone = quick.copy()
    del alone["confounds"]
    assert findings.points(alone).splitlines() == whole[:1]


NUMBER = re.compile(r"\d+\.\d+")


def test_what_a_bullet_links_to_holds_its_numbers(summary: xr.DataTree) -> None:
    """In one row of one table, which has them as the type minus real where the bullet says by how much earlier."""
    groups = {name: node.to_dataset() for name, node in summary.children.items()}
    relative = groups["sensitivity"].copy(deep=True)
    pair = {"activation_type": "structured", "other_type": "baseline"}
    relative["ks_difference_interval"].loc[pair] = np.array([-0.4, 0.15])
    tree = xr.DataTree.from_dict(groups | {"sensitivity": relative})
    tree.attrs = dict(summary.attrs)
    tables = {
        "tbl-pairs": nearness.pair_table(relative),
        "tbl-plateau-effects": plateaus.effect_table(groups["plateau"], metric="l2"),
        "tbl-confounds": confounds.confounds_table(groups["confounds"], metric="l2"),
    }
    points = findings.points(tree).splitlines()
    assert len(points) == len(tables)
    for point, (place, table) in zip(points, tables.items(), strict=True):
        assert f"@{place})" in point
        wanted = set(NUMBER.findall(point))
        assert len(wanted) >= 2
        rows = [set(NUMBER.findall(" ".join(map(str, row)))) for row in table.cells().to_numpy()]
        assert any(wanted <= row for row in rows), point


def test_at_equal_length_the_table_is_that_of_the_metric(summary: xr.DataTree) -> None:
    groups = {name: node.to_dataset() for name, node in summary.children.items()}
    groups["confounds"] = groups["confounds"].sel(metric=["kl"])
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(summary.attrs)
    assert "@tbl-confounds-kl)" in findings.points(tree).splitlines()[2]


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
