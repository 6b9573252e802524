import json
from typing import Any

import pytest

from plateaulens.store.identity import LEARNED, differences, resume_differences


def attributes(**changes: Any) -> dict[str, str | int]:
    config = {"name": "run", "sensitivity": {"samples": 300, "steps": 101}, "analysis": {"resamples": 2000}}
    identity = {"model": {"sha256": "aa"}, "sae": None}
    values = {"schema_version": 1, "config": config, "identity": identity, "versions": {}, "commit": "1"} | changes
    return {key: value if isinstance(value, str | int) else json.dumps(value) for key, value in values.items()}


def test_the_same_run_may_be_continued() -> None:
    assert resume_differences(attributes(), attributes()) == []


def test_analysis_and_software_do_not_matter() -> None:
    config = {"name": "run", "sensitivity": {"samples": 300, "steps": 101}, "analysis": {"resamples": 1}}
    other = attributes(config=config, versions={"numpy": "9"}, commit="2")
    assert resume_differences(attributes(), other) == []


def test_every_other_difference_is_named_with_both_values() -> None:
    config = {"name": "other", "sensitivity": {"samples": 200, "steps": 101}}
    identity = {"model": {"sha256": "bb"}, "sae": {"sha256": "cc"}}
    assert resume_differences(attributes(), attributes(config=config, identity=identity)) == [
        'name: stored "run", asked "other"',
        "sensitivity.samples: stored 300, asked 200",
        'identity.model.sha256: stored "aa", asked "bb"',
        'identity.sae: stored null, asked {"sha256": "cc"}',
    ]


def test_the_schema_version_and_what_an_earlier_version_left_out_do_not_matter() -> None:
    """A run from before there were other metrics, whose preset had to have sections that it did not use."""
    experiment = {"samples": 5, "steps": 11, "step_length": None}
    today: dict[str, Any] = {
        "name": "run",
        "experiments": ["sensitivity"],
        "model": {"source": "a"},
        "sites": {"write": "blocks.1.hook_resid_pre", "read": "blocks.2.hook_resid_post"},
        "prompts": {"source": "b"},
        "targets": {"types": ["real"]},
        "sensitivity": experiment,
    }
    earlier = today | {"plateau": experiment | {"step_length": 0.5}, "sensitivity_reconstructed": None, "sae": None}
    asked = attributes(config=today | {"metrics": ["l2", "kl", "js"]}, schema_version=2)
    assert resume_differences(attributes(config=earlier), asked) == []
    more = attributes(config=today | {"metrics": ["l2", "kl"]}, schema_version=2)
    assert resume_differences(attributes(config=earlier), more) == [
        'metrics: stored ["l2", "kl", "js"], asked ["l2", "kl"]'
    ]


def test_held_parts_are_another_run_and_none_are_what_earlier_versions_had() -> None:
    sites = {"write": "blocks.1.hook_resid_pre", "read": "blocks.2.hook_resid_post"}
    run = {"name": "run", "model": {"source": "a"}, "prompts": {"source": "b"}, "targets": {"types": ["real"]}}
    run |= {"experiments": ["sensitivity"], "sensitivity": {"samples": 5, "steps": 11}}
    with_sites = [run | {"sites": sites}]
    with_sites += [run | {"sites": {**sites, "frozen": frozen}} for frozen in ([], ["blocks.1.hook_mlp_out"])]
    earlier, none, held = (attributes(config=config) for config in with_sites)
    assert resume_differences(earlier, none) == []
    assert resume_differences(earlier, held) == ['sites.frozen: stored [], asked ["blocks.1.hook_mlp_out"]']


def test_a_missing_key_is_not_a_null_one() -> None:
    assert differences({"a": None}, {}, "asked") == ["a: stored null, asked nothing"]


@pytest.mark.parametrize("damaged", [attributes(config="{"), {"config": "{}"}])
def test_a_damaged_attribute_is_a_value_error(damaged: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match=r"missing|Expecting"):
        resume_differences(damaged, attributes())


@pytest.mark.parametrize("text", ["null", "[1]", "3", "[" * 30_000, '{"a":' * 30_000, '"x"'])
@pytest.mark.parametrize("key", ["config", "identity"])
def test_json_that_is_no_object(key: str, text: str) -> None:
    sound = {"config": "{}", "identity": "{}"}
    with pytest.raises(ValueError, match=r"where there should be a JSON object|nested too deeply"):
        resume_differences(sound | {key: text}, sound)


def test_what_was_learned_matters_until_all_targets_are_drawn() -> None:
    one, two = (attributes(identity=json.dumps({LEARNED: {"Tokens": each}, "model": "m"})) for each in ("a", "b"))
    assert resume_differences(one, two) == ['identity.learned.Tokens: stored "a", asked "b"']
    assert resume_differences(one, two, drawn=True) == []
    other = attributes(identity=json.dumps({LEARNED: {"Tokens": "a"}, "model": "n"}))
    assert resume_differences(one, other, drawn=True) == ['identity.model: stored "m", asked "n"']


def test_how_the_way_was_asked_for_is_not_what_was_measured() -> None:
    """The identity says which way was taken; an earlier version did not write it down."""
    config = {"engine": {"way": "auto"}, "sae": {"frequency": "shipped"}}
    stored = {"config": json.dumps(config), "identity": json.dumps({"way": "packed"})}
    asked = {
        "config": json.dumps({"engine": {"way": "packed"}, "sae": {"frequency": "auto"}}),
        "identity": json.dumps({"way": "packed"}),
    }
    assert resume_differences(stored, asked) == []
    other = asked | {"identity": json.dumps({"way": "whole"})}
    assert resume_differences(stored, other) == ['identity.way: stored "packed", asked "whole"']
    assert resume_differences(stored | {"identity": "{}"}, other) == []


def test_what_an_sae_says_of_itself_does_not_matter() -> None:
    """A run of an earlier version has not kept it, and a later SAELens may read it otherwise."""

    def of(sae: object) -> dict[str, str | int]:
        return attributes(identity={"sae": sae})

    kept = of({"sha256": "aa", "settings": {"d_in": 576}})
    assert resume_differences(of({"sha256": "aa"}), kept) == resume_differences(kept, of({"sha256": "aa"})) == []
    (difference,) = resume_differences(kept, of({"sha256": "bb", "settings": {"d_in": 576}}))
    assert difference.startswith("identity.sae.sha256")
