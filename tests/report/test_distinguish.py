"""Tests of plateaulens.report.distinguish: whether targets are told from real ones is the summary's word."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.report.reading import faults, sentences
from tests.report.tables import row
from tests.report.words import told

from plateaulens.report.distinguish import (
    distinguish_sentence,
    distinguish_table,
    distinguish_table_caption,
    distinguishability_caption,
)
from plateaulens.report.text import estimate, p_value, percent

Edit = Callable[..., xr.Dataset]


def kept(group: xr.Dataset, *types: str) -> xr.Dataset:
    """The group with a few of its types."""
    return group.sel(activation_type=list(types))


@pytest.fixture
def alike(summary: xr.DataTree, edit: Edit) -> xr.Dataset:
    """Nothing is told from real."""
    group = kept(summary["distinguish"].to_dataset(), "real", "real_control", "random", "bag")
    return told(edit(edit(group, "classifier_p", 0.9), "mmd_p", 0.9))


def test_nothing_is_told_apart(alike: xr.Dataset) -> None:
    text = distinguish_sentence(alike)
    assert text == (
        "Random and bag are not shown to differ from real by a classifier or by the mean discrepancy (smallest "
        "adjusted p\u00a0=\u00a01). Real control, the second draw of real targets, is not shown to differ from real "
        "(smallest p\u00a0=\u00a00.900, not adjusted). The tests have 24 base prompts. The p-values of types are "
        "adjusted over types and tests; those of real control are not."
    )
    assert [fault for sentence in sentences(text) for fault in faults(sentence, ["random", "bag"])] == []


def test_what_shows_nothing_has_its_smallest_adjusted_p(alike: xr.Dataset, edit: Edit) -> None:
    """Of its own types alone, and of each test: three tests of two types."""
    group = told(edit(edit(alike, "mmd_p", 0.02, activation_type="random"), "mmd_p", 0.001, activation_type="bag"))
    text = distinguish_sentence(group)
    assert text.startswith("Bag is told from real before any curve is run, by a classifier or by the mean discrepancy.")
    assert (
        "Random is not shown to differ from real by a classifier or by the mean discrepancy (smallest adjusted " in text
    )
    assert "p\u00a0=\u00a00.100)" in text
    assert "by no test" not in text


def test_p_values_are_adjusted_for_types_and_tests(alike: xr.Dataset, edit: Edit) -> None:
    # Six tests, two types with three tests each: the smallest p-value counts sixfold.
    for p, is_told in ((0.008, True), (0.009, False)):
        group = told(edit(alike, "mmd_p", p, activation_type="bag"))
        assert ("Bag is told from real before any curve is run" in distinguish_sentence(group)) == is_told


def test_a_control_that_is_told_apart_is_a_false_alarm(alike: xr.Dataset, edit: Edit) -> None:
    group = told(edit(alike, "mmd_p", 0.01, activation_type="real_control"))
    text = distinguish_sentence(group)
    assert "Real control, the second draw of real targets, is told from real too" in text
    assert "That is a false alarm: both draws are made alike." in text


def test_a_type_without_whole_targets_is_said_not_to_be_tested(alike: xr.Dataset, edit: Edit) -> None:
    group = edit(edit(alike, "mmd_p", np.nan, activation_type="bag"), "classifier_p", np.nan, activation_type="bag")
    text = distinguish_sentence(told(group))
    assert text.startswith("Random is not shown to differ from real by a classifier or by the mean discrepancy (")
    assert "). Bag is not known well enough to be tested." in text
    assert "nan" not in text


def test_a_run_without_control_or_types(alike: xr.Dataset) -> None:
    text = distinguish_sentence(kept(alike, "real", "bag"))
    assert "second draw" not in text
    assert text.endswith("The p-values of types are adjusted over types and tests.")
    assert "no type to compare" in distinguish_sentence(kept(alike, "real"))


def test_captions_name_the_brackets_and_what_they_hold(summary: xr.DataTree) -> None:
    group = summary["distinguish"].to_dataset()
    assert "in brackets its 95\u00a0% bootstrap interval. These intervals are of fixed scores" in (
        distinguish_table_caption(group)
    )
    assert "95\u00a0% bootstrap intervals of fixed scores" in distinguishability_caption(group)
    for caption in (distinguish_table_caption(group), distinguishability_caption(group)):
        assert [fault for sentence in sentences(caption) for fault in faults(sentence)] == []


def test_distinguish_table(summary: xr.DataTree) -> None:
    group = summary["distinguish"].to_dataset()
    cells = row(distinguish_table(group), "random")
    own = group.sel(activation_type="random")
    linear = own.sel(classifier="linear")
    assert cells["L: AUC"] == estimate(float(linear["auc"]), linear["auc_interval"].values, 2)
    assert cells["G: right"] == percent(float(own["accuracy"].sel(classifier="gaussian")))
    assert cells["MMD: p"] == p_value(float(own["mmd_p"]))
