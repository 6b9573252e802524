"""Tests of plateaulens.report.geometry."""

from collections.abc import Callable

import pytest
import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.tables import row
from tests.report.words import related

from plateaulens.report.geometry import geometry_table, path_length_caution
from plateaulens.report.text import estimate

Edit = Callable[..., xr.Dataset]


@pytest.fixture
def alike(summary: xr.DataTree, edit: Edit) -> xr.Dataset:
    """Every mean path length is 50, known to within 1 either way."""
    group = edit(summary["geometry"].to_dataset(), "path_length_mean", 50.0)
    return related(edit(group, "path_length_interval", [49.0, 51.0]))


def test_equal_paths_need_no_caution(alike: xr.Dataset) -> None:
    text = path_length_caution(alike)
    assert text.startswith("No type's mean path length is shown to differ")
    assert text.endswith("by more than 5\u00a0%.")


def test_longer_and_shorter_paths_are_named_with_their_excess(alike: xr.Dataset, edit: Edit) -> None:
    group = edit(alike, "path_length_interval", [59.0, 61.0], activation_type="bag")
    group = edit(group, "path_length_mean", 60.0, activation_type="bag")
    group = edit(group, "path_length_interval", [39.0, 41.0], activation_type="random")
    group = related(edit(group, "path_length_mean", 40.0, activation_type="random"))
    text = path_length_caution(group)
    assert text == (
        "Paths to bag are shown to be more than 5\u00a0% longer on average than to real. The mean is longer by "
        "20\u00a0%. Paths to random are shown to be more than 5\u00a0% shorter on average than to real. The mean is "
        "shorter by 20\u00a0%. No difference that large is shown for other types, whose paths may still differ in "
        "length."
    )
    assert "structured" not in text


def test_the_criterion_is_the_stored_one_and_denies_no_smaller_difference(alike: xr.Dataset, edit: Edit) -> None:
    """Structured is clearly shorter, but by less than what counts: it is neither named nor called equal."""
    group = edit(alike, "path_length_interval", [39.0, 41.0], activation_type="bag")
    group = edit(group, "path_length_mean", 40.0, activation_type="bag")
    group = edit(group, "path_length_interval", [47.9, 48.1], activation_type="structured")
    group = related(edit(group, "path_length_mean", 48.0, activation_type="structured"))
    text = path_length_caution(group)
    assert "Paths to bag are shown to be more than 5\u00a0% shorter" in text
    assert text.endswith("for other types, whose paths may still differ in length.")
    group["path_relation"].attrs["tolerance"] = 0.1
    assert "more than 10\u00a0% shorter" in path_length_caution(group)


def test_of_several_types_the_least_and_the_most_are_named(alike: xr.Dataset, edit: Edit) -> None:
    """Where all types meet the criterion there are no others to speak of."""
    group = edit(edit(alike, "path_length_interval", [39.0, 41.0]), "path_length_mean", 40.0)
    group = edit(group, "path_length_interval", [29.0, 31.0], activation_type="bag")
    group = edit(group, "path_length_mean", 30.0, activation_type="bag")
    group = edit(group, "path_length_interval", [49.0, 51.0], activation_type="real")
    group = related(edit(group, "path_length_mean", 50.0, activation_type="real"))
    text = path_length_caution(group)
    assert text.startswith("Paths to every type are shown to be more than 5\u00a0% shorter")
    assert "The means are shorter by 20\u00a0% (" in text
    assert text.endswith(" to 40\u00a0% (bag).")
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []


def test_a_difference_within_the_intervals_is_no_difference(alike: xr.Dataset, edit: Edit) -> None:
    group = edit(alike, "path_length_interval", [53.0, 67.0], activation_type="bag")
    group = related(edit(group, "path_length_mean", 60.0, activation_type="bag"))
    assert "bag" not in path_length_caution(group)


def test_geometry_table(summary: xr.DataTree) -> None:
    geometry = summary["geometry"].to_dataset()
    cells = row(geometry_table(geometry), "structured")
    values = geometry.sel(activation_type="structured")
    assert cells["norm"] == estimate(float(values["target_norm_mean"]), values["target_norm_interval"].values)
    assert cells["cosine to base"] == estimate(float(values["cosine_mean"]), values["cosine_interval"].values, 2)
