"""Tests of plateaulens.report.confounds: what becomes of a difference at equal geometry is the summary's word."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.tables import row
from tests.report.words import fated

from plateaulens.report.confounds import adjusted_sentences, confounds_table, confounds_table_caption, still_sentence
from plateaulens.report.text import MISSING, estimate

Edit = Callable[..., xr.Dataset]


def kept(group: xr.Dataset, *types: str) -> xr.Dataset:
    """The group with a few of its types."""
    return group.sel(activation_type=list(types))


@pytest.fixture
def bag(summary: xr.DataTree, edit: Edit) -> xr.Dataset:
    """Bag comes later, as it is and however it is adjusted, and nothing is shown to change."""
    group = kept(summary["confounds"].to_dataset(), "real", "bag")
    group = edit(edit(group, "adjusted_difference", 2.0), "adjusted_difference_interval", [1.0, 3.0])
    for name in ("adjusted", "matched"):
        group = edit(edit(group, f"{name}_change", 0.0), f"{name}_change_interval", [-1.0, 1.0])
    return fated(edit(group, "matched_difference_interval", [1.0, 3.0]))


def moved(edit: Edit, group: xr.Dataset, change: float, ends: list[float], name: str = "adjusted") -> xr.Dataset:
    """The group in which regression, or matching, at equal path length changes the difference by so much."""
    where = {"adjusted": "adjustment", "matched": "covariate"}[name]
    group = edit(group, f"{name}_change", change, **{where: "path_length"})
    return edit(group, f"{name}_change_interval", ends, **{where: "path_length"})


class TestSentences:
    def test_what_stays_is_still_there(self, bag: xr.Dataset) -> None:
        assert adjusted_sentences(bag) == (
            "The differences of relative steps are compared at equal path length (@tbl-confounds). Bag still blows up "
            "later than real by regression and by matching on L2 and KL. No difference is shown to change."
        )

    @pytest.mark.parametrize(
        ("interval", "words"),
        [
            ([-1.0, 1.0], "Bag is no longer shown to differ"),
            ([-3.0, -1.0], "Bag now blows up earlier than real"),
            ([np.nan, np.nan], "Bag is not comparable"),
        ],
    )
    def test_what_goes_is_said_to_go(self, bag: xr.Dataset, edit: Edit, interval: list[float], words: str) -> None:
        group = edit(bag, "adjusted_difference_interval", interval, adjustment="path_length")
        group = fated(moved(edit, group, 2.0, [1.0, 3.0]))
        text = adjusted_sentences(group, metrics=("l2",))
        assert f"{words} by regression on L2." in text
        assert "Bag still blows up later than real by matching on L2." in text

    def test_what_is_no_longer_shown_need_not_have_changed(self, bag: xr.Dataset, edit: Edit) -> None:
        """An irrelevant covariate widens the interval, until it holds 0: that is no finding."""
        group = edit(bag, "adjusted_difference_interval", [-0.5, 3.5], adjustment="path_length")
        group = fated(edit(group, "matched_difference_interval", [-0.5, 3.5], covariate="path_length"))
        text = adjusted_sentences(group)
        assert "The fate of bag is undecided by regression and by matching on L2 and KL." in text
        assert text.endswith("No difference is shown to change.")
        assert "no longer" not in text

    @pytest.mark.parametrize(
        ("difference", "change", "interval", "words"),
        [
            (2.0, 1.5, [1.0, 2.0], "is smaller"),
            (-2.0, -1.5, [-2.0, -1.0], "is smaller"),
            (2.0, -1.5, [-2.0, -1.0], "is larger"),
            (2.0, 6.0, [5.0, 7.0], "changes sign"),
            (2.0, 3.0, [1.0, 5.0], "changes sign"),
        ],
    )
    def test_a_change_is_claimed_with_its_kind(
        self, bag: xr.Dataset, edit: Edit, difference: float, change: float, interval: list[float], words: str
    ) -> None:
        group = moved(edit, edit(bag, "adjusted_difference", difference), change, interval)
        text = adjusted_sentences(fated(group))
        assert (
            f"The difference of bag {words} by regression on L2 and KL. No other difference is shown to change." in text
        )
        assert "explain" not in text

    def test_what_matching_alone_changes_is_not_denied(self, bag: xr.Dataset, edit: Edit) -> None:
        """On one metric matching finds a change that regression does not: each is named with what it finds."""
        ends = edit(bag, "matched_change_interval", [-8.2, -0.2], covariate="path_length", metric="kl")
        text = adjusted_sentences(fated(edit(ends, "matched_change", -4.2, covariate="path_length", metric="kl")))
        assert text.endswith(
            "The difference of bag is larger by matching on KL. No other difference is shown to change."
        )

    def test_sentences_on_all_types_are_short_enough(self, summary: xr.DataTree, edit: Edit) -> None:
        group = edit(summary["confounds"].to_dataset(), "adjusted_difference", 9.0)
        group = moved(edit, moved(edit, group, 2.0, [1.0, 3.0]), 2.0, [1.0, 3.0], "matched")
        text = adjusted_sentences(fated(group))
        assert "The difference of every synthetic type is smaller by regression and by matching on L2 and KL." in text
        assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []

    def test_no_difference_at_all(self, bag: xr.Dataset, edit: Edit) -> None:
        group = edit(bag, "adjusted_difference_interval", [-1.0, 1.0])
        group = fated(edit(group, "matched_difference_interval", [-1.0, 1.0]))
        text = "Bag is not shown to differ by regression and by matching on L2 and KL."
        assert text in adjusted_sentences(group)

    def test_a_run_without_the_path_or_without_types(self, bag: xr.Dataset) -> None:
        text = adjusted_sentences(bag.sel(path=["plateau"]))
        assert text == "The run has no relative steps to compare at equal path length."
        assert "no type to compare" in adjusted_sentences(kept(bag, "real"))
        cut = adjusted_sentences(bag, path="sensitivity_absolute_to_target")
        assert cut.startswith("The differences of absolute steps up to the target are compared at equal path length")

    def test_what_is_still_there_is_counted(self, bag: xr.Dataset, edit: Edit) -> None:
        matching = "Matching still finds 1 later than real on L2, and 1 on KL."
        assert still_sentence(bag) == (
            "For relative steps at equal path length, regression still finds 1 of 1 type later than real on L2, and 1 "
            f"on KL. {matching}"
        )
        gone = fated(edit(bag, "adjusted_difference_interval", [-0.5, 3.5], adjustment="path_length", metric="kl"))
        assert still_sentence(gone).endswith(f"1 of 1 type later than real on L2, and none on KL. {matching}")
        assert still_sentence(bag.sel(path=["plateau"])) == (
            "The run has no relative steps to compare at equal path length."
        )
        assert "no type to compare" in still_sentence(kept(bag, "real"))

    def test_what_is_still_there_has_a_direction_where_it_is_the_same(self, bag: xr.Dataset, edit: Edit) -> None:
        earlier = edit(edit(bag, "adjusted_difference", -2.0), "adjusted_difference_interval", [-3.0, -1.0])
        unmatched = fated(edit(earlier, "matched_difference_interval", [-0.5, 3.5]))
        assert still_sentence(unmatched).endswith(
            "regression still finds 1 of 1 type earlier than real on L2, and 1 on KL. Matching still finds none "
            "earlier or later than real on L2, and none on KL."
        )
        mixed = fated(edit(bag, "adjusted_difference_interval", [-3.0, -1.0], metric="kl"))
        assert "1 of 1 type earlier or later than real on L2, and 1 on KL." in still_sentence(mixed)

    def test_what_is_still_there_names_its_steps(self, bag: xr.Dataset) -> None:
        assert still_sentence(bag, path="sensitivity_absolute").startswith("For absolute steps at equal path length, ")


class TestTable:
    def test_a_change_that_is_shown_has_a_star(self, bag: xr.Dataset, edit: Edit) -> None:
        cells = row(confounds_table(bag, metric="l2", paths=("sensitivity",)), "bag")
        assert "*" not in cells["change, regression"] + cells["change, matching"]
        group = fated(moved(edit, bag, 2.0, [1.0, 3.0], "matched"))
        cells = row(confounds_table(group, metric="l2", paths=("sensitivity",)), "bag")
        assert cells["change, matching"] == "2.0 [1.0,\u00a03.0]\\*"
        assert "*" not in cells["change, regression"]

    def test_it_says_where_there_is_no_overlap(self, summary: xr.DataTree, edit: Edit) -> None:
        confounds = edit(summary["confounds"].to_dataset(), "overlap", True)
        confounds = edit(confounds, "overlap", False, activation_type="bag", adjustment="all", path="sensitivity")
        table = confounds_table(confounds, metric="l2", paths=("sensitivity", "sensitivity_absolute"))
        headings = [name for name in table.cells()["type"] if name.startswith("**")]
        assert headings == ["**relative steps**", "**absolute steps**"]
        cells = row(table, "bag")
        assert cells["equal geometry"] == "no overlap"
        assert cells["as it is"] != "no overlap"
        values = confounds.sel(path="sensitivity", statistic="max_slope", metric="l2", activation_type="bag")
        lower, upper = values["adjusted_change_interval"].sel(adjustment="path_length").values
        assert cells["change, regression"] == estimate(
            float(values["adjusted_change"].sel(adjustment="path_length")), [lower, upper]
        )
        lower, upper = values["matched_change_interval"].sel(covariate="path_length").values
        assert cells["change, matching"] == estimate(
            float(values["matched_change"].sel(covariate="path_length")), [lower, upper]
        )
        assert cells["prompts"] == str(int(values["matched_prompts"].sel(covariate="path_length")))

    def test_it_has_the_paths_of_experiments_about_the_statistic(self, summary: xr.DataTree) -> None:
        table = confounds_table(summary["confounds"].to_dataset(), metric="kl")
        paths = ["sensitivity", "sensitivity_absolute", "sensitivity_absolute_to_target"]
        assert list(dict.fromkeys(table.frame["path"])) == paths

    def test_its_caption_says_that_its_intervals_are_not_those_of_other_tables(self, summary: xr.DataTree) -> None:
        """Of the same difference, as it is."""
        caption = confounds_table_caption(summary["confounds"].to_dataset(), metric="l2")
        assert "robust 95\u00a0% ones, not adjusted for their number. They need not be those that other" in caption
        where = {"statistic": "max_slope", "metric": "l2", "activation_type": "bag"}
        robust = summary["confounds"].to_dataset().sel({"path": "sensitivity", "adjustment": "none", **where})
        other = summary["sensitivity"].to_dataset().sel({"convention": "corrected", **where})
        assert float(robust["adjusted_difference"]) == pytest.approx(float(other["restricted_mean_difference"]))
        ends = robust["adjusted_difference_interval"].values, other["restricted_mean_difference_interval"].values
        assert not np.allclose(*ends, rtol=1e-3)

    def test_without_the_path_or_the_metric_it_is_a_dash(self, summary: xr.DataTree) -> None:
        confounds = summary["confounds"].to_dataset()
        assert confounds_table(confounds.sel(path=["plateau"]), metric="l2").markdown() == MISSING
        assert confounds_table(confounds.sel(metric=["l2"]), metric="kl").markdown() == MISSING
