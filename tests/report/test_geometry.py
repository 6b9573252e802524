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
    """Every mean path is as long as real's, known to within 2 % either way."""
    return paths(summary["geometry"].to_dataset(), edit, 1.0)


def paths(group: xr.Dataset, edit: Edit, ratio: float, reach: float = 0.02, **where: str) -> xr.Dataset:
    """The group with paths so many times as long as real's, and the words on them."""
    group = edit(
        edit(group, "path_ratio", ratio, **where), "path_ratio_interval", [ratio - reach, ratio + reach], **where
    )
    return related(group)


def test_equal_paths_need_no_caution(alike: xr.Dataset) -> None:
    text = path_length_caution(alike)
    assert text.startswith("No type's mean path length is shown to differ")
    assert text.endswith("by more than 5\u00a0%.")


def test_longer_and_shorter_paths_are_named_with_their_excess(alike: xr.Dataset, edit: Edit) -> None:
    group = paths(paths(alike, edit, 1.2, activation_type="bag"), edit, 0.8, activation_type="random")
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
    group = paths(alike, edit, 0.8, activation_type="bag")
    group = paths(group, edit, 0.96, 0.002, activation_type="structured")
    text = path_length_caution(group)
    assert "Paths to bag are shown to be more than 5\u00a0% shorter" in text
    assert text.endswith("for other types, whose paths may still differ in length.")
    group["path_relation"].attrs["tolerance"] = 0.1
    assert "more than 10\u00a0% shorter" in path_length_caution(group)


def test_of_several_types_the_least_and_the_most_are_named(alike: xr.Dataset, edit: Edit) -> None:
    """Where all types meet the criterion there are no others to speak of."""
    group = paths(paths(alike, edit, 0.8), edit, 0.6, activation_type="bag")
    text = path_length_caution(group)
    assert text.startswith("Paths to every type are shown to be more than 5\u00a0% shorter")
    assert "The means are shorter by 20\u00a0% (" in text
    assert text.endswith(" to 40\u00a0% (bag).")
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []


def test_a_difference_within_the_intervals_is_no_difference(alike: xr.Dataset, edit: Edit) -> None:
    assert "bag" not in path_length_caution(paths(alike, edit, 1.2, 0.16, activation_type="bag"))


def test_intervals_of_lengths_that_meet_do_not_hide_a_paired_difference(alike: xr.Dataset, edit: Edit) -> None:
    """Pairs know more than two means: their ratio decides, and what is left is no denial of it."""
    group = edit(edit(alike, "path_length_interval", [40.0, 60.0]), "path_length_mean", 50.0)
    text = path_length_caution(paths(group, edit, 0.915, 0.025, activation_type="bag"))
    assert text.startswith("Paths to bag are shown to be more than 5\u00a0% shorter on average than to real.")
    assert "The mean is shorter by 8\u00a0%." in text or "The mean is shorter by 9\u00a0%." in text


def test_geometry_table(summary: xr.DataTree) -> None:
    geometry = summary["geometry"].to_dataset()
    cells = row(geometry_table(geometry), "structured")
    values = geometry.sel(activation_type="structured")
    assert cells["norm"] == estimate(float(values["target_norm_mean"]), values["target_norm_interval"].values)
    assert cells["path over real's"] == estimate(float(values["path_ratio"]), values["path_ratio_interval"].values, 2)
    assert cells["cosine to base"] == estimate(float(values["cosine_mean"]), values["cosine_interval"].values, 2)
