"""Tests of plateaulens.report.constants: which conclusions change with a constant is what the summary says."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.words import changed

from plateaulens.report.constants import constants_sentence, constants_table, constants_table_caption
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


def test_nothing_changes(steady: xr.Dataset) -> None:
    text = constants_sentence(steady)
    assert text.startswith(
        "Moving the slope threshold by factors of 0.01 to 100 changes none of 6 conclusions on relative, max slope on "
        "L2 and KL. Moving the step size over"
    )
    assert "Moving the plateau threshold by factors of 0.25 to 4 changes none of" in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []
    assert "only at" not in text
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
    assert text.startswith("Moving the slope threshold by factors of 0.01 to 100 changes 2 of 6 conclusions on")
    assert "on L2 and KL. They change only at a factor of 100. Moving the step size" in text
    assert text.count("only at") == 1
    table = constants_table(group).cells()
    found = table[~table["changes"].isin(["none", ""])]
    assert list(found["on"]) == ["KL"]
    assert list(found["changes"]) == ["at 100 undecided: bag; at 100 structured nearer than baseline"]


def test_the_value_is_named_only_where_all_changes_are_at_it(steady: xr.Dataset) -> None:
    bag = steady["activation_type"] == "bag"

    def said(*moved: tuple[str, float]) -> str:
        group = steady.copy(deep=True)
        for constant, value in moved:
            at = case(group, constant, value) & (group["metric"] == "kl") & bag
            group["conclusion"] = group["conclusion"].where(~at, "undecided")
        return constants_sentence(changed(group))

    text = said(("minimum_slope", 100.0))
    assert "changes 1 of 6 conclusions" in text
    assert "It changes only at a factor of 100." in text
    text = said(("minimum_slope", 100.0), ("minimum_slope", 0.01))
    assert "changes 1 of 6 conclusions" in text
    assert "only at" not in text
    highest = float(steady["value"].where(steady["constant"] == "step_size").max())
    text = said(("step_size", highest))
    assert f" It changes only at {highest:g} stored steps." in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []


def test_other_pairs_are_not_counted(steady: xr.Dataset) -> None:
    group = steady.copy(deep=True)
    other = (group["activation_type"] == "bag") & (group["other_type"] == "baseline")
    group["nearness"] = group["nearness"].where(~(case(group, "minimum_slope", 100.0) & other), "nearer")
    assert "by factors of 0.01 to 100 changes none of" in constants_sentence(changed(group))


def test_without_the_claim_s_types_only_types_are_counted(steady: xr.Dataset) -> None:
    text = constants_sentence(changed(steady.sel(activation_type=["real", "bag"])))
    assert " of 2 conclusions on relative, max slope on L2 and KL." in text


def test_conclusions_on_plateaus_are_counted_too(steady: xr.Dataset) -> None:
    group = steady.copy(deep=True)
    plateaus = (group["experiment"] == "plateau") & (group["constant"] == "plateau_threshold")
    at = plateaus & (group["value"] == 4.0) & (group["activation_type"] == "bag") & (group["metric"] == "l2")
    group = changed(group.assign(conclusion=group["conclusion"].where(~at, "undecided")))
    text = constants_sentence(group)
    assert "Moving the plateau threshold by factors of 0.25 to 4 changes 1 of" in text
    assert "changes 1 of" not in text.partition("Moving the plateau threshold")[0]
    assert "It changes only at a factor of 4." in text


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
