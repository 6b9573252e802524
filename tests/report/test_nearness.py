"""Tests of plateaulens.report.nearness: which of two types is nearer to real is the summary's word."""

from collections.abc import Callable

import pytest
import xarray as xr
from tests.report.reading import faults, sentences

from plateaulens.names import label
from plateaulens.report import nearness
from plateaulens.report.contents import synthetic_types
from plateaulens.report.text import MISSING, interval, number

Edit = Callable[..., xr.Dataset]


def only(group: xr.Dataset, *kept: str) -> xr.Dataset:
    """The group with a few of its types."""
    return group.sel(activation_type=list(kept), other_type=list(kept))


class TestSentences:
    @pytest.mark.parametrize(
        ("verdict", "answer"),
        [
            ("nearer", "Structured is nearer to real than baseline on L2: KS 0."),
            ("farther", "Baseline is nearer to real than structured on L2: KS 0."),
            ("undecided", "Whether structured or baseline is nearer to real is undecided on L2: KS 0."),
            ("undefined", "Structured and baseline cannot be compared on L2, where one of them has no step."),
        ],
    )
    def test_the_answer_is_the_stored_one(self, sensitivity: xr.Dataset, edit: Edit, verdict: str, answer: str) -> None:
        group = edit(sensitivity, "nearness", verdict, activation_type="structured", other_type="baseline")
        text = nearness.nearness_sentence(group, "structured", "baseline", metrics=("l2",))
        assert text.startswith(answer)

    def test_too_few_base_prompts_decide_nothing(self, sensitivity: xr.Dataset) -> None:
        """There are 24; even distances that could not lie farther apart would stay undecided."""
        pair = sensitivity["nearness"].sel(convention="corrected", statistic="max_slope")
        assert set(pair.sel(activation_type="structured", other_type=["baseline", "bag"]).values.flat) == {"undecided"}
        text = nearness.nearness_sentence(sensitivity, "structured", "bag", metrics=("l2",))
        assert text.startswith("Whether structured or bag is nearer to real is undecided on L2: KS 0.")
        assert text.endswith(", and too few base prompts for a test.")

    def test_distances_and_their_difference_are_given(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        sensitivity = edit(edit(sensitivity, "ks_difference_p", 0.2), "ks_difference_interval", [-0.1, 0.3])
        values = sensitivity.sel(convention="corrected", statistic="max_slope", metric="kl")
        pair = values.sel(activation_type="structured", other_type="bag")
        text = nearness.nearness_sentence(sensitivity, "structured", "bag")
        assert f", difference {number(float(pair['ks_difference']), 2)}" in text
        assert f"{interval(pair['ks_difference_interval'].values, 2)}; below 0, structured is nearer)" in text
        assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []
        assert text.count("95\u00a0% interval") == 2, "one for each metric"

    def test_what_is_undecided_is_said_together(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        few = "Whether structured is nearer to real than baseline or bag is undecided on L2 and KL"
        assert nearness.claim_sentences(sensitivity) == f"{few}: there are too few base prompts for a test."
        group = edit(edit(sensitivity, "ks_difference_p", 0.2), "ks_difference_interval", [-0.1, 0.3])
        group = edit(group, "ks_difference_interval", [-0.2, 0.1], activation_type="structured", other_type="bag")
        group = edit(group, "ks_difference", 0.05)
        group = edit(group, "ks_difference", -0.04, activation_type="structured", other_type="bag", metric="kl")
        text = nearness.claim_sentences(group)
        assert text == (
            "Whether structured is nearer to real than baseline or bag is undecided on L2 and KL. The KS of structured "
            "minus theirs is \u22120.04 to 0.05 (95\u00a0% intervals reach from \u22120.20 to 0.30)."
        )
        group = edit(group, "nearness", "nearer", activation_type="structured", other_type="bag")
        text = nearness.claim_sentences(group)
        assert text.startswith("Structured is nearer to real than bag on L2: KS 0.")
        assert text.endswith(
            "Whether structured or baseline is nearer to real is undecided on L2 and KL. The KS of structured minus "
            "that of baseline is 0.05 (95\u00a0% intervals reach from \u22120.10 to 0.30)."
        )
        assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []

    def test_one_that_is_undecided_has_its_numbers(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "nearness", "nearer")
        group = edit(group, "nearness", "undecided", activation_type="structured", other_type="bag", metric="kl")
        text = nearness.claim_sentences(group)
        assert text.endswith(nearness.nearness_sentence(group, "structured", "bag", metrics=("kl",)))

    def test_a_reader_finds_the_printed_difference(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(edit(sensitivity, "ks_difference_p", 0.2), "ks_difference_interval", [-0.4, 0.1])
        group = edit(edit(group, "ks", 0.325, activation_type="structured"), "ks", 0.58, activation_type="bag")
        text = nearness.nearness_sentence(edit(group, "ks_difference", -0.255), "structured", "bag", metrics=("l2",))
        assert "KS 0.325 and 0.580, difference \u22120.255 (" in text
        group = edit(edit(group, "ks", 0.32, activation_type="structured"), "ks_difference", -0.26)
        text = nearness.nearness_sentence(group, "structured", "bag", metrics=("l2",))
        assert "KS 0.32 and 0.58, difference \u22120.26 (" in text

    def test_a_pair_that_the_run_has_not_is_named(self, sensitivity: xr.Dataset) -> None:
        text = nearness.claim_sentences(only(sensitivity, "real", "structured", "baseline"))
        assert text.startswith("Whether structured or baseline is nearer to real is undecided on L2 and KL")
        assert "does not have both structured and bag targets" in text

    def test_it_needs_both_types(self, sensitivity: xr.Dataset) -> None:
        text = nearness.nearness_sentence(only(sensitivity, "real", "baseline"), "structured", "baseline")
        assert text.startswith("The run does not have both structured and baseline targets")


class TestPairs:
    def test_they_are_those_of_the_claim_and_of_the_main_types(self) -> None:
        assert nearness.PAIRS == (
            ("structured", "baseline"), ("structured", "bag"), ("structured", "random"), ("baseline", "random")
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("verdict", "answer"), [("nearer", "structured"), ("farther", "baseline"), ("undecided", "undecided")]
    )
    def test_the_table_names_the_nearer_type(
        self, sensitivity: xr.Dataset, edit: Edit, verdict: str, answer: str
    ) -> None:
        group = edit(sensitivity, "nearness", verdict, activation_type="structured", other_type="baseline")
        table = nearness.pair_table(group, metrics=("l2",)).cells()
        assert table.set_index("pair").loc["structured, baseline", "nearer to real"] == answer

    def test_both_distances_share_a_cell(self, sensitivity: xr.Dataset) -> None:
        table = nearness.pair_table(sensitivity, metrics=("l2",))
        ks = sensitivity["ks"].sel(convention="corrected", statistic="max_slope", metric="l2")
        expected = [f"{float(ks.sel(activation_type=kind)):.2f}" for kind in ("structured", "bag")]
        assert table.cells().set_index("pair").loc["structured, bag", "KS"] == ", ".join(expected)

    def test_the_table_of_a_run_without_the_pairs_is_a_dash(self, sensitivity: xr.Dataset) -> None:
        assert nearness.pair_table(only(sensitivity, "real", "random", "isotropic")).markdown() == MISSING

    def test_the_matrix_is_read_from_row_to_column(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "nearness", "undecided")
        group = edit(group, "nearness", "nearer", activation_type="bag", other_type="random")
        group = edit(group, "nearness", "undefined", activation_type="random", other_type="isotropic")
        table = nearness.pair_matrix(group, metrics=("l2",)).cells().set_index("type")
        assert table.loc["bag", "random"] == "nearer"
        assert table.loc["random", "bag"] == "?"
        assert table.loc["random", "isotropic"] == MISSING
        assert table.loc["bag", "bag"] == ""
        assert list(table.columns) == [label(kind) for kind in synthetic_types(group)]


def test_the_caption_says_that_the_interval_covers_two(sensitivity: xr.Dataset) -> None:
    caption = nearness.pair_table_caption(sensitivity)
    assert "The interval covers two, one for distances away from 0 and one for distances at 0." in caption
    assert "of unrounded distances" in caption
