"""The page of the ladder: it says what the ladder's values say, in sentences that can be read, and shows every rung."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure
from tests.figures.checks import check_readable
from tests.report.pages import shown_by
from tests.report.reading import faults, sentences
from tests.summary.test_ladder import as_good_as_real, of, with_own_token

from plateaulens import figures, resources
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.marks import fill
from plateaulens.names import DETECTORS
from plateaulens.report import ladder
from plateaulens.report.ladder import Site
from plateaulens.report.text import MISSING
from plateaulens.summary.analyze import write_summary
from plateaulens.summary.ladder import ABSOLUTE, RELATIVE

GEMMA, NINTH = "embedded:gemma3-270m", "blocks.9.hook_resid_pre"
PLACE = re.compile(r"<!-- findings: ([\w-]+), written by")
PAGE = resources.root() / "report" / "ladder.qmd"

HELD = ["blocks.2-5.hook_mlp_out"]


def site_of(summary: xr.DataTree, title: str = "block 1") -> Site:
    return Site(title, summary, of(summary))


def configured(summary: xr.DataTree, **sections: object) -> xr.DataTree:
    """The summary, of a run with other values of these sections."""
    tree = summary.copy()
    config = RunConfig.model_validate_json(summary.attrs["config"]).model_dump(mode="json") | sections
    tree.attrs = summary.attrs | {"config": RunConfig.model_validate(config).model_dump_json()}
    return tree


def gained(site: Site, best: str, *, is_most: bool = True) -> Site:
    """The site with a gain of 0.2 of random over isotropic on every metric, and this one as the best."""
    own = site.ladder.copy(deep=True)
    own["gain"].loc[{"rung": "random"}] = 0.2
    own["gain_interval"].loc[{"rung": "random"}] = np.array([0.15, 0.25])
    own["gain_p_holm"].loc[{"rung": "random"}] = 0.001
    own.attrs |= {"best_gain": best, "best_gain_metric": "kl" if best else "", "best_gain_is_most": is_most}
    return Site(site.title, site.summary, own)


class TestAnswer:
    def test_a_rung_that_reaches_real_is_named(self, synthetic_summary: xr.DataTree) -> None:
        site = site_of(as_good_as_real(synthetic_summary, "random"))
        site.ladder["best_detector"].loc[{"rung": "random"}] = "none"
        said = ladder.answer_sentences([site])
        assert said.startswith("**At block 1.** Random behaves like real in all that is asked")
        assert "comes closest" not in said
        assert "etectors" not in said

    def test_and_that_detectors_still_tell_it(self, synthetic_summary: xr.DataTree) -> None:
        site = site_of(as_good_as_real(synthetic_summary, "random"))
        site.ladder["best_detector"].loc[{"rung": "random"}] = next(iter(DETECTORS))
        said = ladder.answer_sentences([site])
        assert "Detectors that see the targets themselves still tell random from real." in said

    def test_without_any_the_closest_is_named_with_what_it_lacks(self, synthetic_summary: xr.DataTree) -> None:
        site = site_of(as_good_as_real(synthetic_summary, "reconstruction", copies=0.5))
        site.ladder["worst_ks"].loc[{"rung": "reconstruction"}] = 0.02
        site.ladder.attrs["closest"] = "reconstruction"
        said = ladder.answer_sentences([site])
        assert "No type is shown to be as good as real. Reconstruction comes closest (KS 0.02" in said
        assert "It is not shown to have freedom from copies and targets of its own." in said
        site.ladder["is_new"].loc[{"rung": "reconstruction"}] = True
        assert "Of those with new targets reconstruction comes closest (KS" in ladder.answer_sentences([site])

    def test_what_steps_lack_and_what_else_are_sentences_of_their_own(self, synthetic_summary: xr.DataTree) -> None:
        site = site_of(as_good_as_real(synthetic_summary, "random", metric="kl", copies=0.5))
        site.ladder.attrs["closest"] = "random"
        said = ladder.answer_sentences([site])
        assert "It is not shown to have equivalence in absolute steps on KL. Nor is it shown to have" in said

    def test_a_gain_is_said_where_every_metric_shows_it(self, synthetic_summary: xr.DataTree) -> None:
        said = ladder.answer_sentences([gained(site_of(synthetic_summary), "random")])
        assert "Of single properties, *the covariance* closes more of the gap than any other." in said
        assert "It brings random nearer to real than isotropic by 0.20" in said
        assert "in KS on KL, where it gains least" in said

    def test_the_largest_of_gains_that_are_not_apart_closes_no_most(self, synthetic_summary: xr.DataTree) -> None:
        said = ladder.answer_sentences([gained(site_of(synthetic_summary), "random", is_most=False)])
        assert "Of single properties, *the covariance* has the largest gain here, which is not shown to exceed" in said
        assert "It brings random nearer to real than isotropic by 0.20" in said
        assert "of the gap" not in said
        assert not [faults(each) for each in sentences(said) if faults(each)]

    def test_and_not_where_none_is_shown(self, synthetic_summary: xr.DataTree) -> None:
        said = ladder.answer_sentences([gained(site_of(synthetic_summary), "")])
        assert "No single property is shown to bring a type nearer to real on every metric." in said
        assert "of the gap" not in said


class TestOwnToken:
    @pytest.mark.parametrize(("shift", "word"), [(4.0, "longer"), (-2.0, "shorter")])
    def test_a_difference_that_is_shown_is_said(self, shift: float, word: str, synthetic_summary: xr.DataTree) -> None:
        site = Site("block 1", synthetic_summary, with_own_token(synthetic_summary, shift))
        said = ladder.own_token_sentences([site])
        gain = abs(float(site.ladder["own_token_gain"].sel(rung="random")))
        assert said.startswith(f"Block 1, random: plateaus are {word} by {gain:.2f} [")
        assert said.endswith("adjusted).")
        assert "not shown" not in said
        assert not [faults(each) for each in sentences(said) if faults(each)]

    @pytest.mark.parametrize("spread", [0.0, 400.0])
    def test_and_one_that_is_not_shown_is_not(self, spread: float, synthetic_summary: xr.DataTree) -> None:
        """There is none, or prompts disagree too much."""
        own = with_own_token(synthetic_summary, 0.0, spread=spread)
        said = ladder.own_token_sentences([Site("block 1", synthetic_summary, own)])
        assert (
            "Block 1, random: it is not shown that plateaus differ with the prompt's own token kept (longer by" in said
        )
        assert "plateaus are" not in said
        assert not [faults(each) for each in sentences(said) if faults(each)]

    def test_and_a_run_without_such_types_says_so(self, synthetic_summary: xr.DataTree) -> None:
        sites = [site_of(synthetic_summary)]
        assert ladder.own_token_sentences(sites) == ("No run has plateaus of a type that keeps the prompt's own token.")
        assert ladder.own_token_table(sites).frame.empty

    def test_the_table_has_both(self, synthetic_summary: xr.DataTree) -> None:
        own = with_own_token(synthetic_summary, 4.0, kept=18)
        (row,) = ladder.own_token_table([Site("block 1", synthetic_summary, own)]).frame.to_dict("records")
        at = own.sel(rung="random")
        assert (row["site"], row["rung"], row["kept"]) == ("block 1", "random", 0.75)
        for name in ("plateau_share", "own_token_share", "own_token_gain"):
            assert row[name] == float(at[name])
        assert row["p"] == float(at["own_token_gain_p_holm"])


def test_a_false_alarm_of_a_control_is_called_one(synthetic_summary: xr.DataTree) -> None:
    site = site_of(synthetic_summary)
    passed = site.ladder.copy(deep=True)
    passed["conclusion"].loc[{"rung": "real_control"}] = "equivalent"
    assert "passes everywhere" in ladder.control_sentences([Site(site.title, site.summary, passed)])
    passed["conclusion"].loc[{"rung": "real_control", "experiment": RELATIVE, "metric": "kl"}] = "false alarm"
    said = ladder.control_sentences([Site(site.title, site.summary, passed)])
    assert "Block 1: 1 of 6 comparisons of further real draws is a false alarm" in said
    assert "undecided" not in said
    passed["conclusion"].loc[{"rung": "real_control", "experiment": ABSOLUTE}] = "undecided"
    said = ladder.control_sentences([Site(site.title, site.summary, passed)])
    assert "Block 1: 3 of 6 comparisons of further real draws are undecided." in said
    assert "passes everywhere" not in said


def test_tables_have_the_ladder_s_numbers(synthetic_summary: xr.DataTree) -> None:
    sites = [site_of(as_good_as_real(synthetic_summary, "random")), site_of(synthetic_summary, "block 10")]
    frame = ladder.rung_table(sites).frame
    assert list(frame["site"].unique()) == ["block 1", "block 10"]
    rungs = [str(name) for name in sites[0].ladder["rung"].to_numpy()]
    assert list(frame.loc[frame["site"] == "block 1", "rung"]) == rungs[::-1]
    row = frame[(frame["rung"] == "random") & (frame["site"] == "block 1")].iloc[0]
    own = sites[0].ladder.sel(rung="random")
    assert row["ks_kl"] == float(own["ks"].sel(experiment=RELATIVE, metric="kl"))
    assert row["novelty_lower"] == 2.5
    gains = ladder.gain_table(sites).frame
    assert list(gains["rung"]) == ["random", "random"]
    assert list(gains["gain_l2"]) == [float(own["gain"].sel(metric="l2"))] * 2


def test_the_figure_has_a_row_for_each_rung_and_a_mark_for_each_site(synthetic_summary: xr.DataTree) -> None:
    sites = [site_of(as_good_as_real(synthetic_summary, "random")), site_of(synthetic_summary, "block 10")]
    figure = figures.ladder(ladder.ladders(sites), experiment=RELATIVE)
    check_readable(figure)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["L2", "KL", "JS", "novelty"]
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert {"random", "isotropic", "reconstruction", "from whole activations"} <= set(names)
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    rungs = sites[0].ladder.sizes["rung"]
    assert len(marks) == 2 * rungs
    assert sum(mark.get_markerfacecolor() != "white" for mark in marks) == 1  # the one that reaches real


def with_ladder(summary: xr.DataTree) -> xr.DataTree:
    tree = xr.DataTree.from_dict({name: node.to_dataset() for name, node in summary.children.items()})
    tree["ladder"] = xr.DataTree(of(summary))
    tree.attrs = summary.attrs
    return tree


@pytest.mark.slow
def test_the_page(synthetic_summary: xr.DataTree, tmp_path: Path) -> None:
    write_summary(with_ladder(as_good_as_real(synthetic_summary, "random")), tmp_path / "ladder.zarr")
    shown = shown_by(PAGE, tmp_path / "ladder.zarr")
    (figure,) = (item for item in shown if isinstance(item, Figure))
    check_readable(figure)
    text = "\n\n".join(str(item.data) for item in shown if isinstance(item, Markdown))
    assert "Random behaves like real in all that is asked" in text
    assert "nan" not in text.lower()
    said = [part for part in text.split("\n\n") if "|" not in part and part != MISSING]
    assert not [(each, faults(each)) for part in said for each in sentences(part) if faults(each)]


class TestSeveral:
    """Runs of one write site: named by what tells them apart."""

    def test_the_same_run_twice_is_refused(self, synthetic_summary: xr.DataTree, tmp_path: Path) -> None:
        write_summary(with_ladder(synthetic_summary), tmp_path / "one.zarr")
        with pytest.raises(
            UsageError, match=r"another summary has the model, the write site and the seed of .*one.zarr"
        ):
            ladder.open_sites(tmp_path / "one.zarr", tmp_path / "one.zarr")

    @pytest.mark.parametrize(
        ("section", "value", "titles"),
        [
            ("seed", 7, ["block 1, seed 1", "block 1, seed 7"]),
            (
                "model",
                {"source": "embedded:gemma3-270m"},
                ["block 1 of synthetic", "block 1 of embedded:gemma3-270m"],
            ),
            (
                "sites",
                {"write": "blocks.9.hook_resid_pre", "read": "blocks.29.hook_resid_post"},
                ["block 1", "block 9"],
            ),
            (
                "sites",
                {"write": "blocks.1.hook_resid_pre", "read": "blocks.11.hook_resid_post", "frozen": HELD},
                ["block 1", "block 1, blocks.2-5.hook_mlp_out held"],
            ),
        ],
    )
    def test_others_are_named_by_what_differs(
        self, section: str, value: object, titles: list[str], synthetic_summary: xr.DataTree, tmp_path: Path
    ) -> None:
        first = with_ladder(synthetic_summary)
        write_summary(first, tmp_path / "one.zarr")
        write_summary(configured(first, **{section: value}), tmp_path / "two.zarr")
        assert [site.title for site in ladder.open_sites(tmp_path / "one.zarr", tmp_path / "two.zarr")] == titles

    def test_what_holds_with_both_seeds_is_said(self, synthetic_summary: xr.DataTree) -> None:
        tree = as_good_as_real(synthetic_summary, "random")
        sites = [site_of(tree, "block 1, seed 1"), site_of(configured(tree, seed=7), "block 1, seed 7")]
        said = ladder.answer_sentences(sites)
        assert "Block 1: random behaves like real in all that is asked with each of the seeds 1 and 7." in said
        assert "With seed" not in said

    def test_and_what_holds_with_one_only(self, synthetic_summary: xr.DataTree) -> None:
        sites = [
            site_of(as_good_as_real(synthetic_summary, "random"), "block 1, seed 1"),
            site_of(configured(as_good_as_real(synthetic_summary, "random", copies=0.1), seed=7), "block 1, seed 7"),
        ]
        said = ladder.answer_sentences(sites)
        assert "Block 1: no type behaves like real in all that is asked with each of the seeds 1 and 7." in said
        assert said.endswith("With seed 7 random is not shown to have freedom from copies.")

    def test_other_sites_and_models_are_no_check_of_the_seed(self, synthetic_summary: xr.DataTree) -> None:
        tree = as_good_as_real(synthetic_summary, "random")
        sites = json.loads(tree.attrs["config"])["sites"] | {"frozen": HELD}
        held = configured(tree, seed=7, sites=sites)
        assert "of the seeds" not in ladder.answer_sentences([site_of(tree), site_of(held, "block 1, held")])
        other = configured(tree, model={"source": GEMMA})
        assert "of the seeds" not in ladder.answer_sentences([site_of(tree), site_of(other, "block 1 of gemma")])


def test_prompts_are_counted_by_kind_of_steps_where_they_differ(synthetic_summary: xr.DataTree) -> None:
    site = site_of(as_good_as_real(synthetic_summary, "random"))
    site.ladder.attrs["prompts"] = {RELATIVE: 600, ABSOLUTE: 1500}
    assert "(n\u00a0=\u00a0600 in relative and n\u00a0=\u00a01,500 in absolute steps)" in ladder.answer_sentences(
        [site]
    )
    site.ladder.attrs["prompts"] = {RELATIVE: 600, ABSOLUTE: 600}
    assert "(n\u00a0=\u00a0600). It is" in ladder.answer_sentences([site])


def test_a_summary_without_fitted_types_has_no_ladder(synthetic_summary: xr.DataTree, tmp_path: Path) -> None:
    write_summary(synthetic_summary.copy(), tmp_path / "plain.zarr")
    with pytest.raises(UsageError, match=r"plain.zarr has no ladder: collect a run with fitted types"):
        ladder.open_sites(tmp_path / "plain.zarr")


def test_doses_are_told_at_both_ends(synthetic_summary: xr.DataTree) -> None:
    tree = synthetic_summary
    site = Site("block 1", tree, of(tree, isotropic={"type": "random", "kept_share": 0.0}))
    curves = ladder.dose_curves([site])
    ks = tree[RELATIVE]["ks"].sel(convention="corrected", statistic="max_slope", metric="l2")
    drawn = curves["block 1"]["random"].sel(metric="l2")
    assert drawn["share"].values.tolist() == [0.0, 0.5]
    np.testing.assert_array_equal(drawn["ks"], ks.sel(activation_type=["isotropic", "random"]))
    said = ladder.dose_sentences([site])
    assert said.startswith("Block 1, random: KS on L2 is ")
    assert said.endswith("at 50\u00a0%.")


def test_what_was_found_goes_between_the_marks_of_the_documentation(synthetic_summary: xr.DataTree) -> None:
    made = runpy.run_path(str(resources.root() / "docs" / "findings.py"))
    text = made["findings"]([site_of(as_good_as_real(synthetic_summary, "random"))])
    assert text.startswith("**At block 1.** Random behaves like real")
    assert "(@" not in text
    assert text.splitlines()[-1].startswith("|")
    page = (resources.root() / "docs" / "ladder.md").read_text(encoding="utf-8")
    places = PLACE.findall(page)
    told = (resources.root() / "noxfile.py").read_text(encoding="utf-8").partition("FINDINGS")[2].partition("\n}")[0]
    assert places == re.findall(r'^    "([\w-]+)":', told, re.MULTILINE)
    for place in places:
        assert text in fill(page, made["opening"](place), made["CLOSING"], text)
