"""Tests of plateaulens.report.sentences and plateaulens.report.timing: no sentence may say what the numbers do not."""

import json
import re
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from plateaulens.names import label
from plateaulens.report import sentences
from plateaulens.report.contents import types_of
from plateaulens.report.text import number, span

Edit = Callable[..., xr.Dataset]

SYNTHETIC = ("random", "isotropic", "reconstruction", "bag", "baseline", "structured", "single_latent")


def only(group: xr.Dataset, *kept: str) -> xr.Dataset:
    """The group with a few of its types."""
    selected = group.sel(activation_type=list(kept))
    return selected.sel(other_type=list(kept)) if "other_type" in selected.dims else selected


def at(group: xr.Dataset, metric: str, kind: str, statistic: str = "max_slope") -> xr.Dataset:
    return group.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=kind)


class TestTiming:
    def test_a_later_type_is_called_later_with_its_numbers(self, sensitivity: xr.Dataset) -> None:
        values = at(sensitivity, "kl", "random")
        text = sentences.timing_sentences(only(sensitivity, "real", "random"), metric="kl")
        assert text.startswith("On KL, random targets blow up later than real ones: mean difference in steps")
        assert number(float(values["mean_difference"])) in text
        assert span(values["mean_difference_interval"].values) in text
        assert "95\u00a0% interval" in text

    def test_reversed_effects_reverse_the_sentence(self, reversed_summary: xr.DataTree) -> None:
        group = reversed_summary["sensitivity"].to_dataset()
        text = sentences.timing_sentences(only(group, "real", "random"), metric="kl")
        assert text.startswith("On KL, random targets blow up earlier than real ones")
        assert "later" not in text
        assert "\u2212" in text

    def test_a_direction_that_does_not_survive_holm_is_withheld(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(only(sensitivity, "real", "random"), "mean_difference_interval", [0.5, 9.0])
        group = edit(group, "censored_fraction_interval", 0.0)
        group = edit(group, "mean_difference_p_holm", 0.06, activation_type="random")
        text = sentences.timing_sentences(group, metric="l2")
        assert "is undecided, because the p-value does not hold once adjusted for the number of types" in text
        assert "later than real ones:" not in text
        group = edit(group, "mean_difference_p_holm", 0.04, activation_type="random")
        assert "later than real ones:" in sentences.timing_sentences(group, metric="l2")

    def test_every_type_is_named_once(self, sensitivity: xr.Dataset) -> None:
        text = sentences.timing_sentences(sensitivity, metric="l2")
        for kind in SYNTHETIC:
            assert len(re.findall(rf"\b{label(kind)} [\u2212\d]", text)) == 1
        assert "control" not in text

    @settings(max_examples=50, deadline=None)
    @given(bounds=st.tuples(st.floats(-50, 50), st.floats(-50, 50)).map(sorted))
    def test_a_direction_is_claimed_only_when_the_interval_excludes_zero(
        self, summary: xr.DataTree, bounds: list[float]
    ) -> None:
        group = only(summary["sensitivity"].to_dataset(), "real", "structured").copy(deep=True)
        group["mean_difference_interval"].loc[{"activation_type": "structured"}] = bounds
        group["censored_fraction_interval"][:] = 0.0
        group["mean_difference_p_holm"].loc[{"activation_type": "structured"}] = 0.01
        text = sentences.timing_sentences(group, metric="l2")
        lower, upper = bounds
        assert ("later than real ones:" in text) == (lower > 0)
        assert ("earlier than real ones:" in text) == (upper < 0)
        assert ("undecided" in text) == (lower <= 0 <= upper)

    def test_too_few_pairs_are_said_to_be_the_reason(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(only(sensitivity, "real", "random"), "n_pairs", 5)
        text = sentences.timing_sentences(group, metric="l2")
        assert "is undecided, because fewer than 6 base prompts have both steps" in text

    def test_censored_curves_are_said_to_be_the_reason(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(only(sensitivity, "real", "random"), "mean_difference_interval", [-9.0, -3.0])
        group = edit(group, "censored_fraction_interval", [0.2, 0.4], activation_type="random")
        group = edit(group, "censored_fraction_interval", [0.0, 0.1], activation_type="real")
        group = edit(group, "censored_fraction", 0.3, activation_type="random")
        text = sentences.timing_sentences(group, metric="l2")
        assert "is undecided, because the differences leave out curves that do not blow up" in text
        assert "(\u22129.0 to \u22123.0; 30.0\u00a0%)" in text
        assert "earlier than real ones:" not in text

    def test_without_a_step_there_is_nothing_to_compare(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(only(sensitivity, "real", "bag"), "mean_difference_interval", np.nan)
        text = sentences.timing_sentences(group, metric="kl")
        assert text.startswith("On KL there is nothing to compare for bag")

    def test_plateaus_are_shorter_or_longer(self, summary: xr.DataTree, edit: Edit) -> None:
        group = only(summary["plateau"].to_dataset(), "real", "reconstruction")
        group = edit(group, "censored_fraction_interval", 0.0)
        for interval, claim in (([-5.0, -1.0], "shorter than around"), ([1.0, 5.0], "longer than around")):
            changed = edit(group, "mean_difference_interval", interval)
            text = sentences.timing_sentences(changed, metric="l2", wording=sentences.PLATEAU)
            assert text.startswith(f"On L2, plateaus around reconstruction bases are {claim} real ones")

    def test_a_run_with_real_alone(self, sensitivity: xr.Dataset) -> None:
        assert "no type to compare" in sentences.timing_sentences(only(sensitivity, "real"), metric="l2")


class TestGeometry:
    @pytest.fixture
    def alike(self, summary: xr.DataTree, edit: Edit) -> xr.Dataset:
        """Every mean path length is 50, known to within 1 either way."""
        group = edit(summary["geometry"].to_dataset(), "path_length_mean", 50.0)
        return edit(group, "path_length_interval", [49.0, 51.0])

    def test_equal_paths_need_no_caution(self, alike: xr.Dataset) -> None:
        assert sentences.path_length_caution(alike).startswith("No type's mean path length is shown to differ")

    def test_longer_and_shorter_paths_are_named_with_their_excess(self, alike: xr.Dataset, edit: Edit) -> None:
        group = edit(alike, "path_length_interval", [59.0, 61.0], activation_type="bag")
        group = edit(group, "path_length_mean", 60.0, activation_type="bag")
        group = edit(group, "path_length_interval", [39.0, 41.0], activation_type="random")
        group = edit(group, "path_length_mean", 40.0, activation_type="random")
        text = sentences.path_length_caution(group)
        assert text.startswith("Caution:")
        assert "longer than to real ones for bag (by 20\u00a0%)" in text
        assert "shorter than to real ones for random (by 20\u00a0%)" in text
        assert "structured" not in text

    def test_a_difference_within_the_intervals_is_no_difference(self, alike: xr.Dataset, edit: Edit) -> None:
        group = edit(alike, "path_length_interval", [53.0, 67.0], activation_type="bag")
        group = edit(group, "path_length_mean", 60.0, activation_type="bag")
        assert "bag" not in sentences.path_length_caution(group)


class TestRun:
    def test_censoring_names_the_largest_share(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "censored_fraction", 0.0)
        assert sentences.censoring_sentence(group).startswith("No curve is censored")
        group = edit(group, "censored_fraction", 0.125, activation_type="bag", metric="kl")
        assert "12.5\u00a0% of a type's curves, those of bag on KL" in sentences.censoring_sentence(group)

    def test_findings_have_an_item_per_question(self, summary: xr.DataTree) -> None:
        items = sentences.findings(summary).splitlines()
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

    def test_findings_say_once_what_the_summary_lacks(self, summary: xr.DataTree) -> None:
        tree = xr.DataTree.from_dict({name: summary[name].to_dataset() for name in ("geometry", "plateau")})
        tree.attrs = summary.attrs
        text = sentences.findings(tree)
        assert text.count("This run has no experiment with relative steps.") == 1
        for absent in ("comparison at equal geometry", "test of the targets themselves", "under other constants"):
            assert text.count(absent) == 1

    def test_a_run_without_a_plateau_threshold_says_so(self, summary: xr.DataTree) -> None:
        tree = summary.copy()
        tree.attrs["analysis"] = json.dumps(json.loads(summary.attrs["analysis"]) | {"plateau_threshold": {}})
        assert "**Plateaus.** The analysis has no plateau threshold" in sentences.findings(tree)

    def test_control_beyond_chance_in_absolute_steps_is_among_the_findings(
        self, summary: xr.DataTree, edit: Edit
    ) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        for p, said in ((0.5, False), (0.001, True)):
            groups["sensitivity_absolute"] = edit(
                groups["sensitivity_absolute"], "ks_p", p, activation_type="real_control"
            )
            tree = xr.DataTree.from_dict(groups)
            tree.attrs = summary.attrs
            phrase = "In absolute steps the two draws differ by more than chance gives on L2 and on KL."
            assert (phrase in sentences.findings(tree)) == said

    def test_comparisons_are_counted(self, summary: xr.DataTree) -> None:
        count = sum(
            int(np.isfinite(summary[name]["ks"].sel(convention="corrected", activation_type=kind)).sum())
            for name in ("sensitivity", "sensitivity_absolute", "plateau")
            for kind in types_of(summary[name].to_dataset())
            if kind != "real"
        )
        text = sentences.comparisons_sentence(summary)
        assert text.startswith(f"The summary holds {count} comparisons")
        assert "none is corrected" not in text

    def test_no_sentence_has_a_hyphen_for_a_minus(self, summary: xr.DataTree, reversed_summary: xr.DataTree) -> None:
        for tree in (summary, reversed_summary):
            assert not re.search(r"-\d", sentences.findings(tree))
