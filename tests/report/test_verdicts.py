"""Tests of plateaulens.report.verdicts: words follow from stored verdicts, whatever these are."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.tables import row
from tests.report.words import judged, pointing

from plateaulens.names import label
from plateaulens.report import verdicts
from plateaulens.report.contents import compared_types, types_of
from plateaulens.report.plateaus import STATISTIC
from plateaulens.report.text import MISSING, estimate, p_value

Edit = Callable[..., xr.Dataset]


TYPES = ("random", "bag", "baseline", "structured")


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
    group = edit(group, "ks_p_holm", 0.5, activation_type="random")
    group = edit(group, "mean_difference_interval", [2.0, 4.0], activation_type="bag")
    return judged(pointing(edit(group, "mean_difference_p_holm", 0.01, activation_type="bag"), 1, "bag"))


class TestVerdicts:
    def test_every_verdict_has_its_words(self, four: xr.Dataset) -> None:
        text = verdicts.verdict_sentences(four, metrics=("l2",))
        assert text == (
            "Random is within KS 0.15 of real on L2. Bag differs from real on L2, and blows up later. Baseline is "
            "undecided on L2: by KS neither shown to lie within 0.15 of real nor to differ. Structured has no step to "
            "compare on L2."
        )

    @pytest.mark.parametrize(
        ("conclusion", "words"),
        [
            ("equivalent", "Bag is within KS 0.15 of real on L2 and KL."),
            ("equivalent, later", "Bag is within KS 0.15 of real on L2 and KL, and detectably later."),
            ("equivalent, earlier", "Bag is within KS 0.15 of real on L2 and KL, and detectably earlier."),
            ("equivalent, mixed", "of real on L2 and KL, and detectably different in no single direction."),
            ("equivalent, different", "Bag is within KS 0.15 of real on L2 and KL, and detectably different."),
            ("mixed", "Bag differs from real on L2 and KL, in no single direction."),
        ],
    )
    def test_equivalence_and_a_difference_stand_side_by_side(
        self, four: xr.Dataset, edit: Edit, conclusion: str, words: str
    ) -> None:
        group = edit(four, "conclusion", conclusion, activation_type="bag")
        text = verdicts.verdict_sentences(edit(group, "conclusion", "undecided", activation_type="random"))
        assert words in text
        assert "indistinguishable" not in text

    @pytest.mark.parametrize(
        ("bag", "said"),
        [
            ("equivalent", "Every synthetic type but bag differs from real on L2 and KL, and blows up later."),
            (
                "equivalent, different",
                "Every synthetic type but bag differs from real on L2 and KL without being shown within KS 0.15, and",
            ),
        ],
    )
    def test_a_type_that_is_near_and_differs_is_not_denied_to_differ(
        self, four: xr.Dataset, edit: Edit, bag: str, said: str
    ) -> None:
        group = edit(edit(four, "conclusion", "later"), "conclusion", bag, activation_type="bag")
        text = verdicts.verdict_sentences(group)
        assert said in text
        assert [fault for sentence in sentences(text) for fault in faults(sentence, TYPES)] == []

    @pytest.mark.parametrize("word", ["earlier", "later", "mixed", "different"])
    def test_every_difference_beside_a_near_type_says_that_it_may_be_far(
        self, four: xr.Dataset, edit: Edit, word: str
    ) -> None:
        near = edit(
            edit(four, "conclusion", word), "conclusion", "equivalent, later", activation_type="bag", metric="l2"
        )
        text = verdicts.verdict_sentences(near)
        assert "but bag differs from real on L2 and KL without being shown within KS 0.15, " in text
        assert "without being shown" not in text.partition("Bag is within")[2].partition("Every")[0]
        assert "Bag differs from real on KL, " in text
        assert [fault for sentence in sentences(text) for fault in faults(sentence, TYPES)] == []

    def test_the_margin_is_that_of_the_experiment(self, summary: xr.DataTree, edit: Edit) -> None:
        absolute = edit(summary["sensitivity_absolute"].to_dataset(), "conclusion", "equivalent", activation_type="bag")
        assert "within KS 0.075 of real" in verdicts.verdict_sentences(absolute)

    @pytest.mark.parametrize(
        ("interval", "p", "words"),
        [
            ([-4.0, -2.0], 0.01, "Bag differs from real on L2, and blows up earlier."),
            ([-4.0, -2.0], 0.2, "Bag differs from real on L2, and no direction is shown."),
            ([-1.0, 1.0], 0.9, "Bag differs from real on L2, and no direction is shown."),
            ([np.nan, np.nan], np.nan, "Bag differs from real on L2, and no direction is shown."),
        ],
    )
    def test_a_difference_has_only_the_direction_that_is_shown(
        self, four: xr.Dataset, edit: Edit, interval: list[float], p: float, words: str
    ) -> None:
        group = edit(four, "mean_difference_interval", interval, activation_type="bag")
        group = pointing(group, -1, "bag")
        group = judged(edit(group, "mean_difference_p_holm", p, activation_type="bag"))
        assert words in verdicts.verdict_sentences(group, metrics=("l2",))

    def test_the_word_is_the_stored_one_whatever_the_numbers(self, four: xr.Dataset, edit: Edit) -> None:
        group = edit(four, "conclusion", "earlier", activation_type="bag")
        assert "Bag differs from real on L2, and blows up earlier." in verdicts.verdict_sentences(
            group, metrics=("l2",)
        )

    def test_metrics_that_agree_share_a_sentence(self, four: xr.Dataset, edit: Edit) -> None:
        assert verdicts.verdict_sentences(four).startswith("Random is within KS 0.15 of real on L2 and KL.")
        apart = judged(edit(four, "verdict", "undecided", activation_type="random", metric="kl"))
        text = verdicts.verdict_sentences(apart)
        assert "Random is within KS 0.15 of real on L2." in text
        assert "Random is undecided on KL:" in text
        assert "Bag differs from real on L2 and KL, and blows up later." in text
        assert "Baseline is undecided on L2 and KL:" in text

    def test_plateaus_are_shorter_or_longer(self, summary: xr.DataTree, edit: Edit) -> None:
        group = only(summary["plateau"].to_dataset(), "real", "bag")
        group = edit(group, "verdict", "different", activation_type="bag")
        group = edit(group, "censored_fraction_interval", 0.0)
        group = edit(group, "mean_difference_p_holm", 0.01)
        group = judged(pointing(edit(group, "mean_difference_interval", [-4.0, -2.0]), -1))
        text = verdicts.verdict_sentences(group, metrics=("l2",), statistic=STATISTIC)
        assert text == "Bag differs from real on L2, and has shorter plateaus."

    def test_real_alone_has_no_verdict(self, sensitivity: xr.Dataset) -> None:
        assert "no type to compare" in verdicts.verdict_sentences(only(sensitivity, "real", "real_control"))

    def test_a_summary_without_the_statistic_says_so(self, sensitivity: xr.Dataset) -> None:
        without = sensitivity.sel(statistic=["auc_ratio"])
        assert verdicts.verdict_sentences(without) == "This summary has no max-slope step to compare."
        assert verdicts.control_sentence(without) == "This summary has no max-slope step to compare."


class TestControl:
    def test_the_noise_floor_has_its_numbers(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "ks", 0.125, activation_type="real_control")
        group = edit(group, "ks_null", 0.0625, activation_type="real_control")
        group = edit(group, "ks_null_upper", 0.109, activation_type="real_control")
        group = edit(group, "ks_p", 0.25, activation_type="real_control")
        group = edit(group, "ks_p_holm", 0.25, activation_type="real_control")
        group = judged(edit(group, "verdict", "undecided", activation_type="real_control"))
        text = verdicts.control_sentence(group, metrics=("l2",))
        assert text == (
            "On L2, two draws of real targets lie KS 0.12 (p\u00a0=\u00a00.250) apart. Chance alone gives 0.06 on "
            "average, and at most 0.11 in 95\u00a0% of cases."
        )
        assert verdicts.false_alarms(group, metrics=("l2",)) == []
        assert "as small" not in text

    def test_a_control_beyond_chance_is_a_false_alarm(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = sensitivity
        for name in ("ks_p", "ks_p_holm"):
            group = edit(group, name, 0.5, activation_type="real_control")
            group = edit(group, name, 0.0001, activation_type="real_control", metric="kl")
        text = verdicts.control_sentence(judged(group))
        assert "Telling real targets from real ones on KL is a false alarm: they are drawn alike." in text
        assert "One in " not in text, "as one in 20 gives p = 0.05, and not this one"
        assert "gives a p as small, or smaller, with at most that probability in each such test. How many" in text
        assert "more than chance" not in text
        assert "p\u00a0<\u00a00.001" in text

    def test_several_draws_are_told_of_together(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        """A variant without a change is its type drawn again: no synthetic type, one noise floor with the others."""
        group = sensitivity.assign_coords(
            is_control=("activation_type", sensitivity.activation_type.isin(["real_control", "bag"]).values)
        )
        for name in ("ks_p", "ks_p_holm"):
            group = edit(group, name, 0.5, activation_type="real_control")
            group = edit(group, name, 0.001, activation_type="bag", metric="l2")
        group = judged(edit(edit(group, "verdict", "undecided"), "ks", 0.1, activation_type="bag"))
        text = verdicts.control_sentence(group, metrics=("l2",))
        assert text.startswith("On L2, 2 further draws of real targets lie KS ")
        assert "and 0.10 (p\u00a0=\u00a00.001) from the first." in text
        assert verdicts.false_alarms(group, metrics=("l2",)) == ["on L2"]
        assert text.endswith("These p-values are raw; false alarms go by those adjusted for the 2 draws.")
        assert "bag" not in verdicts.verdict_sentences(group)
        assert row(verdicts.verdict_table(group, metrics=("l2",)), "bag")["verdict"] == "false alarm"

    def test_an_adjustment_over_all_tables_is_named_where_the_raw_p_stands(self, sensitivity: xr.Dataset) -> None:
        assert "adjusted" not in verdicts.control_sentence(sensitivity, metrics=("l2",))
        verdict = sensitivity["verdict"].assign_attrs(adjustment="Holm over the whole table")
        text = verdicts.control_sentence(sensitivity.assign(verdict=verdict), metrics=("l2",))
        assert text.endswith("false alarms go by those adjusted for all tests of such draws in every table.")

    def test_a_control_without_a_step(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = edit(sensitivity, "verdict", "undefined", activation_type="real_control")
        group = edit(group, "ks_p", np.nan, activation_type="real_control")
        group = judged(edit(group, "ks_p_holm", np.nan, activation_type="real_control"))
        text = verdicts.control_sentence(group, metrics=("l2",))
        assert text == "Two draws of real targets have no distance on L2."

    def test_a_run_without_control_says_so(self, sensitivity: xr.Dataset) -> None:
        group = only(sensitivity, "real", "random")
        assert "was not measured" in verdicts.control_sentence(group)
        assert verdicts.false_alarms(group) == []

    def test_the_caption_is_short_and_says_what_equivalence_rests_on(self, sensitivity: xr.Dataset) -> None:
        """The legend says what is grey and what is dashed."""
        text = verdicts.ks_forest_caption(sensitivity, name="sensitivity")
        assert text.startswith("Relative steps. Kolmogorov-Smirnov distance (KS) to real by max-slope steps, with")
        assert text.endswith("equivalence needs the tick, not the whole band, left of the margin.")
        assert len(text.split()) < 45
        assert not verdicts.ks_forest_caption(sensitivity).startswith("Relative")


class TestFalseAlarms:
    """Columns of the overview, and the false alarms among them."""

    @pytest.mark.parametrize(
        ("kl", "absolute", "said"),
        [
            (0.5, 0.5, "apart in none of the 5 columns of @tbl-overview. By chance, 0.25 false alarms are expected."),
            (
                0.01,
                0.5,
                "apart in 1 (relative on KL) of the 5 columns of @tbl-overview. By chance, 0.25 false alarms are",
            ),
            (0.01, 0.01, "apart in 3 (relative on KL, absolute on L2, absolute on KL) of the 5 columns"),
        ],
    )
    def test_they_are_counted(self, summary: xr.DataTree, edit: Edit, kl: float, absolute: float, said: str) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        for name, p in (("sensitivity", 0.5), ("sensitivity_absolute", absolute), ("plateau", 0.5)):
            groups[name] = edit(groups[name], "ks_p_holm", p, activation_type="real_control")
        groups["sensitivity"] = edit(
            groups["sensitivity"], "ks_p_holm", kl, activation_type="real_control", metric="kl"
        )
        for name in ("sensitivity", "sensitivity_absolute", "plateau"):
            groups[name] = judged(groups[name])
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = summary.attrs
        text = verdicts.false_alarm_sentence(tree)
        assert said in text
        assert text.endswith(
            "They are not independent: all of them judge one draw of real targets, against the same second one."
        )
        assert ("false alarm" in set(verdicts.overview_table(tree).frame.iloc[0])) == (kl < 0.05)

    def test_alarms_that_are_adjusted_together_are_not_expected_by_the_column(self, summary: xr.DataTree) -> None:
        group = summary["sensitivity"].to_dataset()
        verdict = group["verdict"].assign_attrs(adjustment="Holm over the whole table")
        whole = xr.DataTree.from_dict({"sensitivity": group.assign(verdict=verdict)})
        whole.attrs = summary.attrs
        text = verdicts.false_alarm_sentence(whole)
        assert "adjusted together, chance gives any at all in 5\u00a0% of runs at most. They are not" in text
        assert "expected" not in text
        assert "adjusted together" not in verdicts.false_alarm_sentence(summary)
        assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []

    def test_the_caption_names_the_tests_that_p_values_are_adjusted_for(self, summary: xr.DataTree) -> None:
        caption = verdicts.overview_table_caption(summary)
        assert "adjusted for the types of a column, and those of real targets drawn again apart. *False" in caption
        group = summary["sensitivity"].to_dataset()
        verdict = group["verdict"].assign_attrs(adjustment="Holm over the whole table")
        whole = xr.DataTree.from_dict({"sensitivity": group.assign(verdict=verdict)})
        whole.attrs = summary.attrs
        assert "adjusted for everything that the tables of verdicts say, and" in verdicts.overview_table_caption(whole)

    def test_several_further_draws_share_the_first(self, summary: xr.DataTree) -> None:
        group = summary["sensitivity"].to_dataset()
        group = group.assign_coords(is_control=group["activation_type"].isin(["real_control", "bag"]))
        tree = xr.DataTree.from_dict({"sensitivity": group})
        tree.attrs = summary.attrs
        assert verdicts.false_alarm_sentence(tree).endswith("against the same 2 further ones.")

    def test_without_a_second_draw_there_is_nothing_to_say(self, summary: xr.DataTree) -> None:
        tree = xr.DataTree.from_dict({"sensitivity": only(summary["sensitivity"].to_dataset(), "real", "random")})
        tree.attrs = summary.attrs
        assert verdicts.false_alarm_sentence(tree) == ""


class TestMargins:
    def test_nothing_is_said_where_the_margins_are_those_recorded(self, summary: xr.DataTree) -> None:
        assert verdicts.margin_sentences(summary) == ""

    @pytest.mark.parametrize(("recorded", "said"), [({"margin_recorded": 0.2}, "0.2 was."), ({}, "none was.")])
    def test_another_one_is_told(self, summary: xr.DataTree, recorded: dict[str, float], said: str) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        verdict = groups["plateau"]["verdict"]
        kept = {key: value for key, value in verdict.attrs.items() if key != "margin_recorded"}
        changed = verdict.copy()
        changed.attrs = kept | {"margin_as_recorded": False} | recorded
        groups["plateau"] = groups["plateau"].assign(verdict=changed)
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = summary.attrs
        assert verdicts.margin_sentences(tree) == (
            "The margin of equivalence for plateaus, 0.15, is not the one that was written down before collecting: "
            f"{said}"
        )


class TestOverview:
    def test_it_has_a_column_per_experiment_and_metric(self, summary: xr.DataTree) -> None:
        table = verdicts.overview_table(summary).cells()
        assert list(table.columns) == [
            "type", "relative, L2", "relative, KL", "absolute, L2", "absolute, KL", "plateau, L2"
        ]  # fmt: skip
        assert list(table["type"]) == [label(kind) for kind in compared_types(summary["sensitivity"].to_dataset())]
        how = {"different", "earlier", "later", "shorter", "longer", "mixed"}
        words = how | {f"equivalent, {each}" for each in how} | {"equivalent", "undecided", "undefined", "false alarm"}
        assert set(table.drop(columns="type").to_numpy().flat) <= words

    def test_without_a_threshold_or_with_another_it_has_no_wrong_plateau(self, summary: xr.DataTree) -> None:
        for thresholds, expected in (({}, None), ({"kl": 1.0}, "plateau, KL")):
            tree = summary.copy()
            tree.attrs["analysis"] = json.dumps(
                json.loads(summary.attrs["analysis"]) | {"plateau_threshold": thresholds}
            )
            titles = verdicts.overview_table(tree).cells().columns
            assert [title for title in titles if title.startswith("plateau")] == ([expected] if expected else [])

    def test_a_type_that_an_experiment_lacks_has_a_dash(self, summary: xr.DataTree) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        groups["plateau"] = only(groups["plateau"], "real", "random")
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = summary.attrs
        assert row(verdicts.overview_table(tree), "bag")["plateau, L2"] == MISSING

    def test_an_experiment_that_nobody_knows_has_its_columns_behind_the_others(self, summary: xr.DataTree) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        tree = xr.DataTree.from_dict({"a_walk": groups["sensitivity"], **groups})
        tree.attrs = summary.attrs
        assert list(verdicts.overview_table(tree).cells().columns)[-2:] == ["a walk, L2", "a walk, KL"]


class TestTable:
    def test_it_shows_what_verdicts_rest_on(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = judged(edit(sensitivity, "verdict", "undecided", activation_type="bag"))
        table = verdicts.verdict_table(group, metrics=("kl",))
        assert list(table.cells()["type"]) == [label(kind) for kind in compared_types(group)]
        values = group.sel(convention="corrected", statistic="max_slope", metric="kl", activation_type="bag")
        cells = row(table, "bag")
        assert cells["KS to real"] == estimate(float(values["ks"]), values["ks_interval"].values, 2)
        assert cells["p"] == p_value(float(values["ks_p"]))
        assert cells["Holm"] == p_value(float(values["ks_p_holm"]))
        assert cells["BH"] == p_value(float(values["ks_p_bh"]))
        assert cells["p, margin"] == p_value(float(values["ks_equivalence_p_holm"]))
        assert cells["verdict"] == "undecided"

    def test_metrics_stand_below_each_other(self, sensitivity: xr.Dataset) -> None:
        table = verdicts.verdict_table(sensitivity)
        assert [name for name in table.cells()["type"] if name.startswith("**")] == ["**L2**", "**KL**"]
        assert "nan" not in table.markdown()

    def test_an_undefined_type_has_dashes_and_no_number(self, sensitivity: xr.Dataset, edit: Edit) -> None:
        group = sensitivity
        for name in ("ks", "ks_interval", "ks_null", "ks_p", "ks_p_holm", "ks_p_bh", "ks_upper_bound"):
            group = edit(group, name, np.nan, activation_type="bag")
        group = edit(group, "ks_equivalence_p_holm", np.nan, activation_type="bag")
        group = judged(edit(group, "verdict", "undefined", activation_type="bag"))
        cells = row(verdicts.verdict_table(group, metrics=("l2",)), "bag")
        assert set(cells.drop(["type", "verdict"])) == {MISSING}
        assert cells["verdict"] == "undefined"


def test_no_verdict_of_the_summary_is_without_words(summary: xr.DataTree) -> None:
    for name in ("sensitivity", "sensitivity_absolute"):
        group = summary[name].to_dataset()
        for kind in set(types_of(group)) - {"real", "real_control"}:
            text = verdicts.verdict_sentences(only(group, "real", kind), metrics=("l2",))
            assert text.startswith(kind.replace("_", " ").capitalize())


def test_the_bound_is_called_unadjusted(sensitivity: xr.Dataset) -> None:
    assert "of KS, not adjusted: a verdict needs more than a bound below" in verdicts.verdict_table_caption(sensitivity)
