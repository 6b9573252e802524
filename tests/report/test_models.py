"""The section beside another model says what both summaries hold, and what is missing when one does not."""

import os
import sys
from pathlib import Path

import pytest
import xarray as xr

from plateaulens import resources
from plateaulens.report import models
from plateaulens.report.build import build
from plateaulens.report.contents import types_of
from plateaulens.report.effects import timing_sentences
from plateaulens.report.text import number
from plateaulens.summary.analyze import write_summary


def stored(tree: xr.DataTree, path: Path, name: str) -> Path:
    groups = {key: node.to_dataset() for key, node in tree.children.items()}
    copy = xr.DataTree.from_dict(groups)
    copy.attrs = {**tree.attrs, "name": name}
    write_summary(copy, path)
    return path


@pytest.fixture
def other(reversed_summary: xr.DataTree, tmp_path: Path) -> Path:
    return stored(reversed_summary, tmp_path / "other.zarr", "second_model")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_another_summary_there_is_no_section(summary: xr.DataTree, tmp_path: Path) -> None:
    assert models.section(summary, "").data == ""
    assert not list(tmp_path.iterdir())


def test_a_missing_summary_is_named_with_what_makes_it(summary: xr.DataTree) -> None:
    text = models.section(summary, "data/summaries/smollm2.zarr").data
    assert text.startswith("## Beside another model")
    assert "beside smollm2, of which there is no summary here" in text


def test_a_summary_without_relative_steps_is_said_to_lack_them(summary: xr.DataTree, tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({"plateau": summary["plateau"].to_dataset()})
    tree.attrs = summary.attrs
    text = models.section(summary, str(stored(tree, tmp_path / "plateau.zarr", "plateaus"))).data
    assert "do not both hold relative steps" in text


@pytest.mark.slow
def test_a_metric_that_one_of_the_two_lacks_is_not_compared(
    summary: xr.DataTree, reversed_summary: xr.DataTree, tmp_path: Path
) -> None:
    group = reversed_summary["sensitivity"].to_dataset().sel(metric=["l2", "js"])
    tree = xr.DataTree.from_dict({"sensitivity": group})
    tree.attrs = summary.attrs
    text = models.section(summary, str(stored(tree, tmp_path / "few.zarr", "few"))).data
    assert "On L2, curves towards real targets" in text
    assert "On KL, curves towards real targets" not in text


@pytest.mark.slow
def test_both_runs_are_described_each_by_its_own_numbers(
    summary: xr.DataTree, reversed_summary: xr.DataTree, other: Path, tmp_path: Path
) -> None:
    text = models.section(summary, str(other)).data
    assert "second\\_model" in text
    types = types_of(summary["sensitivity"].to_dataset())
    for name, tree in (("synthetic", summary), ("second\\_model", reversed_summary)):
        said = timing_sentences(tree["sensitivity"].to_dataset().sel(activation_type=types), metric="kl")
        assert f"**{name}.**" in text
        assert said in text
    assert (tmp_path / "models.svg").stat().st_size > 1000
    mean = float(summary["sensitivity"]["steepness_mean"].sel(metric="l2", activation_type="real"))
    assert f"{number(mean)} times in synthetic" in text


def test_steeper_is_claimed_only_of_intervals_that_do_not_meet(sensitivity: xr.Dataset) -> None:
    apart = sensitivity.assign(steepness_mean_interval=sensitivity["steepness_mean_interval"] * 3)
    near = sensitivity.assign(steepness_mean_interval=sensitivity["steepness_mean_interval"] * 1.0001)
    assert models.steepness_sentence({"a": sensitivity, "b": apart}, "kl").endswith(": they are steeper in b.")
    assert models.steepness_sentence({"a": apart, "b": sensitivity}, "kl").endswith(": they are steeper in a.")
    assert models.steepness_sentence({"a": sensitivity, "b": near}, "kl").endswith("are not told apart.")


def test_the_table_has_the_shared_types_and_no_distance_of_real_to_itself(sensitivity: xr.Dataset) -> None:
    few = sensitivity.sel(activation_type=["random", "real"])
    table = models.models_table({"a": sensitivity, "b": few}).cells()
    assert table["type"].tolist() == ["**L2**", "real", "random", "**KL**", "real", "random"]
    real = table[table["type"] == "real"]
    assert (real["KS, a"] == "\N{EM DASH}").all()
    values = sensitivity.sel(metric="kl", activation_type="random")
    low, high = values["steepness_mean_interval"].to_numpy()
    expected = f"{number(float(values['steepness_mean']))} [{number(low)},\u00a0{number(high)}]"
    assert table["steepness, b"].iloc[-1] == expected
    assert low < high


@pytest.mark.slow
def test_the_page_and_the_pdf_hold_the_picture(
    summary: xr.DataTree, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the kernel
    own = stored(summary, tmp_path / "own.zarr", "first_model")
    page, pdf = build(own, tmp_path / "out", renderer="builtin", beside=other)
    html = page.read_text(encoding="utf-8")
    assert "Beside another model" in html
    assert html.count("data:image/svg+xml") > 1 or "models.svg" not in html
    assert "one row per activation type, around a line at zero" in html
    assert pdf.stat().st_size > 1000


def test_the_presets_name_runs_that_ship() -> None:
    named = [
        line.split('"')[1]
        for path in (resources.root() / "data" / "presets").glob("*.toml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("beside")
    ]
    assert named == ["smollm2"]
    assert all((resources.root() / "data" / "presets" / f"{name}.toml").exists() for name in named)
