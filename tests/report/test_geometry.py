"""Tests of plateaulens.report.geometry."""

from collections.abc import Callable

import pytest
import xarray as xr
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
        "Paths to bag are longer on average than to real, by 20\u00a0%. Paths to random are shorter on average than to "
        "real, by 20\u00a0%."
    )
    assert "structured" not in text


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
