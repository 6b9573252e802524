"""Tests of plateaulens.report.realism: what gives targets away is the summary's word."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from tests.report.five import TYPES
from tests.report.reading import faults, sentences
from tests.report.tables import row

from plateaulens.names import DETECTORS
from plateaulens.report import realism
from plateaulens.report.text import estimate, number, percent

Edit = Callable[..., xr.Dataset]
TYPES_OF_ALL = [str(name) for name in TYPES]


@pytest.fixture
def group(summary: xr.DataTree) -> xr.Dataset:
    """No detector sees anything, nothing is new, and the control passes."""
    group = summary["distinguish"].to_dataset().sel(activation_type=["real", "real_control", "random", "bag"])
    group = group.copy(deep=True)
    group["best_detector"][2:], group["floor_detected"][:] = "none", "not seen"
    group["novelty_relation"][2:], group["copies"][:] = "undecided", 0.0
    return group


@pytest.fixture
def geometry(summary: xr.DataTree) -> xr.Dataset:
    return summary["geometry"].to_dataset().copy(deep=True)


def test_nothing_gives_types_away(group: xr.Dataset) -> None:
    assert realism.detector_sentences(group) == (
        "No detector is shown to give random and bag away (n\u00a0=\u00a024). "
        "The second draw of real targets passes: no detector is shown to tell it from real."
    )


@pytest.mark.parametrize("detector", list(DETECTORS))
def test_the_best_detector_is_named_with_its_area(group: xr.Dataset, edit: Edit, detector: str) -> None:
    group = edit(group, "best_detector", detector, activation_type="bag")
    group["detector_auc"].loc[{"activation_type": "bag", "detector": detector}] = 0.97
    group["detector_auc_interval"].loc[{"activation_type": "bag", "detector": detector}] = np.array([0.95, 0.99])
    text = realism.detector_sentences(group)
    features = "norm, latents, SAE error and neighbour distance"
    ends = "" if DETECTORS[detector].is_classifier else ", 95\u00a0% interval 0.95 to 0.99"
    assert text.startswith(
        f"Bag is given away most clearly in this sample by {DETECTORS[detector].definition.format(features=features)} "
        f"(AUC 0.97{ends}). No detector is shown to give random away"
    )
    assert [fault for sentence in sentences(text) for fault in faults(sentence, TYPES_OF_ALL)] == []


def test_a_classifier_is_of_the_features_that_a_run_has(group: xr.Dataset, edit: Edit) -> None:
    group = edit(group, "best_detector", "features", activation_type="bag")
    for name in ("sae_error", "active_latents"):
        group = edit(group, "detector_p", np.nan, detector=name)
    assert "in this sample by a classifier of norm and neighbour distance together (" in realism.detector_sentences(
        group
    )
    caption = realism.detector_table_caption(group)
    assert "*Features together*: a classifier of norm and neighbour distance together." in caption
    assert "SAE" not in caption


def test_no_definition_points_at_what_is_not_there() -> None:
    for detector in DETECTORS.values():
        assert not {"it", "these", "this"} & set(f"{detector.label} {detector.definition}".split())


def test_several_types_have_the_table(group: xr.Dataset, edit: Edit) -> None:
    text = realism.detector_sentences(edit(group, "best_detector", "norm"))
    assert text.startswith(
        "Random and bag are given away most clearly in this sample by the length of an activation (@tbl-detectors)."
    )
    assert "no detector" not in text.partition("The second draw")[0]


def test_a_type_that_is_not_known(group: xr.Dataset, edit: Edit) -> None:
    group = edit(group, "best_detector", "undefined", activation_type="bag")
    assert "Bag is not known well enough for detectors." in realism.detector_sentences(group)


def test_a_control_that_is_told_apart_is_a_false_alarm(group: xr.Dataset, edit: Edit) -> None:
    group = edit(edit(group, "floor_detected", "false alarm", detector="norm"), "floor_p_holm", 0.02, detector="norm")
    text = realism.detector_sentences(group)
    assert text.endswith(
        "The second draw of real targets is told from real by norm: a false alarm. "
        "Adjusted over detectors, the smallest is p\u00a0=\u00a00.020."
    )
    assert "passes" not in text


@pytest.mark.parametrize("draws", [1, 3])
def test_a_control_that_every_detector_tells_apart(group: xr.Dataset, edit: Edit, draws: int) -> None:
    group = edit(edit(group, "floor_detected", "false alarm"), "floor_p_holm", 0.006)
    group["floor_auc"].attrs["control_draws"] = draws
    text = realism.detector_sentences(group)
    assert "SAE error, neighbour distance, features together and whole activation: a false alarm." in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence, TYPES_OF_ALL)] == []


def test_a_control_is_a_draw_and_not_chance(group: xr.Dataset) -> None:
    one = realism.detector_table_caption(group)
    assert one.endswith("The row of real control is one further draw of real targets, not chance.")
    marked = group.assign_coords(is_control=("activation_type", [False, True, False, True]))
    assert realism.detector_table_caption(marked).endswith(
        "The rows of real control and bag are one further draw of real targets each, not chance."
    )
    none = realism.detector_table_caption(
        group.assign_coords(is_control=("activation_type", [False] * 4)).sel(activation_type=["real", "bag"])
    )
    assert "further draw" not in none
    for caption in (one, none):
        assert "whose intervals, of fixed scores, are there." in caption
        assert "intervals in brackets" in caption


def test_several_control_draws_pass_together(group: xr.Dataset) -> None:
    group["floor_auc"].attrs["control_draws"] = 3
    text = realism.detector_sentences(group)
    assert text.endswith(
        "All 3 further draws of real targets together pass: no detector is shown to tell them from real."
    )


def test_without_a_control_nothing_is_said_of_one(group: xr.Dataset) -> None:
    group["floor_auc"].attrs["control_draws"] = 0
    assert realism.detector_sentences(group) == "No detector is shown to give random and bag away (n\u00a0=\u00a024)."


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("novel", "Bag lies at least 2 times as far from the nearest real activation as real ones from each other."),
        ("farther", "Bag lies farther from the nearest real activation than real ones from each other."),
        ("nearer", "Bag lies nearer to a real activation than real ones to each other."),
        (
            "undecided",
            "Whether random and bag lie nearer to real activations than these to each other, or farther, is undecided.",
        ),
    ],
)
def test_novelty_is_the_stored_word(group: xr.Dataset, edit: Edit, word: str, said: str) -> None:
    text = realism.novelty_sentences(edit(group, "novelty_relation", word, activation_type="bag"))
    assert said in text
    assert text.count("Bag") + text.count("bag") == 1
    assert "copies" not in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence, TYPES_OF_ALL)] == []


def test_nearness_to_the_own_source_is_said(group: xr.Dataset, edit: Edit) -> None:
    near = edit(group, "novelty_relation", "nearer", activation_type="bag")
    near = edit(edit(near, "own_source_most", False), "own_source", 0.25)
    assert "own prompt" not in realism.novelty_sentences(near)
    near = edit(edit(near, "own_source_most", True, activation_type="bag"), "own_source", 0.87, activation_type="bag")
    text = realism.novelty_sentences(near)
    assert (
        "Of the targets of bag, 87\u00a0% lie nearest to the real target of their own prompt. "
        "That they lie near says little of any other activation." in text
    )
    assert "targets of random" not in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence, TYPES_OF_ALL)] == []


def test_a_control_that_fails_the_measure_of_novelty_is_a_false_alarm(group: xr.Dataset, edit: Edit) -> None:
    where = {"activation_type": "real_control"}
    passed = edit(edit(group, "novelty_relation", "undecided", **where), "novelty", 1.75, **where)
    assert "false alarm" not in realism.novelty_sentences(passed)
    failed = edit(edit(passed, "novelty_relation", "false alarm", **where), "novelty_interval", [1.21, 4.84], **where)
    text = realism.novelty_sentences(failed)
    assert "real control differs from real too (1.75, interval 1.21 to 4.84): a false alarm." in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence, TYPES_OF_ALL)] == []


def test_copies_are_named(group: xr.Dataset, edit: Edit) -> None:
    group = edit(group, "copies", 0.25, activation_type="bag")
    text = realism.novelty_sentences(group)
    assert text.endswith("Of bag, 25.0\u00a0% are copies.")
    group["copies"].loc[{"activation_type": "random"}] = 0.5
    text = realism.novelty_sentences(group)
    assert text.endswith("Copies of real activations are among the targets of random and bag (@tbl-nearness).")


def test_without_types_nothing_is_said(group: xr.Dataset) -> None:
    alone = group.sel(activation_type=["real", "real_control"])
    for make in (realism.detector_sentences, realism.novelty_sentences):
        assert make(group)
        assert not make(alone)


def test_without_whole_prompts_nothing_is_claimed(group: xr.Dataset, edit: Edit) -> None:
    group = edit(edit(group, "novelty_relation", "undefined"), "copies", np.nan)
    assert realism.novelty_sentences(group) == "Too few prompts are complete to say how new targets are."


@pytest.mark.parametrize(
    ("word", "said", "never"),
    [
        ("nearly all", "Of its variance, a real activation here is little more than its token", "not all"),
        ("most", "says most of its variance, and not all", "little more"),
        ("less than half", "says less than half of its variance", "most"),
    ],
)
def test_what_follows_from_the_share_between_tokens(geometry: xr.Dataset, word: str, said: str, never: str) -> None:
    geometry["token_share"][...], geometry["token_share_interval"][:] = 0.985, np.array([0.98, 0.99])
    geometry["token_relation"][...], geometry["single_tokens"][...] = word, 0.125
    geometry["token_reason"][...] = "none"
    text = realism.token_sentence(geometry)
    assert text.startswith(
        "Of the variance of real activations at the write site 98.5\u00a0% lies between tokens "
        "(95\u00a0% interval 98.0\u00a0% to 99.0\u00a0%). "
        "Of the base prompts 12.5\u00a0% have a token that no other has."
    )
    assert said in text
    assert never not in text
    assert "Tokens that come once show no variance within a token." not in text
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "too few",
            "As they are more than 50\u00a0%, nothing is concluded from this share.",
        ),
        ("not shown", "As the interval reaches both sides of 50\u00a0%, nothing is concluded from this share."),
    ],
)
def test_why_nothing_follows_is_the_stored_reason(geometry: xr.Dataset, reason: str, said: str) -> None:
    geometry["token_share"][...], geometry["token_share_interval"][:] = 0.5, np.array([0.4, 0.6])
    geometry["token_relation"][...], geometry["token_reason"][...] = "undecided", reason
    geometry["single_tokens"][...] = 0.6
    text = realism.token_sentence(geometry)
    assert text.endswith(f" {said}")
    assert ("Tokens that come once show no variance within a token." in text) == (reason == "too few")
    assert [fault for sentence in sentences(text) for fault in faults(sentence)] == []
    geometry["token_relation"][...], geometry["token_reason"][...] = "most", "none"
    assert "nothing is concluded" not in realism.token_sentence(geometry)


def test_tokens_that_come_once_each(geometry: xr.Dataset) -> None:
    geometry["token_relation"][...] = "undefined"
    assert realism.token_sentence(geometry) == (
        "No token comes twice among the base prompts, so the share of the variance between tokens is unknown."
    )


def test_tables_print_what_is_stored(summary: xr.DataTree) -> None:
    group = summary["distinguish"].to_dataset()
    own = group.sel(activation_type="random")
    cells = row(realism.detector_table(group), "random")
    norm = own.sel(detector="norm")
    assert cells["norm"] == estimate(float(norm["detector_auc"]), norm["detector_auc_interval"].values, 2)
    assert cells["linear kernel"] == number(float(own["auc"].sel(classifier="linear")), 2)
    cells = row(realism.nearness_table(group), "random")
    assert cells["novelty"] == estimate(float(own["novelty"]), own["novelty_interval"].values, 2)
    assert cells["copies"] == percent(float(own["copies"]))
    assert cells["density"] == number(float(own["density"]), 2)
    cells = row(realism.detector_table(group), "random")
    classified = own["detector_auc"].sel(detector="activation")
    assert cells["whole activation"] == number(float(classified), 2)  # other prompts would have taught it otherwise


def test_a_feature_that_a_run_lacks_has_no_column(summary: xr.DataTree, edit: Edit) -> None:
    group = edit(summary["distinguish"].to_dataset(), "detector_p", np.nan, detector="sae_error")
    table = realism.detector_table(group)
    assert "SAE error" not in table.cells().columns
    assert "norm" in table.cells().columns
