"""Tests of plateaulens.report.robustness: what each sentence claims follows from intervals and p-values alone."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from plateaulens.report import robustness
from plateaulens.report.text import MISSING, markdown

Edit = Callable[..., xr.Dataset]


def kept(group: xr.Dataset, *types: str) -> xr.Dataset:
    """The group with a few of its types."""
    return group.sel(activation_type=list(types))


class TestGeometry:
    @pytest.fixture
    def bag(self, summary: xr.DataTree, edit: Edit) -> xr.Dataset:
        """Bag comes later, as it is and however it is adjusted."""
        group = kept(summary["confounds"].to_dataset(), "real", "bag")
        group = edit(group, "adjusted_difference_interval", [1.0, 3.0])
        return edit(group, "matched_difference_interval", [1.0, 3.0])

    def test_what_stays_is_still_there(self, bag: xr.Dataset) -> None:
        assert robustness.adjusted_sentences(bag) == (
            "At equal path length (relative steps), on L2 and KL, bag is still later than real by regression and by "
            "matching."
        )

    @pytest.mark.parametrize(
        ("interval", "words"),
        [
            ([-1.0, 1.0], "no longer shown to differ by regression, still later than real by matching"),
            ([-3.0, -1.0], "now earlier than real by regression, still later than real by matching"),
            ([np.nan, np.nan], "not comparable by regression, still later than real by matching"),
        ],
    )
    def test_what_goes_is_said_to_go(self, bag: xr.Dataset, edit: Edit, interval: list[float], words: str) -> None:
        group = edit(bag, "adjusted_difference_interval", interval, adjustment="path_length")
        assert f"bag is {words}." in robustness.adjusted_sentences(group, metrics=("l2",))

    def test_no_difference_at_all(self, bag: xr.Dataset, edit: Edit) -> None:
        group = edit(bag, "adjusted_difference_interval", [-1.0, 1.0])
        group = edit(group, "matched_difference_interval", [-1.0, 1.0])
        assert "bag is not shown to differ by regression and by matching." in robustness.adjusted_sentences(group)

    def test_a_run_without_the_path_or_without_types(self, bag: xr.Dataset) -> None:
        text = robustness.adjusted_sentences(bag.sel(path=["plateau"]))
        assert text == "The run has no relative steps to compare at equal path length."
        assert "no type to compare" in robustness.adjusted_sentences(kept(bag, "real"))


class TestTargets:
    @pytest.fixture
    def alike(self, summary: xr.DataTree, edit: Edit) -> xr.Dataset:
        """Nothing is told from real."""
        group = kept(summary["distinguish"].to_dataset(), "real", "real_control", "random", "bag")
        return edit(edit(group, "classifier_p", 0.9), "mmd_p", 0.9)

    def test_nothing_is_told_apart(self, alike: xr.Dataset) -> None:
        text = robustness.distinguish_sentence(alike)
        assert text.startswith("Targets are told from real ones by no test for random and bag (n = 24")
        assert (
            "Real control, the second draw of real targets, is not told from real (smallest p\u00a0=\u00a00.900" in text
        )

    def test_p_values_are_adjusted_for_types_and_tests(self, alike: xr.Dataset, edit: Edit) -> None:
        # Six tests, two types with three tests each: the smallest p-value counts sixfold.
        for p, told in ((0.008, True), (0.009, False)):
            group = edit(alike, "mmd_p", p, activation_type="bag")
            assert ("discrepancy, for bag; they" in robustness.distinguish_sentence(group)) == told

    def test_a_control_that_is_told_apart_is_a_caution(self, alike: xr.Dataset, edit: Edit) -> None:
        group = edit(alike, "mmd_p", 0.01, activation_type="real_control")
        assert "But real control, the second draw of real targets, is told from real too" in (
            robustness.distinguish_sentence(group)
        )

    def test_a_run_without_control_or_types(self, alike: xr.Dataset) -> None:
        assert "second draw" not in robustness.distinguish_sentence(kept(alike, "real", "bag"))
        assert "no type to compare" in robustness.distinguish_sentence(kept(alike, "real"))


class TestConstants:
    @pytest.fixture
    def steady(self, summary: xr.DataTree, edit: Edit) -> xr.Dataset:
        """Whatever is moved, bag is later and nothing is known of structured and baseline."""
        group = kept(summary["constants"].to_dataset(), "real", "bag")
        return edit(edit(group, "timing", "later"), "nearness", "undecided")

    @staticmethod
    def case(group: xr.Dataset, constant: str, value: float) -> xr.DataArray:
        """Which case moves a constant of relative max-slope steps to a value."""
        chosen = (group["experiment"] == "sensitivity") & (group["statistic"] == "max_slope")
        return chosen & (group["constant"] == constant) & (group["value"] == value)

    def test_nothing_changes(self, steady: xr.Dataset) -> None:
        text = robustness.constants_sentence(steady)
        assert text.startswith("Of 4 conclusions on max-slope steps in relative steps")
        assert "moving the slope threshold by factors of 0.01 to 100 changes none" in text
        table = robustness.constants_table(steady)
        headings = table["constant"].str.startswith("**")
        assert next(iter(table["constant"][headings])) == "**relative, max slope**"
        assert set(table["changes"][~headings]) == {"none"}
        assert set(table["on"][~headings]) <= {"L2, KL", "L2"}, "metrics that agree share a row"

    def test_changes_are_counted_and_named(self, steady: xr.Dataset) -> None:
        moved = self.case(steady, "minimum_slope", 100.0)
        group = steady.copy(deep=True)
        at_kl = moved & (group["metric"] == "kl")
        group["timing"] = group["timing"].where(~(at_kl & (group["activation_type"] == "bag")), "undecided")
        group["nearness"] = group["nearness"].where(~at_kl, "nearer")
        text = robustness.constants_sentence(group)
        assert "moving the slope threshold by factors of 0.01 to 100 changes 2" in text
        table = robustness.constants_table(group)
        changed = table[~table["changes"].isin(["none", ""])]
        assert list(changed["on"]) == ["KL"]
        assert list(changed["changes"]) == ["at 100 undecided: bag; at 100 structured nearer than baseline"]

    def test_a_run_without_relative_steps(self, steady: xr.Dataset) -> None:
        group = steady.isel(case=np.flatnonzero(steady["experiment"].values == "plateau"))
        assert robustness.constants_sentence(group).startswith("No constant was moved")
        assert markdown(robustness.constants_table(group.isel(case=[]))) == MISSING
