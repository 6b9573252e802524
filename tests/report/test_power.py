"""Tests of plateaulens.report.power."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.report.reading import faults, sentences

from plateaulens.config import AnalysisConfig
from plateaulens.names import label
from plateaulens.report.contents import synthetic_types
from plateaulens.report.power import looks_sentence, power_sentences
from plateaulens.report.text import percent
from plateaulens.summary.looks import Look, as_attribute

Edit = Callable[..., xr.Dataset]


def test_an_undecided_type_has_its_power_beside_it(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "verdict", "different")
    assert not power_sentences(group)
    group = edit(group, "verdict", "undecided", activation_type="bag", metric="l2")
    group = edit(group, "verdict", "undecided", activation_type="baseline", metric="l2")
    for name, bag, baseline in (("power_different", 0.31, 0.42), ("power_equivalent", 0.2, 0.2)):
        group = edit(group, name, bag, activation_type="bag", metric="l2")
        group = edit(group, name, baseline, activation_type="baseline", metric="l2")
    group = edit(edit(group, "n_pairs", 20, activation_type="bag"), "n_pairs", 20, activation_type="baseline")
    assert power_sentences(group) == (
        "On L2, 20 base prompts find a KS distance of 0.15 different in 31\u00a0% (bag) and 42\u00a0% (baseline) "
        "of runs. On L2, 20 base prompts find a type that equals real equivalent in 20\u00a0% (bag and baseline) "
        "of runs."
    )
    nothing = edit(group, "power_different", float("nan"))
    assert power_sentences(nothing, metrics=("l2",)) == (
        "On L2, 20 base prompts find a type that equals real equivalent in 20\u00a0% (bag and baseline) of runs. "
        "On L2, the pairs of bag and baseline measured here cannot have a KS distance of 0.15, whichever way they are "
        "turned."
    )


def test_only_types_that_have_a_power_are_named_with_it(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(edit(sensitivity, "verdict", "different"), "n_pairs", 20)
    for name in ("bag", "baseline"):
        group = edit(group, "verdict", "undecided", activation_type=name)
    group = edit(edit(group, "power_different", 0.31), "power_equivalent", 0.2)
    group = edit(edit(group, "power_different", np.nan, activation_type="bag"), "n_pairs", 12, activation_type="bag")
    text = power_sentences(group, metrics=("l2",))
    assert text == (
        "On L2, 20 base prompts find a KS distance of 0.15 different in 31\u00a0% (baseline) of runs. "
        "On L2, 12 to 20 base prompts find a type that equals real equivalent in 20\u00a0% (bag and "
        "baseline) of runs. On L2, the pairs of bag measured here cannot have a KS distance of 0.15, whichever way "
        "they are turned."
    )
    assert [fault for sentence in sentences(text) for fault in faults(sentence, ["bag", "baseline"])] == []
    too_few = power_sentences(edit(group, "power_equivalent", np.nan, activation_type="bag"), metrics=("l2",))
    assert "bag" not in too_few
    assert "cannot" not in too_few


def test_each_type_has_its_own_power_and_none_is_hidden_in_a_range(sensitivity: xr.Dataset, edit: Edit) -> None:
    """Of several types one may have a power where the others have none."""
    group = edit(edit(sensitivity, "verdict", "undecided"), "power_equivalent", 0.46)
    text = power_sentences(group, metrics=("l2",))
    assert "equivalent in 46\u00a0% (every synthetic type) of runs" in text
    assert "hardly" not in text
    for name in ("bag", "structured"):
        group = edit(group, "power_equivalent", 0.001, activation_type=name)
    text = power_sentences(group, metrics=("l2",))
    assert "0\u00a0% (bag and structured)" in text
    assert "On L2, bag and structured could hardly be found equivalent here, however like real." in text
    for place, name in enumerate(synthetic_types(group)):
        group = edit(group, "power_equivalent", 0.1 * place, activation_type=name)
    text = power_sentences(group, metrics=("l2",))
    assert [f"{percent(0.1 * place)} ({label(name)})" in text for place, name in enumerate(synthetic_types(group))] == [
        True
    ] * len(synthetic_types(group))
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []


def test_of_a_statistic_without_powers_nothing_is_said(sensitivity: xr.Dataset, edit: Edit) -> None:
    group = edit(sensitivity, "verdict", "undecided")
    assert power_sentences(group)
    assert not power_sentences(group, statistic="auc_ratio")


@pytest.mark.parametrize(
    ("guarded", "words"),
    [
        (False, "Each look had a level of 5\u00a0%, and is a further chance of a false verdict"),
        (True, "These looks share the level of the tests, and this one has 2.5\u00a0% of it"),
    ],
)
def test_more_than_one_look_is_said(guarded: bool, words: str) -> None:
    level = 0.025 if guarded else 0.05
    looks = [Look({"sensitivity": count}, {"sensitivity": 300}, level) for count in (150, 300)]
    attributes = {"analysis": AnalysisConfig(guard_looks=guarded).model_dump_json()}
    twice = xr.DataTree(xr.Dataset(attrs=attributes | as_attribute(looks)))
    assert "analysed 2 times while it grew, at 150 and 300 base prompts" in looks_sentence(twice)
    assert words in looks_sentence(twice)
    assert not looks_sentence(xr.DataTree(xr.Dataset(attrs=attributes | as_attribute(looks[:1]))))
    assert not looks_sentence(xr.DataTree(xr.Dataset(attrs=attributes | {"looks": json.dumps([])})))
