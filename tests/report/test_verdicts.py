"""Tests of plateaulens.report.verdicts: words follow from stored verdicts, whatever these are."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from plateaulens.report import verdicts
from plateaulens.report.contents import types_of
from plateaulens.report.text import number, span
from plateaulens.report.timing import PLATEAU

Edit = Callable[..., xr.Dataset]


def only(group: xr.Dataset, *kept: str) -> xr.Dataset:
    """The group with a few of its types."""
    return group.sel(activation_type=list(kept), other_type=list(kept))


@pytest.fixture
def four(sensitivity: xr.Dataset, edit: Edit) -> xr.Dataset:
    """Four types, one of each verdict; bag, which is different, has a mean difference above 0."""
    group = only(sensitivity, "real", "real_control", "random", "bag", "baseline", "structured")
    for kind, verdict in {
        "random": "equivalent",
        "bag": "different",
        "baseline": "undecided",
        "structured": "undefined",
    }.items():
        group = edit(group, "verdict", verdict, activation_type=kind)
    group = edit(group, "censored_fraction_interval", 0.0)
    group = edit(group, "mean_difference_interval", [2.0, 4.0], activation_type="bag")
    return edit(group, "mean_difference_p_holm", 0.01, activation_type="bag")


class TestVerdicts:
    def test_every_verdict_has_its_words(self, four: xr.Dataset) -> None:
        text = verdicts.verdict_sentences(four, metrics=("l2",))
        assert text == (
            "On L2, random is indistinguishable from real within a KS distance of 0.15; bag is different from real and "
            "later; baseline is undecided; structured is without a step to compare."
        )

    @pytest.mark.parametrize(
        ("interval", "p", "words"),
        [
            ([-4.0, -2.0], 0.01, "bag is different from real and earlier"),
            ([-4.0, -2.0], 0.2, "bag is different from real, neither shown to be earlier nor later"),
            ([-1.0, 1.0], 0.9, "bag is different from real, neither shown to be earlier nor later"),
            ([np.nan, np.nan], np.nan, "bag is different from real, neither shown to be earlier nor later"),
        ],
    )
    def test_a_difference_has_only_the_direction_that_is_shown(
        self, four: xr.Dataset, edit: Edit, interval: list[float], p: float, words: str
    ) -> None:
        group = edit(four, "mean_difference_interval", interval, activation_type="bag")
        group = edit(group, "mean_difference_p_holm", p, activation_type="bag")
        assert words in verdicts.verdict_sentences(group, metrics=("l2",))

    def test_metrics_that_agree_share_a_sentence(self, four: xr.Dataset, edit: Edit) -> None:
        assert verdicts.verdict_sentences(four).startswith("On L2 and KL, random is indistinguishable")
        apart = edit(four, "verdict", "undecided", activation_type="random", metric="kl")
        text = verdicts.verdict_sentences(apart)
        assert "On L2, random is indistinguishable" in text
        assert "On KL, bag is different from real and later; random and baseline are undecided" in text

    def test_plateaus_are_shorter_or_longer(self, summary: xr.DataTree, edit: Edit) -> None:
        group = only(summary["plateau"].to_dataset(), "real", "bag")
        group = edit(group, "verdict", "different", activation_type="bag")
        group = edit(group, "censored_fraction_interval", 0.0)
        group = edit(group, "mean_difference_p_holm", 0.01)
        group = edit(group, "mean_difference_interval", [-4.0, -2.0])
        text = verdicts.verdict_sentences(group, metrics=("l2",), wording=PLATEAU)
        assert text == "On L2, bag is different from real and shorter."

    def test_real_alone_has_no_verdict(self, sensitivity: xr.Dataset) -> None:
        assert "no type to compare" in verdicts.verdict_sentences(only(sensitivity, "real", "real_control"))


class TestControl:
    def test_the_noise_floor_has_its_numbers(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "ks", 0.125, activation_type="real_control")
        group = edit(group, "ks_null", 0.0625, activation_type="real_control")
        group = edit(group, "ks_p", 0.25, activation_type="real_control")
        group = edit(group, "verdict", "undecided", activation_type="real_control")
        text = verdicts.control_sentence(group, metrics=("l2",))
        assert text == (
            "The KS distance of two independent draws of real targets is 0.12 on L2 (by chance 0.06 on average; "
            "p\u00a0=\u00a00.250)."
        )
        assert verdicts.control_excess(group) == []

    def test_a_control_beyond_chance_is_a_caution(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "ks_p", 0.5, activation_type="real_control")
        group = edit(group, "ks_p", 0.0001, activation_type="real_control", metric="kl")
        text = verdicts.control_sentence(group)
        assert "more than chance gives on KL, so a type at such a distance" in text
        assert "p\u00a0<\u00a00.001" in text

    def test_a_control_without_a_step(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "verdict", "undefined", activation_type="real_control")
        group = edit(group, "ks_p", np.nan, activation_type="real_control")
        text = verdicts.control_sentence(group, metrics=("l2",))
        assert text == "Two draws of real targets have no distance on L2."

    def test_a_run_without_control_says_so(self, sensitivity: xr.Dataset) -> None:
        group = only(sensitivity, "real", "random")
        assert "was not measured" in verdicts.control_sentence(group)
        assert verdicts.control_excess(group) == []


class TestNearness:
    @pytest.mark.parametrize(
        ("verdict", "answer"),
        [
            ("nearer", "structured on L2 (KS"),
            ("farther", "baseline on L2 (KS"),
            ("undecided", "undecided on L2 (KS"),
            ("undefined", "not comparable on L2, where one of them has no step."),
        ],
    )
    def test_the_answer_is_the_stored_one(self, sensitivity: xr.Dataset, edit: Edit, verdict: str, answer: str) -> None:
        group = edit(sensitivity, "nearness", verdict, activation_type="structured", other_type="baseline")
        text = verdicts.nearness_sentence(group, "structured", "baseline", metrics=("l2",))
        assert text.startswith(f"Nearer to real, structured or baseline: {answer}")

    def test_distances_and_their_difference_are_given(self, sensitivity: xr.Dataset) -> None:
        values = sensitivity.sel(convention="corrected", statistic="max_slope", metric="kl")
        pair = values.sel(activation_type="structured", other_type="bag")
        text = verdicts.nearness_sentence(sensitivity, "structured", "bag")
        assert f"difference {number(float(pair['ks_difference']), 2)}" in text
        assert span(pair["ks_difference_interval"].values, 2) in text
        assert text.count("95\u00a0% interval") == 1

    def test_the_claim_is_about_both_pairs(self, sensitivity: xr.Dataset) -> None:
        text = verdicts.claim_sentences(sensitivity)
        assert "structured or baseline:" in text
        assert "structured or bag:" in text

    def test_it_needs_both_types(self, sensitivity: xr.Dataset) -> None:
        text = verdicts.nearness_sentence(only(sensitivity, "real", "baseline"), "structured", "baseline")
        assert text.startswith("The run does not have both structured and baseline targets")


def test_no_verdict_of_the_summary_is_without_words(summary: xr.DataTree) -> None:
    for name in ("sensitivity", "sensitivity_absolute"):
        group = summary[name].to_dataset()
        text = verdicts.verdict_sentences(group, metrics=("l2",))
        for kind in set(types_of(group)) - {"real", "real_control"}:
            assert kind.replace("_", " ") in text
