"""Every computed sentence of the page reads well, whatever the summary, and the first screen keeps to its lengths."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.report.five import FIVE, TYPES
from tests.report.pages import shown_by
from tests.report.reading import FRAGMENTS, faults, sentences, texts

from plateaulens import resources
from plateaulens.config import AnalysisConfig
from plateaulens.quick import NOTICE
from plateaulens.report import effects, findings, nearness, setting, verdicts
from plateaulens.summary.analyze import summarize_experiment, write_summary

INDEX = resources.root() / "report" / "index.qmd"
TYPES_OF_ALL = [str(name) for name in TYPES]


def read(summary: xr.DataTree, folder: Path) -> list[Any]:
    """What the page shows for a summary, without its figures."""
    write_summary(summary, folder / "summary.zarr")
    inline: list[Any] = []
    shown = shown_by(INDEX, folder / "summary.zarr", without=FRAGMENTS, inline=inline)
    assert len(inline) > 20
    assert all(item.data for item in inline), "an empty one is left standing as source by Quarto"
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["as it is", *FIVE])
def test_sentences_are_short_and_grammatical(summary: xr.DataTree, tmp_path: Path, name: str) -> None:
    tree = FIVE[name](summary) if name in FIVE else summary
    said = [sentence for text in texts(read(tree, tmp_path)) for sentence in sentences(text)]
    assert len(said) > 50
    assert {sentence: found for sentence in said if (found := faults(sentence, TYPES_OF_ALL))} == {}
    assert not [sentence for sentence in said if "indistinguishable" in sentence]


@pytest.mark.parametrize("name", ["as it is", *FIVE])
def test_the_first_screen_keeps_to_its_lengths(summary: xr.DataTree, name: str) -> None:
    tree = FIVE[name](summary) if name in FIVE else summary
    assert faults(findings.headline(tree), TYPES_OF_ALL, most=25) == []
    points = findings.points(tree).splitlines()
    assert 1 <= len(points) <= 3
    for point in points:
        assert point.startswith("- ")
        assert len(sentences(point.removeprefix("- "))) == 1
        assert faults(point.removeprefix("- "), TYPES_OF_ALL) == []


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("Every type but bag blows up later than real.", []),
        ("Every type but bag blow up later than real.", ["'Every type but bag blow' disagree"]),
        ("On L2, bag and random is undecided.", ["'bag and random is' disagree"]),
        ("Bag are undecided on L2.", ["'Bag are' disagree"]),
        ("Both Gaussian types has shorter plateaus.", ["'Both Gaussian types has' disagree"]),
        ("The difference of bag and random is smaller.", []),
        ("Bag is undecided", ["does not end"]),
        ("bag is undecided.", ["begins with a small letter"]),
        ("Bag is  undecided .", ["untidy marks"]),
        ("Bag is a equivalent type.", ["wrong article"]),
        ("Bag has a step of nan.", ["no word"]),
        ("Single_latent is undecided.", ["no word"]),
        ("Bag differs by 0.1 (\u2014 to \u2014).", ["no number"]),
        ("So " + "very, " * 29 + "long.", ["31 words"]),
        ("Bag is is undecided.", ["'is is' stands twice"]),
        ("The median differs by 1 steps.", ["'1 steps' disagree"]),
    ],
)
def test_the_reader_finds_what_is_wrong(sentence: str, found: list[str]) -> None:
    assert faults(sentence, TYPES_OF_ALL) == found


def test_a_text_is_cut_at_its_sentences_alone() -> None:
    text = "On L2, KS 0.15 (p = 0.2) apart. *Chance*: at most 0.1. 20 prompts (@tbl-a).\n"
    assert sentences(text.strip()) == [
        "On L2, KS 0.15 (p = 0.2) apart.",
        "*Chance*: at most 0.1.",
        "20 prompts (@tbl-a).",
    ]


def words(group: xr.Dataset, variable: str, **of: str) -> xr.Dataset:
    """The group with these words for its types."""
    copy = group.copy(deep=True)
    for kind, word in of.items():
        copy[variable].loc[{"activation_type": kind}] = word
    return copy


def with_group(summary: xr.DataTree, name: str, group: xr.Dataset) -> xr.DataTree:
    tree = xr.DataTree.from_dict({key: node.to_dataset() for key, node in summary.children.items()} | {name: group})
    tree.attrs = dict(summary.attrs)
    return tree


SYNTHETIC = ("random", "isotropic", "reconstruction", "bag", "baseline", "structured", "single_latent")


class TestHeadline:
    """It says what the stored conclusions say, and no more."""

    @pytest.mark.parametrize(
        ("conclusions", "said"),
        [
            (
                dict.fromkeys(SYNTHETIC, "equivalent"),
                "every synthetic type is within KS 0.15 of real on L2 and KL.",
            ),
            (
                dict.fromkeys(SYNTHETIC, "later"),
                "no synthetic type is shown within KS 0.15 of real on L2 and KL, and each blows up later.",
            ),
            (
                dict.fromkeys(SYNTHETIC, "later") | {"reconstruction": "equivalent, different"},
                "reconstruction is within KS 0.15 of real on L2 and KL; every other synthetic type blows up later.",
            ),
            (
                dict.fromkeys(SYNTHETIC, "equivalent") | {"bag": "earlier"},
                "every synthetic type but bag is within KS 0.15 of real on L2 and KL; bag blows up earlier.",
            ),
            (
                dict.fromkeys(SYNTHETIC, "equivalent") | {"bag": "earlier", "random": "mixed", "baseline": "undecided"},
                "isotropic, reconstruction, structured and single latent are within KS 0.15 of real "  # noqa: ISC004
                "on L2 and KL; 2 differ, 1 undecided.",
            ),
            (
                dict.fromkeys(SYNTHETIC, "different") | {"bag": "undecided"},
                "no synthetic type is shown within KS 0.15 of real on L2 and KL: 6 differ, 1 undecided.",
            ),
            (
                dict.fromkeys(SYNTHETIC, "undecided"),
                "no synthetic type is shown within KS 0.15 of real on L2 and KL: 7 undecided.",
            ),
            (
                dict.fromkeys(SYNTHETIC, "different") | {"bag": "later", "random": "undefined"},
                "no synthetic type is shown within KS 0.15 of real on L2 and KL: 6 differ, 1 undecided.",
            ),
        ],
    )
    def test_it_sums_up_the_conclusions(self, summary: xr.DataTree, conclusions: dict[str, str], said: str) -> None:
        group = words(summary["sensitivity"].to_dataset(), "conclusion", **conclusions)
        text = findings.headline(with_group(summary, "sensitivity", group))
        assert text == f"In relative steps, {said}"
        assert faults(text, TYPES_OF_ALL, most=25) == []

    @pytest.mark.parametrize(
        ("near", "said"),
        [
            (SYNTHETIC, "every {} is within KS 0.15 of real on L2 and KL."),
            (SYNTHETIC[1:], "every {} but random is within KS 0.15 of real on L2 and KL; random blows up later."),
            (("bag",), "bag is within KS 0.15 of real on L2 and KL; every other {} blows up later."),
            ((), "no {} is shown within KS 0.15 of real on L2 and KL, and each blows up later."),
        ],
    )
    def test_types_are_called_synthetic_where_there_is_a_control(
        self, summary: xr.DataTree, near: Sequence[str], said: str
    ) -> None:
        """The control, which is equivalent here and later there, is a type as well, and none of those meant."""
        whole = summary["sensitivity"].to_dataset()
        whole = words(whole, "conclusion", **{name: "equivalent" if name in near else "later" for name in SYNTHETIC})
        for word in ("equivalent", "later"):
            told = findings.headline(with_group(summary, "sensitivity", words(whole, "conclusion", real_control=word)))
            assert told == f"In relative steps, {said.format('synthetic type')}"
            assert faults(told, TYPES_OF_ALL, most=25) == []
        alone = whole.drop_sel(activation_type="real_control", other_type="real_control")
        told = findings.headline(with_group(summary, "sensitivity", alone))
        assert told == f"In relative steps, {said.format('type')}"

    def test_a_type_on_which_metrics_disagree_splits(self, summary: xr.DataTree) -> None:
        group = words(summary["sensitivity"].to_dataset(), "conclusion", **dict.fromkeys(SYNTHETIC, "equivalent"))
        group["conclusion"].loc[{"activation_type": "bag", "metric": "kl"}] = "later"
        text = findings.headline(with_group(summary, "sensitivity", group))
        assert text == (
            "In relative steps, every synthetic type but bag is within KS 0.15 of real on L2 and KL; "
            "1 splits by metric."
        )

    def test_where_names_take_too_many_words_types_are_counted(self, summary: xr.DataTree) -> None:
        said = dict.fromkeys(SYNTHETIC, "equivalent") | {"bag": "earlier", "baseline": "undecided", "random": "later"}
        group = words(summary["sensitivity"].to_dataset(), "conclusion", **said)
        group["conclusion"].loc[{"activation_type": "random", "metric": "kl"}] = "undecided"
        text = findings.headline(with_group(summary, "sensitivity", group))
        assert text == (
            "In relative steps, 4 synthetic types are within KS 0.15 of real on L2 and KL; "
            "1 differs, 1 splits by metric, 1 undecided."
        )
        assert faults(text, TYPES_OF_ALL, most=25) == []

    def test_without_relative_steps_it_is_of_the_first_experiment(self, summary: xr.DataTree) -> None:
        kept = {name: summary[name].to_dataset() for name in ("geometry", "plateau")}
        kept["plateau"] = words(kept["plateau"], "conclusion", **dict.fromkeys(SYNTHETIC, "shorter"))
        tree = xr.DataTree.from_dict(kept)
        tree.attrs = dict(summary.attrs)
        assert findings.headline(tree) == (
            "By plateau length, no synthetic type is shown within KS 0.15 of real on L2, and each has shorter plateaus."
        )

    def test_absolute_steps_are_not_called_relative(self, summary: xr.DataTree) -> None:
        tree = xr.DataTree.from_dict({"sensitivity_absolute": summary["sensitivity_absolute"].to_dataset()})
        tree.attrs = dict(summary.attrs)
        assert findings.headline(tree).startswith("In absolute steps, ")
        assert "relative" not in findings.headline(tree)

    def test_a_run_without_types_or_experiments_says_so(self, summary: xr.DataTree) -> None:
        real = summary["sensitivity"].to_dataset().sel(activation_type=["real"], other_type=["real"])
        assert "no type to compare" in findings.headline(with_group(summary, "sensitivity", real))
        empty = xr.DataTree.from_dict({"geometry": summary["geometry"].to_dataset()})
        empty.attrs = dict(summary.attrs)
        assert findings.headline(empty) == "This run has no experiment to draw a finding from."


class TestPoints:
    """Three more sentences, each with its number, its interval and its place."""

    @pytest.mark.parametrize(
        ("l2", "kl", "said"),
        [
            (
                "undecided",
                "undecided",
                "whether structured or baseline is nearer to real is undecided on L2 and KL: L2 KS difference",
            ),
            ("nearer", "nearer", "structured is nearer to real than baseline on L2 and KL: L2 KS difference"),
            ("farther", "farther", "baseline is nearer to real than structured on L2 and KL: L2 KS difference"),
            ("nearer", "undecided", "structured is nearer to real than baseline on L2; on KL that is undecided: L2 KS"),
            (
                "undecided",
                "nearer",
                "whether structured or baseline is nearer to real is undecided on L2; on KL structured is: L2 KS",
            ),
        ],
    )
    def test_the_claim_is_the_stored_one(self, summary: xr.DataTree, l2: str, kl: str, said: str) -> None:
        group = summary["sensitivity"].to_dataset().copy(deep=True)
        for metric, word in (("l2", l2), ("kl", kl)):
            where = {"metric": metric, "activation_type": "structured", "other_type": "baseline"}
            group["nearness"].loc[where] = word
            group["ks_difference_interval"].loc[where] = np.array([-0.4, -0.1])
        claim = findings.points(with_group(summary, "sensitivity", group)).splitlines()[0]
        assert claim.startswith(f"- In relative steps, {said}")
        assert claim.endswith(" (95\u00a0% interval \u22120.40 to \u22120.10; @tbl-pairs).")
        assert ("; on KL " in claim) == (l2 != kl)
        assert faults(claim.removeprefix("- ")) == []

    def test_too_few_prompts_are_said_in_place_of_an_interval(self, summary: xr.DataTree) -> None:
        where = {"activation_type": "structured", "other_type": "baseline"}
        stored = summary["sensitivity"].to_dataset()["ks_difference_interval"].sel(where)
        assert stored.isnull().all(), "there are 24"
        claim = findings.points(summary).splitlines()[0]
        assert claim == (
            "- In relative steps, whether structured or baseline is nearer to real is undecided on L2 and KL: too few "
            "base prompts for a test (@tbl-pairs)."
        )

    @pytest.mark.parametrize(
        ("direction", "said"),
        [
            (
                "earlier",
                "Structured has shorter plateaus than real on L2, by 3.0 steps (95\u00a0% interval 2.0 to 4.0; @",
            ),
            (
                "undecided",
                "Whether structured has shorter or longer plateaus than real on average is undecided on L2: \u22123.0",
            ),
            ("mixed", "Whether structured has shorter or longer plateaus than real is undecided on L2: \u22123.0"),
            ("undefined", "Structured has no step to compare with real on L2"),
        ],
    )
    def test_plateaus_have_the_stored_direction(self, summary: xr.DataTree, direction: str, said: str) -> None:
        group = words(summary["plateau"].to_dataset(), "direction", structured=direction)
        group["mean_difference"].loc[{"activation_type": "structured"}] = -3.0
        group["mean_difference_interval"].loc[{"activation_type": "structured"}] = np.array([-4.0, -2.0])
        point = findings.points(with_group(summary, "plateau", group)).splitlines()[1]
        assert point.startswith(f"- {said}")
        assert point.endswith("@tbl-plateau-effects).")
        assert faults(point.removeprefix("- "), TYPES_OF_ALL) == []

    @pytest.mark.parametrize(
        ("fate", "said"),
        [
            (
                "still later",
                "structured still blows up later than real on L2, by 3.0 relative steps (95\u00a0% interval 2.0 to 4",
            ),
            ("now later", "structured now blows up later than real on L2, by 3.0 relative steps"),
            (
                "no longer shown to differ",
                "structured is no longer shown to differ from real on L2: 3.0 relative steps",
            ),
            ("not shown to differ", "structured is not shown to differ from real on L2: 3.0 relative steps"),
            ("undecided", "the fate of structured is undecided on L2: 3.0 relative steps"),
            ("not comparable", "structured is not comparable on L2 (@tbl-confounds)."),
        ],
    )
    def test_equal_length_leaves_the_stored_fate(self, summary: xr.DataTree, fate: str, said: str) -> None:
        group = words(summary["confounds"].to_dataset(), "adjusted_fate", structured=fate)
        group = words(group, "matched_fate", structured=fate)
        group["adjusted_difference"].loc[{"activation_type": "structured"}] = 3.0
        group["adjusted_difference_interval"].loc[{"activation_type": "structured"}] = np.array([2.0, 4.0])
        point = findings.points(with_group(summary, "confounds", group)).splitlines()[2]
        assert point.startswith(f"- At equal path length, {said}")
        assert point.endswith("@tbl-confounds).")
        assert faults(point.removeprefix("- "), TYPES_OF_ALL) == []

    @pytest.mark.parametrize(
        ("fate", "matched", "said"),
        [
            ("still later", "still later", "structured still blows up later than real on L2, by 3.0 {}2.0 to 4.0{}."),
            (
                "still later",
                "no longer shown to differ",
                (
                    "regression still finds structured later than real on L2, by 3.0 {}2.0 to 4.0{}, "
                    "which matching does not show."
                ),
            ),
            (
                "still later",
                "now earlier",
                "regression still finds structured later than real on L2, by 3.0 {}2.0 to 4.0{}, but matching earlier.",
            ),
            (
                "still earlier",
                "undecided",
                (
                    "regression still finds structured earlier than real on L2, by \u22123.0 "
                    "{}\u22124.0 to \u22122.0{}, which matching does not show."
                ),
            ),
            (
                "no longer shown to differ",
                "still later",
                (
                    "matching still finds structured later than real on L2, by 1.0 {}\u22122.0 to 4.0{}, "
                    "which regression does not show."
                ),
            ),
            (
                "not comparable",
                "still later",
                (
                    "matching still finds structured later than real on L2, by 1.0 {}\u22122.0 to 4.0{}, "
                    "which regression does not show."
                ),
            ),
            (
                "no longer shown to differ",
                "undecided",
                "structured is no longer shown to differ from real on L2: 3.0 {}2.0 to 4.0{}.",
            ),
        ],
    )
    def test_no_more_is_said_than_both_methods_show(
        self, summary: xr.DataTree, fate: str, matched: str, said: str
    ) -> None:
        """In one sentence, whose number is that of the method which it names."""
        group = words(summary["confounds"].to_dataset(), "adjusted_fate", structured=fate)
        group = words(group, "matched_fate", structured=matched)
        group["adjusted_difference"].loc[{"activation_type": "structured"}] = 3.0
        group["adjusted_difference_interval"].loc[{"activation_type": "structured"}] = np.array([2.0, 4.0])
        group["matched_difference"].loc[{"activation_type": "structured"}] = 1.0
        group["matched_difference_interval"].loc[{"activation_type": "structured"}] = np.array([-2.0, 4.0])
        point = findings.points(with_group(summary, "confounds", group)).splitlines()[2]
        told = said.format("relative steps (95\u00a0% interval ", "; @tbl-confounds)")
        assert point == f"- At equal path length, {told}"
        assert faults(point.removeprefix("- "), TYPES_OF_ALL) == []

    def test_a_match_that_is_not_there_is_not_heard(self, summary: xr.DataTree) -> None:
        group = words(summary["confounds"].to_dataset(), "adjusted_fate", structured="still later")
        group = words(group, "matched_fate", structured="not comparable")
        for name in ("matched_difference", "matched_difference_interval"):
            group[name].loc[{"activation_type": "structured"}] = np.nan
        point = findings.points(with_group(summary, "confounds", group)).splitlines()[2]
        assert "atching" not in point
        assert "structured still blows up later than real on L2, by " in point

    def test_what_the_summary_lacks_is_no_point(self, summary: xr.DataTree) -> None:
        tree = xr.DataTree.from_dict({"geometry": summary["geometry"].to_dataset()})
        tree.attrs = dict(summary.attrs)
        assert findings.points(tree) == ""
        assert findings.headline(tree) == "This run has no experiment to draw a finding from."


def test_sentences_call_types_synthetic_where_a_control_is_none_of_them(summary: xr.DataTree) -> None:
    """Of all types but the control the body speaks as the headline does; where there is none, of types."""
    whole = words(summary["sensitivity"].to_dataset(), "conclusion", **dict.fromkeys(SYNTHETIC, "later"))
    whole = words(whole, "direction", **dict.fromkeys(SYNTHETIC, "later"))
    for group, noun in (
        (whole, "synthetic type"),
        (whole.drop_sel(activation_type="real_control", other_type="real_control"), "type"),
    ):
        assert verdicts.verdict_sentences(group).startswith(f"Every {noun} differs from real ")
        assert f"every {noun} blows up later than real" in effects.timing_sentences(group, metric="l2")


def test_the_facts_are_those_of_the_run(summary: xr.DataTree) -> None:
    text = findings.facts(summary).replace("\\", "")
    for key in ("Model ", "site ", "SAE ", "prompts 24 of ", "collected 20", "commit "):
        assert key in text
    assert text.count(" \u00b7 ") == 5


def test_a_quick_run_is_called_one(summary: xr.DataTree) -> None:
    quick = summary.copy()
    config = json.loads(str(summary.attrs["config"]))
    quick.attrs = {**summary.attrs, "config": json.dumps({**config, "name": f"{config['name']}-quick"})}
    notice, _, line = findings.facts(quick).partition("\n\n")
    assert notice == NOTICE
    assert line == findings.facts(summary)


@pytest.mark.parametrize("whole", [False, True])
def test_what_holm_ran_over_is_said(whole: bool, run: xr.DataTree) -> None:
    """By the summary's own settings, in the definitions, the captions and the limits."""
    settings = AnalysisConfig(resamples=1500, statistics=("max_slope", "plateau_length"), family_wise=whole)
    group = summarize_experiment(run["sensitivity"].to_dataset(), "sensitivity", settings)
    tree = xr.DataTree.from_dict({"sensitivity": group})
    tree.attrs = {**run.attrs, "analysis": settings.model_dump_json()}
    experiment = tree["sensitivity"].to_dataset()
    said = {
        setting.family(settings): "over everything that the tables of verdicts say",
        verdicts.verdict_table_caption(experiment): "*Holm*: adjusted for everything that the tables of verdicts say",
        nearness.pair_matrix_caption(experiment): "over all pairs, metrics, statistics and experiments",
        findings.comparisons_sentence(tree): "adjusted for all of these together",
    }
    for text, words in said.items():
        assert (words in text) == whole
