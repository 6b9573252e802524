"""Tests of plateaulens.report.effects: no sentence may say what the numbers do not, and cells are the summary's."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report.reading import faults, sentences
from tests.report.tables import row
from tests.report.words import judged, pointing

from plateaulens.names import label
from plateaulens.report import effects, plateaus
from plateaulens.report.contents import compared_types
from plateaulens.report.text import estimate, interval, number

Edit = Callable[..., xr.Dataset]

SYNTHETIC = ("random", "isotropic", "reconstruction", "bag", "baseline", "structured", "single_latent")


def only(group: xr.Dataset, *kept: str) -> xr.Dataset:
    """The group with a few of its types."""
    selected = group.sel(activation_type=list(kept))
    return selected.sel(other_type=list(kept)) if "other_type" in selected.dims else selected


def edit_directions(group: xr.Dataset, directions: dict[str, str]) -> xr.Dataset:
    """The group with these words as the directions of its types."""
    copy = group.copy(deep=True)
    for kind, word in directions.items():
        copy["direction"].loc[{"activation_type": kind}] = word
    return copy


def at(group: xr.Dataset, metric: str, kind: str, statistic: str = "max_slope") -> xr.Dataset:
    return group.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=kind)


class TestTiming:
    def test_a_later_type_is_called_later_with_its_numbers(self, sensitivity: xr.Dataset) -> None:
        values = at(sensitivity, "kl", "random")
        text = effects.timing_sentences(only(sensitivity, "real", "random"), metric="kl")
        assert text.startswith("On KL, random blows up later than real: by ")
        assert number(float(values["mean_difference"])) in text
        assert interval(values["mean_difference_interval"].values) in text
        assert "95\u00a0% interval" in text

    def test_reversed_effects_reverse_the_sentence(self, reversed_summary: xr.DataTree) -> None:
        group = reversed_summary["sensitivity"].to_dataset()
        text = effects.timing_sentences(only(group, "real", "random"), metric="kl")
        assert text.startswith("On KL, random blows up earlier than real: by ")
        assert "later" not in text
        values = at(group, "kl", "random")
        assert number(-float(values["mean_difference"])) in text
        assert interval(-values["mean_difference_interval"].values[::-1]) in text
        assert "\u2212" not in text, "so many steps earlier"

    def test_a_direction_that_does_not_survive_holm_is_withheld(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(only(sensitivity, "real", "random"), "mean_difference_interval", [0.5, 9.0])
        group = edit(group, "censored_fraction_interval", 0.0)
        group = judged(edit(group, "mean_difference_p_holm", 0.06, activation_type="random"))
        text = effects.timing_sentences(group, metric="l2")
        assert text.startswith("On L2, the direction of the mean is open for random:")
        assert text.endswith("The p-value does not hold once adjusted for the number of types.")
        assert "later than real:" not in text
        group = judged(edit(group, "mean_difference_p_holm", 0.04, activation_type="random"))
        assert "later than real:" in effects.timing_sentences(group, metric="l2")

    def test_every_type_is_meant_once(self, sensitivity: xr.Dataset) -> None:
        group = edit_directions(
            sensitivity, dict.fromkeys(SYNTHETIC, "undecided") | {"bag": "later", "random": "later"}
        )
        text = effects.timing_sentences(group, metric="l2")
        later, unknown = text.split(". On L2, ")
        assert later.startswith("On L2, random and bag blow up later than real: by ")
        assert unknown.startswith(
            "the direction of the mean is open for isotropic, reconstruction, baseline, structured and single"
        )
        assert "control" not in text

    def test_of_several_types_the_smallest_and_the_largest_difference_are_given(self, sensitivity: xr.Dataset) -> None:
        group = edit_directions(sensitivity, dict.fromkeys(SYNTHETIC, "later"))
        means = group["mean_difference"].sel(convention="corrected", statistic="max_slope", metric="l2")
        ordered = sorted(SYNTHETIC, key=lambda kind: float(means.sel(activation_type=kind)))
        text = effects.timing_sentences(group, metric="l2")
        assert text.startswith("On L2, every synthetic type blows up later than real: by ")
        for kind in (ordered[0], ordered[-1]):
            assert f"{number(float(means.sel(activation_type=kind)))} " in text
            assert f"{interval(at(group, 'l2', kind)['mean_difference_interval'].values)}; {label(kind)})" in text

    def test_another_type_may_differ_most_with_censored_curves(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit_directions(sensitivity, dict.fromkeys(SYNTHETIC, "later"))
        for name in ("mean_difference", "restricted_mean_difference"):
            group = edit(group, name, 1.0)
            group = edit(group, name, 9.0, activation_type="bag")
        assert "has most" not in effects.timing_sentences(group, metric="l2")
        group = edit(group, "restricted_mean_difference", 12.0, activation_type="structured")
        group = edit(group, "restricted_mean_difference_interval", 11.0)
        text = effects.timing_sentences(group, metric="l2")
        said = "With censored curves at the window's end structured has most, 12.0 (11.0 to 11.0)."
        assert said in text
        assert faults(said) == []
        open_ones = edit_directions(group, dict.fromkeys(SYNTHETIC, "undecided"))
        assert "has most" not in effects.timing_sentences(open_ones, metric="l2")

    @settings(max_examples=50, deadline=None)
    @given(bounds=st.tuples(st.floats(-50, 50), st.floats(-50, 50)).map(sorted))
    def test_a_direction_is_claimed_only_when_the_interval_excludes_zero(
        self, summary: xr.DataTree, bounds: list[float]
    ) -> None:
        group = only(summary["sensitivity"].to_dataset(), "real", "structured").sel(metric=["l2"]).copy(deep=True)
        group["mean_difference_interval"].loc[{"activation_type": "structured"}] = bounds
        group["censored_fraction_interval"][:] = 0.0
        group["mean_difference_p_holm"].loc[{"activation_type": "structured"}] = 0.01
        lower, upper = bounds
        text = effects.timing_sentences(judged(pointing(group, 1 if lower > 0 else -1)), metric="l2")
        assert ("later than real:" in text) == (lower > 0)
        assert ("earlier than real:" in text) == (upper < 0)
        assert ("the direction of the mean is open" in text) == (lower <= 0 <= upper)

    def test_too_few_pairs_are_said_to_be_the_reason(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = judged(edit(only(sensitivity, "real", "random"), "n_pairs", 5))
        text = effects.timing_sentences(group, metric="l2")
        assert text.startswith("On L2, the direction of the mean is open for random:")
        assert text.endswith("Fewer than 6 base prompts have both steps.")

    def test_an_open_mean_is_no_silence_of_the_prompts_one_by_one(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        """More prompts are earlier, for all types together, while the interval of the mean holds 0."""
        group = edit(only(sensitivity, "real", "random"), "mean_difference_interval", [-2.0, 0.4])
        group = edit(edit(group, "n_pairs", 20), "paired_delta", -0.12)
        whole = (
            "More prompts blow up earlier than later for random: P(later) minus P(earlier) \u22120.12 "
            "(95\u00a0% interval for all types together \u22120.23 to \u22120.01)."
        )
        for ends, said in (
            ([-0.23, -0.01], whole),
            ([0.01, 0.23], "More prompts blow up later than earlier for random: "),
            ([-0.23, 0.01], ""),
        ):
            text = effects.timing_sentences(judged(edit(group, "paired_delta_simultaneous", ends)), metric="l2")
            assert text.startswith("On L2, the direction of the mean is open for random:")
            assert ("More prompts" in text) == bool(said)
            assert said in text
            assert [fault for sentence in sentences(text) for fault in faults(sentence, ["random"])] == []
        few = judged(edit(edit(group, "paired_delta_simultaneous", [-0.9, -0.8]), "n_pairs", 5))
        assert "More prompts" not in effects.timing_sentences(few, metric="l2")

    def test_where_the_mean_has_a_direction_the_prompts_are_not_counted_again(
        self, sensitivity: xr.Dataset, edit: Edit
    ) -> None:
        group = edit(edit_directions(sensitivity, dict.fromkeys(SYNTHETIC, "later")), "paired_relation", "later")
        assert "More prompts" not in effects.timing_sentences(group, metric="l2")
        group = edit_directions(group, {"bag": "uncorrected"})
        text = effects.timing_sentences(group, metric="l2")
        assert text.count("More prompts") == 1
        assert "blow up later than earlier for bag:" in text

    def test_plateaus_of_more_prompts_are_shorter(self, summary: xr.DataTree, edit: Edit) -> None:
        group = edit(only(summary["plateau"].to_dataset(), "real", "bag"), "direction", "undecided")
        group = edit(group, "paired_relation", "earlier")
        text = effects.timing_sentences(group, metric="l2", statistic="plateau_length")
        assert "More prompts have shorter plateaus than longer for bag: P(later) minus P(earlier) " in text

    def test_censored_curves_are_said_to_be_the_reason(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(only(sensitivity, "real", "random"), "mean_difference_interval", [-9.0, -3.0])
        group = edit(group, "censored_fraction_interval", [0.2, 0.4], activation_type="random")
        group = edit(group, "censored_fraction_interval", [0.0, 0.1], activation_type="real")
        group = judged(edit(group, "censored_fraction", 0.3, activation_type="random"))
        text = effects.timing_sentences(group, metric="l2")
        assert text.startswith("On L2, the direction of the mean is open for random:")
        assert "\u22129.0 to \u22123.0)" in text
        assert "The mean leaves out curves that do not blow up: 30.0\u00a0% of those of random" in text
        assert "earlier than real:" not in text

    def test_a_direction_that_not_all_share_is_said_to_be_none(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        """Later on average, while most prompts are earlier."""
        group = edit(only(sensitivity, "real", "random"), "mean_difference_interval", [0.5, 9.0])
        group = edit(edit(group, "censored_fraction_interval", 0.0), "mean_difference_p_holm", 0.01)
        group = edit(group, "mean_difference", 4.0, activation_type="random")
        group = edit(pointing(group, 1), "median_difference", -2.0, activation_type="random")
        text = effects.timing_sentences(judged(edit(group, "paired_delta", -0.51)), metric="l2")
        assert text == (
            "On L2, random blows up neither earlier nor later than real: mean difference 4.0 steps (0.5 to 9.0), "
            "median \u22122.0, restricted mean 1.0, P(later) minus P(earlier) \u22120.51."
        )
        assert "undecided" not in text

    def test_means_are_said_to_be_of_fewer_prompts_where_they_are(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        n = sensitivity.sizes["sample"]
        group = edit_directions(edit(sensitivity, "n_pairs", n), dict.fromkeys(SYNTHETIC, "later"))
        assert "Mean differences are of" not in effects.timing_sentences(group, metric="l2")
        fewer = edit(edit(group, "n_pairs", n - 2, activation_type="bag"), "n_pairs", n - 1, activation_type="random")
        text = effects.timing_sentences(fewer, metric="l2")
        assert text.endswith(
            "Mean differences are of the base prompts in which both curves blow up: "
            f"{n - 2} of {n} for bag, the fewest."
        )
        assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []
        alone = effects.timing_sentences(only(fewer, "real", "random"), metric="l2")
        assert alone.endswith(f"{n - 1} of {n} for random.")
        said = edit_directions(only(fewer, "real", "bag"), {"bag": "censored"})
        assert "Mean differences are of" not in effects.timing_sentences(said, metric="l2"), "its reason says so"

    def test_captions_give_the_prompts_of_means_where_they_are_fewer(
        self, sensitivity: xr.Dataset, summary: xr.DataTree, edit: Edit
    ) -> None:
        n = sensitivity.sizes["sample"]
        whole = edit(sensitivity, "n_pairs", n)
        fewer = edit(whole, "n_pairs", n - 3, activation_type="bag", metric="kl", statistic="max_slope")
        for caption in (effects.effect_table_caption, effects.joint_table_caption):
            assert "Means are of" not in caption(whole)
            assert caption(fewer).endswith(f" Means are of the {n - 3} to {n} base prompts in which both have one.")
            assert "Means are of" not in caption(fewer, metrics=["l2"])
            assert "Means are of" not in caption(fewer, statistic="first_nonlinearity")
        assert effects.other_effect_table_caption(fewer) == effects.effect_table_caption(fewer, metrics=["js"])
        plateau = edit(summary["plateau"].to_dataset(), "n_pairs", 0, metric="kl")
        plateau = edit(plateau, "n_pairs", n - 1, metric="l2")
        text = effects.effect_table_caption(plateau, statistic="plateau_length")
        assert text.endswith(f" Means are of the {n - 1} base prompts in which both have one.")
        assert text.startswith("Effect sizes of plateau lengths against real")

    def test_without_a_step_there_is_nothing_to_compare(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = judged(edit(only(sensitivity, "real", "bag"), "mean_difference_interval", np.nan))
        text = effects.timing_sentences(group, metric="kl")
        assert text == "On KL, bag has no step to compare with real in any base prompt."

    def test_plateaus_are_shorter_or_longer(self, summary: xr.DataTree, edit: Edit) -> None:
        group = only(summary["plateau"].to_dataset(), "real", "reconstruction")
        group = edit(group, "censored_fraction_interval", 0.0)
        for ends, claim in (([-5.0, -1.0], "shorter"), ([1.0, 5.0], "longer")):
            changed = judged(pointing(edit(group, "mean_difference_interval", ends), int(np.sign(ends[0]))))
            text = plateaus.timing_sentences(changed, metric="l2")
            assert text.startswith(f"On L2, reconstruction has {claim} plateaus than real: by ")

    def test_the_direction_is_the_stored_one(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(only(sensitivity, "real", "random"), "direction", "earlier")
        assert "random blows up earlier than real:" in effects.timing_sentences(group, metric="l2")

    @pytest.mark.parametrize(
        ("statistic", "claim"),
        [
            ("first_nonlinearity", "random leaves the line later than real"),
            ("auc_ratio", "random bends upwards later than real"),
        ],
    )
    def test_another_statistic_has_its_own_event(
        self, sensitivity: xr.Dataset, edit: Edit, statistic: str, claim: str
    ) -> None:
        group = edit(only(sensitivity, "real", "random"), "direction", "later")
        assert claim in effects.timing_sentences(group, metric="l2", statistic=statistic)

    def test_a_run_with_real_alone(self, sensitivity: xr.Dataset) -> None:
        assert "no type to compare" in effects.timing_sentences(only(sensitivity, "real"), metric="l2")

    def test_there_is_a_paragraph_per_metric(self, sensitivity: xr.Dataset) -> None:
        both = [effects.timing_sentences(sensitivity, metric=metric) for metric in ("l2", "kl")]
        assert effects.timing_paragraphs(sensitivity) == "\n\n".join(both)


def test_effect_table(sensitivity: xr.Dataset) -> None:
    table = effects.effect_table(sensitivity, metrics=("kl",))
    assert list(table.cells()["type"]) == [label(kind) for kind in compared_types(sensitivity)]
    values = at(sensitivity, "kl", "bag")
    cells = row(table, "bag")
    for title, name, digits in (("Wasserstein", "wasserstein", 1), ("Cliff's delta", "cliffs_delta", 2)):
        assert cells[title] == estimate(float(values[name]), values[f"{name}_interval"].values, digits)
    for title in ("mean", "median"):
        name = f"{title}_difference"
        assert cells[title] == estimate(float(values[name]), values[f"{name}_interval"].values)


def test_joint_table(sensitivity: xr.Dataset, edit: Edit) -> None:
    """The stored numbers, and the intervals for all types together in place of those for one."""
    group = edit(sensitivity, "difference_degenerate", False)
    cells = row(effects.joint_table(group, metrics=("kl",)), "bag")
    values = at(group, "kl", "bag")
    assert cells["KS above chance"] == number(float(values["ks_excess"]), 2)
    assert float(values["ks_excess"]) == float(values["ks"] - values["ks_null"])
    for title, name, digits in (("mean", "mean_difference", 1), ("P(later) \u2212 P(earlier)", "paired_delta", 2)):
        assert cells[title] == estimate(float(values[name]), values[f"{name}_simultaneous"].values, digits)
        assert cells[title] != estimate(float(values[name]), values[f"{name}_interval"].values, digits)
    alone = row(effects.joint_table(edit(group, "difference_degenerate", True), metrics=("kl",)), "bag")
    assert alone["mean"] == number(float(values["mean_difference"]))


def test_plateaus_have_the_same_table(summary: xr.DataTree) -> None:
    group = summary["plateau"].to_dataset()
    cells = row(plateaus.joint_table(group, metric="l2"), "bag")
    own = at(group, "l2", "bag", "plateau_length")
    assert cells["KS above chance"] == number(float(own["ks_excess"]), 2)
    caption = effects.joint_table_caption(group, statistic="plateau_length")
    assert [fault for sentence in sentences(caption) for fault in faults(sentence)] == []
    assert "n = 24 base prompts" in caption
    assert "with 95\u00a0% intervals that hold for all types of a metric together. They are by max-t" in caption
    assert "joined to the interval of each type alone." in caption


def test_no_interval_for_all_types_denies_the_one_for_a_single_type(summary: xr.DataTree) -> None:
    """And at least one of them is wider, as it holds for the others as well."""
    for name in ("sensitivity", "plateau"):
        group = summary[name].to_dataset()
        for quantity in ("mean_difference", "paired_delta"):
            together, single = group[f"{quantity}_simultaneous"], group[f"{quantity}_interval"]
            there = together.sel(bound="lower").notnull()
            assert not there.sel(activation_type="real").any()
            below, above = (together.sel(bound=end) - single.sel(bound=end) for end in ("lower", "upper"))
            assert (below.where(there, 0) <= 0).all()
            assert (above.where(there, 0) >= 0).all()
            assert (below.where(there, 0) < 0).any()


def test_the_caption_says_how_intervals_for_all_types_are_made_as_stored(sensitivity: xr.Dataset) -> None:
    plain = sensitivity.assign(
        mean_difference_simultaneous=sensitivity["mean_difference_simultaneous"].assign_attrs(method="max-t")
    )
    assert "together. They are by max-t." in effects.joint_table_caption(plain)


def test_an_interval_that_means_nothing_is_not_printed(sensitivity: xr.Dataset, edit: Edit) -> None:
    table = effects.effect_table(
        edit(sensitivity, "difference_degenerate", True, activation_type="bag"), metrics=("l2",)
    )
    values = at(sensitivity, "l2", "bag")
    assert row(table, "bag")["mean"] == number(float(values["mean_difference"]))
    assert "[" not in row(table, "bag")["median"]
    assert "[" in row(table, "random")["mean"]


def test_a_quantile_beyond_the_window_is_no_number(sensitivity: xr.Dataset, edit: Edit) -> None:
    table = effects.quantile_table(edit(sensitivity, "quantile_shift", np.inf, activation_type="bag"), metrics=("l2",))
    assert list(table.cells().columns) == ["type", "0.1", "0.3", "0.5", "0.7", "0.9"]
    assert set(row(table, "bag").drop("type")) == {"beyond"}


def test_the_caption_of_shifts_names_those_that_the_run_has(sensitivity: xr.Dataset) -> None:
    assert "of random, baseline, bag and structured lie behind" in effects.quantile_shifts_caption(sensitivity)
    assert "of random and bag lie" in effects.quantile_shifts_caption(only(sensitivity, "real", "random", "bag"))
