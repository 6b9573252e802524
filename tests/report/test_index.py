"""Tests of report/index.qmd over synthetic summaries: every cell runs, and the page says what the summary says."""

import os
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure
from tests.report.pages import shown_by

from plateaulens import resources
from plateaulens.config import AnalysisConfig
from plateaulens.report import confounds, constants, distinguish, effects, findings, nearness, plateaus, verdicts
from plateaulens.report.build import build, fitting
from plateaulens.report.geometry import path_length_caution
from plateaulens.report.text import MISSING
from plateaulens.summary.analyze import summarize, write_summary
from qmdrender.document import read_document

pytestmark = pytest.mark.slow

INDEX = resources.root() / "report" / "index.qmd"
FIGURES = 13
BODY_TABLES = 8
NASTY = "`x` $y$ <script>z</script> | ::: \n [a](b) **c**"


def write(tree: xr.DataTree, path: Path) -> Path:
    """Write a summary as `analyze` does."""
    write_summary(tree, path)
    return path


def words(shown: list[Any]) -> str:
    """All Markdown and text among what is shown."""
    texts = (item.data if isinstance(item, Markdown) else item for item in shown)
    return "\n".join(text for text in texts if isinstance(text, str))


@pytest.fixture(scope="module")
def page(summary: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a summary whose first prompt is nasty, rendered by the built-in renderer."""
    folder = tmp_path_factory.mktemp("index")
    groups = {name: node.to_dataset() for name, node in summary.children.items()}
    groups["prompts"] = groups["prompts"].copy(deep=True)
    groups["prompts"]["text"][0] = NASTY
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = summary.attrs
    with pytest.MonkeyPatch.context() as patch:
        # The kernel has to import what this process imports.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        (made,) = build(write(tree, folder / "summary.zarr"), folder / "out", formats=("html",), renderer="builtin")
    return made.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(page: str) -> str:
    """The page's text: no tags, one space between words."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", "", page, flags=re.DOTALL)))


def flat(sentence: str) -> str:
    """A Markdown sentence as the page shows it."""
    return re.sub(r"\s+", " ", re.sub(r"\\(.)", r"\1", sentence)).replace("'", "\u2019")


class TestPage:
    def test_it_has_every_figure_and_table(self, page: str) -> None:
        assert len(re.findall(r"<img\b", page)) == FIGURES
        assert len(re.findall(r"<table\b", page)) == INDEX.read_text(encoding="utf-8").count("::: {#tbl-")

    def test_the_body_has_few_tables_and_the_appendix_is_folded(self) -> None:
        text = INDEX.read_text(encoding="utf-8")
        body, appendix = text.split("## Appendix")
        assert body.count("::: {#tbl-") <= BODY_TABLES
        assert "<details>" not in body
        folded = re.findall(
            r"```\{=html\}\n<details><summary>[^<]+</summary>\n```(.*?)```\{=html\}\n</details>\n```",
            appendix,
            re.DOTALL,
        )
        assert sum(part.count("::: {#tbl-") for part in folded) == appendix.count("::: {#tbl-") > 20

    def test_the_first_screen_is_short(self, page: str) -> None:
        first = page[page.index('id="finding"') : page.index('id="sec-done"')]
        assert first.count("<img") == 1
        assert "<table" not in first
        bare = re.sub(r"<[^>]+>", " ", first.partition(">")[2])
        assert len(bare.split()) < 220

    def test_the_first_screen_links_to_tables_that_hold_its_numbers(self, page: str) -> None:
        first = page[page.index('id="finding"') : page.index('id="sec-done"')]
        items = re.findall(r"<li>(.*?)</li>", first, re.DOTALL)
        assert len(items) == 3
        for item in items:
            (place,) = re.findall(r'href="#([\w-]+)"', item)
            start = page.index(f'<figure class="tbl-float" id="{place}"')
            table = re.sub(r"<[^>]+>", " ", page[start : page.index("</figure>", start)])
            said = re.sub(r"<[^>]+>", " ", item)
            numbers = re.findall(r"\d+\.\d+", said)
            assert numbers or "too few base prompts" in said
            assert set(numbers) <= set(re.findall(r"\d+\.\d+", table)), said

    def test_every_figure_has_an_alternative_text(self, page: str) -> None:
        texts = re.findall(r'<img\b[^>]*\balt="([^"]*)"', page)
        assert len(texts) == FIGURES
        assert len(set(texts)) == FIGURES
        assert all(len(alternative) > 60 for alternative in texts)

    def test_it_asks_the_network_for_nothing(self, page: str) -> None:
        assert not re.findall(r'(?:src|srcset|data|poster)="(?!data:)[^"]*"', page)
        assert not re.findall(r"<(?:link|iframe|script)\b[^>]*(?:href|src)=", page)
        assert not re.findall(r"url\((?!['\"]?data:)|@import", page)

    def test_sentences_are_those_of_the_summary(self, text: str, sensitivity: xr.Dataset, summary: xr.DataTree) -> None:
        geometry = summary["geometry"].to_dataset()
        for sentence in (
            effects.timing_sentences(sensitivity, metric="l2"),
            effects.timing_sentences(sensitivity, metric="kl"),
            verdicts.verdict_sentences(sensitivity),
            verdicts.control_sentence(sensitivity),
            nearness.claim_sentences(sensitivity),
            confounds.adjusted_sentences(summary["confounds"].to_dataset()).partition(". ")[2],
            distinguish.distinguish_sentence(summary["distinguish"].to_dataset()),
            constants.constants_sentence(summary["constants"].to_dataset()).partition(" (@")[0],
            plateaus.timing_sentences(summary["plateau"].to_dataset(), metric="l2"),
            path_length_caution(geometry),
            findings.headline(summary),
            findings.comparisons_sentence(summary),
        ):
            assert flat(sentence) in text

    def test_cells_of_tables_are_those_of_the_summary(self, text: str, sensitivity: xr.Dataset) -> None:
        table = verdicts.verdict_table(sensitivity).cells().drop(columns="type").to_numpy()
        assert all(flat(str(cell)) in text for cell in table.flat)

    def test_a_nasty_prompt_is_shown_literally(self, page: str, text: str) -> None:
        assert "<script>z" not in page
        assert NASTY.replace(" \n ", " ↵ ") in text

    def test_references_resolve(self, page: str, text: str) -> None:
        assert "?@" not in page
        assert "Giglemiani" in text

    def test_no_number_is_typed_by_hand(self) -> None:
        prose = "\n".join(part.text for part in read_document(INDEX).parts if hasattr(part, "text"))
        prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\[?@[\w-]+|\{#[^}]*\}", "", prose, flags=re.DOTALL)
        allowed = {"0", "1", "2", "9"}  # step 0, the line through steps 0 and 9, base 2, L2 and the range of JS
        assert set(re.findall(r"\d+(?:\.\d+)?", prose)) <= allowed


class TestOtherRuns:
    def test_reversed_effects_are_reported_as_reversed(self, reversed_summary: xr.DataTree, tmp_path: Path) -> None:
        shown = words(shown_by(INDEX, write(reversed_summary, tmp_path / "summary.zarr")))
        group = reversed_summary["sensitivity"].to_dataset()
        assert effects.timing_sentences(group, metric="kl") in shown
        claims = re.findall(r"blows? up (earlier|later) than real\b", shown)
        assert "earlier" in claims
        kl = group.sel(convention="corrected", statistic="max_slope", metric="kl")
        assert kl["direction"].sel(activation_type="random").item() == "earlier", "random, the former real"
        assert re.search(
            r"On KL, [^.]*(?:random|every synthetic type|both Gaussian types)[^.:]* earlier than real: by", shown
        )

    @pytest.mark.parametrize("kept", ["sensitivity", "sensitivity_absolute", "plateau"])
    def test_a_run_with_one_experiment(self, summary: xr.DataTree, tmp_path: Path, kept: str) -> None:
        tree = xr.DataTree.from_dict({name: summary[name].to_dataset() for name in ("prompts", "geometry", kept)})
        tree.attrs = summary.attrs
        shown = shown_by(INDEX, write(tree, tmp_path / "summary.zarr"))
        figures = {"sensitivity": 7, "sensitivity_absolute": 3, "plateau": 3}[kept] + 1
        assert sum(isinstance(item, Figure) for item in shown) == figures
        absent = re.findall(r"^This run has no experiment with ([\w ]+)\.$", words(shown), flags=re.MULTILINE)
        for group in ("comparison at equal geometry", "test of the targets themselves", "conclusions under other"):
            assert f"This summary has no {group}" in words(shown)
        titles = {"sensitivity": "relative steps", "sensitivity_absolute": "absolute steps", "plateau": "plateaus"}
        assert set(absent) == set(titles.values()) - {titles[kept]}

    @pytest.mark.parametrize("absent", ["plateau", "sensitivity_absolute"])
    def test_a_page_has_no_section_on_an_experiment_that_was_not_run(
        self, summary: xr.DataTree, tmp_path: Path, absent: str
    ) -> None:
        source, whole = INDEX.read_text(encoding="utf-8"), write(summary, tmp_path / "whole.zarr")
        assert fitting(source, whole) == re.sub(r"<!-- .*? -->\n\n", "", source)
        tree = summary.copy()
        del tree[absent]
        part = write(tree, tmp_path / "part.zarr")
        page = tmp_path / "index.qmd"
        page.write_text(fitting(source, part), encoding="utf-8")
        assert not re.search(rf'run,\s+"{absent}"', page.read_text(encoding="utf-8"))
        shown = [item.data for item in shown_by(page, part) if isinstance(item, Markdown)]
        assert [text for text in shown if text == MISSING or text.startswith("This run has no experiment")] == []
        text = "\n".join([page.read_text(encoding="utf-8"), *shown])
        labels, references = (set(re.findall(rf"{mark}((?:fig|tbl|sec|eq)-\w+)", text)) for mark in ("{#", "@"))
        assert references <= labels

    @pytest.mark.parametrize("kept", [["real"], ["real", "random"], ["real", "real_control", "isotropic"]])
    def test_a_run_without_an_sae(self, run: xr.DataTree, tmp_path: Path, kept: list[str], summarized: Any) -> None:
        groups = {name: node.to_dataset() for name, node in run.children.items()}
        for name, group in groups.items():
            if "activation_type" in group.dims:
                groups[name] = group.sel(activation_type=kept)
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = run.attrs
        shown = shown_by(INDEX, write(summarized(tree), tmp_path / "summary.zarr"))
        assert "does not have both structured and baseline" in words(shown)
        assert not re.search(r"[Ss]tructured (?:is|blows|has)", words(shown))

    @pytest.mark.parametrize(("thresholds", "figures"), [({}, FIGURES - 1), ({"kl": 1.0}, FIGURES)])
    def test_a_run_whose_plateaus_have_no_threshold_on_l2(
        self, run: xr.DataTree, tmp_path: Path, thresholds: dict[str, float], figures: int
    ) -> None:
        settings = AnalysisConfig(resamples=200, plateau_threshold=thresholds)
        shown = shown_by(INDEX, write(summarize(run, settings), tmp_path / "summary.zarr"))
        assert sum(isinstance(item, Figure) for item in shown) == figures
        assert ("The analysis has no plateau threshold" in words(shown)) == (not thresholds)

    def test_a_run_that_starts_at_the_reconstruction_has_a_section(self, summary: xr.DataTree, tmp_path: Path) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        tree = xr.DataTree.from_dict(groups | {"sensitivity_reconstructed": groups["sensitivity"]})
        tree.attrs = summary.attrs
        shown = words(shown_by(INDEX, write(tree, tmp_path / "summary.zarr")))
        assert "### Relative steps from the reconstruction" in shown
        assert "reconstructed, KL" in shown, "the overview has its column"

    @pytest.mark.parametrize("metrics", [{"l2": "l2", "kl": "kl"}, {"l2": "l2", "kl": "kl", "js": "my_metric"}])
    def test_a_run_with_other_metrics_and_an_experiment_that_nobody_knows(
        self, summary: xr.DataTree, tmp_path: Path, metrics: dict[str, str]
    ) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        labels = np.array(list(metrics.values()), dtype=np.dtypes.StringDType())
        for name, group in groups.items():
            if "metric" in group.dims:
                groups[name] = group.sel(metric=list(metrics)).assign_coords(metric=labels)
        tree = xr.DataTree.from_dict(groups | {"a_walk": groups["sensitivity"]})
        tree.attrs = summary.attrs
        shown = words(shown_by(INDEX, write(tree, tmp_path / "summary.zarr")))
        assert "| a walk " in shown, "among the experiments"
        assert "a walk, KL" in shown, "the overview has its column"
        assert ("my_metric" in shown) == ("js" in metrics)
        assert ("no other metric" in shown) == ("js" not in metrics)

    def test_nothing_is_shown_as_html(self, summary: xr.DataTree, tmp_path: Path) -> None:
        for item in shown_by(INDEX, write(summary, tmp_path / "summary.zarr")):
            assert item is None or isinstance(item, Figure | Markdown | str)
