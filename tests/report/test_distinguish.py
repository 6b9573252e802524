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
    return told(edit(edit(unseen(group, edit), "classifier_p", 0.9), "mmd_p", 0.9))


def unseen(group: xr.Dataset, edit: Edit) -> xr.Dataset:
    """The group in which no detector sees any type."""
    return edit(edit(group, "detected", "not seen"), "detector_p_holm", 1.0)


def test_nothing_is_told_apart(alike: xr.Dataset) -> None:
    text = distinguish_sentence(alike)
    assert text == (
        "Random and bag are not shown to differ from real by a kernel's classifier, the mean discrepancy or a detector "
        "(smallest adjusted p\u00a0=\u00a01). Real control, a further draw of real targets, is not shown to differ "
        "from real (smallest adjusted p\u00a0=\u00a01). The tests have 24 base prompts. The p-values of types are "
        "adjusted over types and tests, those of detectors apart. Those of a further draw of real are adjusted over "
        "its own tests, and its detectors apart."
    )
    without = distinguish_sentence(kept(alike, "real", "random", "bag"))
    assert without.endswith("adjusted over types and tests, those of detectors apart.")
    assert [fault for sentence in sentences(text) for fault in faults(sentence, ["random", "bag"])] == []


def test_what_shows_nothing_has_its_smallest_adjusted_p(alike: xr.Dataset, edit: Edit) -> None:
    """Of its own types alone, and of each test: three tests of two types, and detectors."""
    group = told(edit(edit(alike, "mmd_p", 0.02, activation_type="random"), "mmd_p", 0.001, activation_type="bag"))
    text = distinguish_sentence(group)
    assert text.startswith(
        "Bag is told from real before any curve is run, by a kernel's classifier or the mean discrepancy."
    )
    assert (
        "Random is not shown to differ from real by a kernel's classifier, the mean discrepancy or a detector" in text
    )
    assert "(smallest adjusted p\u00a0=\u00a00.100)" in text
    seen_less = edit(group, "detector_p_holm", 0.07, activation_type="random", detector="norm")
    assert "(smallest adjusted p\u00a0=\u00a00.070)" in distinguish_sentence(seen_less)


def test_what_detectors_alone_tell_is_not_denied(alike: xr.Dataset, edit: Edit) -> None:
    """Kernels and the discrepancy do not see random and its SAE error does: one conclusion, with the tests named."""
    group = edit(alike, "mmd_p", 0.02, activation_type="random")
    group = edit(group, "detected", "seen", activation_type="random", detector="sae_error")
    group = told(edit(group, "detector_p_holm", 0.042, activation_type="random", detector="sae_error"))
    assert group["told"].sel(activation_type="random") == "by detectors alone"
    text = distinguish_sentence(group)
    assert text.startswith(
        "Random is told from real by detectors alone (@tbl-detectors). A kernel's classifier or the mean discrepancy "
        "is not shown to tell it apart (smallest adjusted p\u00a0=\u00a00.120). Bag is not shown to differ"
    )
    assert [fault for sentence in sentences(text) for fault in faults(sentence, ["random", "bag"])] == []


def test_p_values_are_adjusted_for_types_and_tests(alike: xr.Dataset, edit: Edit) -> None:
    # Six tests, two types with three tests each: the smallest p-value counts sixfold.
    for p, is_told in ((0.008, True), (0.009, False)):
        group = told(edit(alike, "mmd_p", p, activation_type="bag"))
        assert ("Bag is told from real before any curve is run" in distinguish_sentence(group)) == is_told


@pytest.mark.parametrize(("p", "is_told"), [(0.016, True), (0.018, False)])
def test_a_control_that_is_told_apart_is_a_false_alarm(alike: xr.Dataset, edit: Edit, p: float, is_told: bool) -> None:
    """Its three tests are a family."""
    text = distinguish_sentence(told(edit(alike, "mmd_p", p, activation_type="real_control")))
    assert ("Real control, a further draw of real targets, is told from real too" in text) == is_told
    assert ("That is a false alarm: both draws are made alike." in text) == is_told


def test_a_control_that_a_detector_sees_is_a_false_alarm_too(alike: xr.Dataset, edit: Edit) -> None:
    group = edit(alike, "detected", "false alarm", activation_type="real_control", detector="norm")
    group = told(edit(group, "detector_p_holm", 0.03, activation_type="real_control", detector="norm"))
    text = distinguish_sentence(group)
    assert "is told from real too (smallest adjusted p\u00a0=\u00a00.030). That is a false alarm" in text


def test_every_further_draw_is_a_control(alike: xr.Dataset, edit: Edit) -> None:
    """And none of them counts among the types whose p-values are adjusted."""
    again = alike.assign_coords(is_control=("activation_type", [False, True, False, True]))
    group = told(edit(again, "mmd_p", 0.01, activation_type="bag"))
    assert "Bag, a further draw of real targets, is told from real too" in distinguish_sentence(group)
    assert group["mmd_p_holm"].sel(activation_type="bag") == pytest.approx(0.03)


def test_a_type_without_whole_targets_is_said_not_to_be_tested(alike: xr.Dataset, edit: Edit) -> None:
    group = edit(edit(alike, "mmd_p", np.nan, activation_type="bag"), "classifier_p", np.nan, activation_type="bag")
    group = edit(group, "detected", "undefined", activation_type="bag")
    text = distinguish_sentence(told(group))
    assert text.startswith("Random is not shown to differ from real by a kernel's classifier, the mean discrepancy or")
    assert "). Bag is not known well enough to be tested." in text
    assert "nan" not in text


def test_a_run_without_control_or_types(alike: xr.Dataset) -> None:
    text = distinguish_sentence(kept(alike, "real", "bag"))
    assert "further draw" not in text
    assert text.endswith("The p-values of types are adjusted over types and tests, those of detectors apart.")
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
