"""Tests of plateaulens.report.constants: which conclusions change with a constant is what the summary says."""

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.words import changed

from plateaulens.report.constants import (
    constants_sentence,
    constants_table,
    constants_table_caption,
    moved_table,
    moved_table_caption,
)
from plateaulens.report.text import MISSING

Edit = Callable[..., xr.Dataset]


@pytest.fixture
def steady(summary: xr.DataTree, edit: Edit) -> xr.Dataset:
    """Whatever is moved, bag and structured are later, and which of structured and baseline is nearer is open."""
    group = summary["constants"].to_dataset().sel(activation_type=["real", "bag", "structured"])
    return changed(edit(edit(group, "conclusion", "later"), "nearness", "undecided"))


def case(group: xr.Dataset, constant: str, value: float) -> xr.DataArray:
    """Which case moves a constant of relative max-slope steps to a value."""
    chosen = (group["experiment"] == "sensitivity") & (group["statistic"] == "max_slope")
    return chosen & (group["constant"] == constant) & (group["value"] == value)


def row(group: xr.Dataset, experiment: str, constant: str) -> dict[Hashable, Any]:
    """What `moved_table` has of a constant for the statistic that an experiment is about."""
    title = {"sensitivity": "relative, max slope", "plateau": "plateau, length"}[experiment]
    name = constant.replace("_", " ").replace("minimum slope", "slope threshold")
    (found,) = [
        each
        for each in moved_table(group).frame.to_dict("records")
        if each["about"].startswith(title) and each["moved"].startswith(name)
    ]
    return found


def test_nothing_changes(steady: xr.Dataset) -> None:
    text = constants_sentence(steady)
    assert text.startswith("Every conclusion is asked again with one constant moved at a time: none of ")
    assert text.endswith(" come out otherwise (@tbl-moved).")
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []
    assert set(moved_table(steady).frame["which"]) == {""}
    assert set(moved_table(steady).frame["values"]) == {""}
    table = constants_table(steady).cells()
    headings = table["constant"].str.startswith("**")
    assert next(iter(table["constant"][headings])) == "**relative, max slope**"
    assert "**plateau, length**" in list(table["constant"])
    assert set(table["changes"][~headings]) == {"none"}
    assert set(table["on"][~headings]) <= {"L2, KL", "L2"}, "metrics that agree share a row"


def test_changes_are_counted_and_named(steady: xr.Dataset) -> None:
    moved = case(steady, "minimum_slope", 100.0)
    group = steady.copy(deep=True)
    at_kl = moved & (group["metric"] == "kl")
    group["conclusion"] = group["conclusion"].where(~(at_kl & (group["activation_type"] == "bag")), "undecided")
    claim = (group["activation_type"] == "structured") & (group["other_type"] == "baseline")
    group["nearness"] = group["nearness"].where(~(at_kl & claim), "nearer")
    group = changed(group)
    text = constants_sentence(group)
    assert ": 2 of " in text
    assert text.endswith(" come out otherwise (@tbl-moved).")
    moved_at = row(group, "sensitivity", "minimum_slope")
    assert (moved_at["conclusions_changed"], moved_at["conclusions"], moved_at["values"]) == (2, 6, "100")
    assert moved_at["which"] == "bag; nearer of the pair"
    assert moved_at["about"] == "relative, max slope, on L2 and KL"
    assert row(group, "sensitivity", "step_size")["which"] == ""
    table = constants_table(group).cells()
    found = table[~table["changes"].isin(["none", ""])]
    assert list(found["on"]) == ["KL"]
    assert list(found["changes"]) == ["at 100 undecided: bag; at 100 structured nearer than baseline"]


def test_every_value_at_which_something_changes_is_named(steady: xr.Dataset) -> None:
    bag = steady["activation_type"] == "bag"

    def said(*moved: tuple[str, float]) -> xr.Dataset:
        group = steady.copy(deep=True)
        for constant, value in moved:
            at = case(group, constant, value) & (group["metric"] == "kl") & bag
            group["conclusion"] = group["conclusion"].where(~at, "undecided")
        return changed(group)

    once = said(("minimum_slope", 100.0))
    assert ": 1 of " in constants_sentence(once)
    assert " comes out otherwise" in constants_sentence(once)
    assert row(once, "sensitivity", "minimum_slope")["values"] == "100"
    twice = row(said(("minimum_slope", 100.0), ("minimum_slope", 0.01)), "sensitivity", "minimum_slope")
    assert (twice["conclusions_changed"], twice["values"], twice["which"]) == (1, "0.01, 100", "bag")


def test_other_pairs_are_not_counted(steady: xr.Dataset) -> None:
    group = steady.copy(deep=True)
    other = (group["activation_type"] == "bag") & (group["other_type"] == "baseline")
    group["nearness"] = group["nearness"].where(~(case(group, "minimum_slope", 100.0) & other), "nearer")
    assert row(changed(group), "sensitivity", "minimum_slope")["conclusions_changed"] == 0


def test_without_the_claim_s_types_only_types_are_counted(steady: xr.Dataset) -> None:
    alone = changed(steady.sel(activation_type=["real", "bag"]))
    assert row(alone, "sensitivity", "minimum_slope")["conclusions"] == 2
    assert "pair" not in moved_table_caption(alone)
    assert "whether structured or baseline is nearer" in moved_table_caption(steady)


def test_conclusions_on_plateaus_are_counted_too(steady: xr.Dataset) -> None:
    group = steady.copy(deep=True)
    plateaus = (group["experiment"] == "plateau") & (group["constant"] == "plateau_threshold")
    at = plateaus & (group["value"] == 4.0) & (group["activation_type"] == "bag") & (group["metric"] == "l2")
    group = changed(group.assign(conclusion=group["conclusion"].where(~at, "undecided")))
    own = row(group, "plateau", "plateau_threshold")
    assert (own["conclusions_changed"], own["values"], own["which"]) == (1, "4", "bag")
    assert row(group, "sensitivity", "minimum_slope")["conclusions_changed"] == 0
    assert "| plateau threshold, \u00d7 0.25 to 4" in moved_table(group).markdown()


def test_controls_other_metrics_and_undefined_conclusions_are_not_counted(summary: xr.DataTree) -> None:
    group = summary["constants"].to_dataset().sel(activation_type=["real", "real_control", "bag"]).copy(deep=True)
    group["conclusion"][:] = "later"
    moved = group["value"] == 100.0
    group["conclusion"] = group["conclusion"].where(~(moved & (group["activation_type"] == "real_control")), "no")
    group["conclusion"] = group["conclusion"].where(~(moved & (group["metric"] == "js")), "no")
    group["conclusion"] = group["conclusion"].where(group["metric"] != "kl", "undefined")
    counted = changed(group)
    assert counted["conclusion_changed"].any()
    assert (counted["conclusions"] == 1).all()
    assert (counted["conclusions_changed"] == 0).all()


def test_the_caption_says_that_they_are_adjusted(steady: xr.Dataset) -> None:
    text = constants_table_caption(steady)
    assert "the conclusions of the other sections" in text
    assert "Their level is 0.05, adjusted by Holm's method." in text


def test_a_run_without_relative_steps(steady: xr.Dataset) -> None:
    group = steady.isel(case=np.flatnonzero(steady["experiment"].values == "plateau"))
    assert constants_sentence(group).startswith("No constant was moved")
    assert constants_table(group.isel(case=[])).markdown() == MISSING


def test_the_frame_has_the_ends_of_the_values(summary: xr.DataTree) -> None:
    frame = constants_table(summary["constants"].to_dataset()).frame
    one = frame[(frame["experiment"] == "sensitivity") & (frame["constant"] == "minimum_slope")].iloc[0]
    assert (one["statistic"], one["lowest"], one["highest"]) == ("max_slope", 0.01, 100.0)
