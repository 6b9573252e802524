"""Tests of plateaulens.report.authors."""

import json

import pytest
import xarray as xr

from plateaulens.replication.reference import read_reference
from plateaulens.report import authors
from plateaulens.report.text import MISSING, estimate


def with_model(summary: xr.DataTree, source: str) -> xr.DataTree:
    config = json.loads(summary.attrs["config"])
    config["model"]["source"] = source
    changed = summary.copy()
    changed.attrs["config"] = json.dumps(config)
    return changed


def test_numbers_of_both_stand_side_by_side(summary: xr.DataTree) -> None:
    table = authors.authors_table(summary).cells()
    first, second = table.iloc[1], table.iloc[2]
    assert (first["type"], second["type"]) == ("real", "random")
    assert first["GPT-2"] == "51.6 (7.8)"
    assert (first["GPT-2, KS"], first["here, KS"]) == (MISSING, MISSING)
    assert second["GPT-2, KS"] == "0.61"
    own = (
        summary["sensitivity"]
        .to_dataset()
        .sel(convention="authors", statistic="max_slope", metric="l2", activation_type="random")
    )
    steps = (own["step_value"] * 0.99).where(~own["censored"], 99)
    assert second["here"] == f"{float(steps.mean()):.1f} ({float(steps.std()):.1f})"
    assert second["here, KS"] == estimate(float(own["ks"]), own["ks_interval"].values, 2)
    corrected = summary["sensitivity"]["ks"].sel(
        convention="corrected", statistic="max_slope", metric="l2", activation_type="random"
    )
    assert second["corrected, KS"].startswith(f"{float(corrected):.2f} [")


def test_what_is_measured_stands_above_its_rows_once(summary: xr.DataTree) -> None:
    table = authors.authors_table(summary).cells()
    headings = table[table["type"].str.startswith("**")]
    assert list(headings["type"])[:2] == ["**max slope, L2**", "**max slope, KL**"]
    assert "**max slope, L2, absolute**" in list(headings["type"])
    assert headings["type"].is_unique
    assert set(headings["here, KS"]) == {""}


def test_each_measurement_comes_from_its_first_printing(summary: xr.DataTree) -> None:
    rows = authors.comparable(summary)
    keys = [(row["experiment"], row["statistic"], row["metric"], row["activation_type"]) for row in rows]
    assert len(set(keys)) == len(keys)
    first = read_reference().iloc[0]
    assert rows[0]["mean"] == first["mean"]


def test_only_what_the_run_measured_is_compared(summary: xr.DataTree) -> None:
    kept = summary["plateau"].to_dataset().sel(activation_type=["real", "random"], other_type=["real", "random"])
    one = xr.DataTree.from_dict({"plateau": kept})
    table = authors.authors_table(one).cells()
    assert list(table["type"]) == ["**plateau length, L2**", "real", "random"]


def test_nothing_to_compare_is_an_empty_table_and_a_sentence(summary: xr.DataTree) -> None:
    none = xr.DataTree.from_dict({"geometry": summary["geometry"].to_dataset()})
    none.attrs = summary.attrs
    assert authors.authors_table(none).markdown() == MISSING
    assert "printed none" in authors.authors_sentences(none)


def test_the_caption_names_both_models(summary: xr.DataTree) -> None:
    assert "GPT-2" in authors.authors_table_caption(summary)
    assert "this run (synthetic)" in authors.authors_table_caption(summary)


def test_the_caption_says_by_what_steps_are_multiplied_and_where_plateaus_end(summary: xr.DataTree) -> None:
    caption = authors.authors_table_caption(summary)
    said = (
        "Steps are multiplied by 0.99 (relative, absolute and plateau), from this run's grid to theirs of 100 points."
    )
    assert said in caption
    threshold = json.loads(summary.attrs["analysis"])["plateau_threshold"]["l2"]
    assert f"Plateaus end at an L2 distance of 20, in the other tables {threshold:g}." in caption
    groups = {name: node.to_dataset() for name, node in summary.children.items()}
    absolute = groups["sensitivity_absolute"]
    longer = absolute.assign_coords(length=absolute["length"] * 2)
    tree = xr.DataTree.from_dict({"sensitivity": groups["sensitivity"], "sensitivity_absolute": longer})
    tree.attrs = summary.attrs
    caption = authors.authors_table_caption(tree)
    assert "Steps are multiplied by 0.99 (relative) and 1.98 (absolute), from this run's grid" in caption
    assert "Plateaus end" not in caption
    del tree["sensitivity"], tree["sensitivity_absolute"]
    assert "multiplied" not in authors.authors_table_caption(tree)


@pytest.mark.parametrize("source", ["gpt2", "openai-community/gpt2"])
def test_gpt2_is_the_same_model(summary: xr.DataTree, source: str) -> None:
    assert "measures the same model" in authors.authors_sentences(with_model(summary, source))


@pytest.mark.parametrize("source", ["embedded:smollm2", "gpt2-large"])
def test_any_other_model_is_another_one(summary: xr.DataTree, source: str) -> None:
    text = authors.authors_sentences(with_model(summary, source)).replace("\\", "")
    assert f"measures another model, {source}, so agreement number by number is not expected" in text
    assert text.startswith("The authors' numbers are for GPT-2.")
    assert text.endswith("Where they were printed is in @tbl-sources.")


def test_every_number_has_its_place_in_the_authors_notebooks(summary: xr.DataTree) -> None:
    frame = authors.source_table(summary).frame
    assert set(frame["source"]) == {row["source"] for row in authors.comparable(summary)}
    assert frame["source"].is_unique
    assert frame["source"].str.contains(r"\.ipynb").any()
    assert frame["measured"].str.contains("max slope, L2").any()
