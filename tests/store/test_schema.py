import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.store.schema import ExperimentSpec, RunSpec


def one(samples: int = 5, per_chunk: int = 2, *, of: int = 5, step_length: float | None = None) -> RunSpec:
    experiment = ExperimentSpec("sensitivity", ("real", "random"), samples, 11, step_length)
    return RunSpec((experiment,), of, 4, 6, per_chunk)


@given(samples=st.integers(1, 300), per_chunk=st.integers(1, 400))
def test_spans_partition_the_samples_at_chunk_boundaries(samples: int, per_chunk: int) -> None:
    spans = one(samples, per_chunk, of=300).groups["sensitivity"].spans
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(samples))
    assert all(span.start % min(per_chunk, samples) == 0 for span in spans)
    assert all(span.stop - span.start == min(per_chunk, samples) for span in spans[:-1])


def test_a_relative_experiment_has_fractions_and_a_fixed_one_lengths() -> None:
    relative = {c.name: c.values.tolist() for c in one().groups["sensitivity"].coordinates}
    fixed = {c.name: c.values.tolist() for c in one(step_length=0.5).groups["sensitivity"].coordinates}
    assert relative["fraction"][:2] + relative["fraction"][-1:] == [0.0, 0.1, 1.0]
    assert fixed["length"][:3] + fixed["length"][-1:] == [0.0, 0.5, 1.0, 5.0]
    assert "length" not in relative
    assert "fraction" not in fixed
    assert dict(zip(relative["metric"], relative["metric_units"], strict=True)) == {
        "l2": "residual stream",
        "kl": "nat",
        "js": "1",
    }


def test_activations_cover_the_types_of_all_experiments_once() -> None:
    first = ExperimentSpec("sensitivity", ("real", "bag"), 2, 3, None)
    second = ExperimentSpec("plateau", ("real", "random"), 2, 3, 0.5)
    spec = RunSpec((first, second), 2, 4, 6, 2)
    assert spec.activation_types == ("real", "bag", "random")
    assert spec.groups["activations"].sizes["activation_type"] == 3


def test_every_variable_says_what_it_is() -> None:
    for group in one().groups.values():
        assert all(variable.long_name and variable.units for variable in group.variables)
        assert all(coordinate.long_name and coordinate.units for coordinate in group.coordinates)


def test_json_round_trip() -> None:
    spec = one(step_length=0.5)
    assert RunSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("text", ["", "None", "{}", one().to_json().replace('"samples": 5', '"samples": 0')])
def test_text_that_is_no_specification_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a run specification"):
        RunSpec.from_json(text)


def test_an_experiment_cannot_have_more_samples_than_the_run() -> None:
    with pytest.raises(AssertionError):
        one(6, of=5)


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "/etc/x", "a/b", "a\0", "a\n", "1", "prompts", "activations", "provenance", "integrity"]
)
def test_a_name_that_is_no_folder_of_its_own_is_refused(name: str) -> None:
    """It is that of a group, whose files are removed and written."""
    layout = json.loads(one().to_json())
    layout["experiments"][0]["name"] = name
    with pytest.raises(ValueError, match=r"experiments\.0\.name: (no name, which is|the name of another group)"):
        RunSpec.from_json(json.dumps(layout))


@pytest.mark.parametrize("place", ["activation_types", "metrics"])
def test_names_along_axes_are_names(place: str) -> None:
    layout = json.loads(one().to_json())
    if place == "metrics":
        layout["metrics"][0]["name"] = "a b"
    else:
        layout["experiments"][0][place][1] = "a" * 201
    with pytest.raises(ValueError, match="no name, which is letters, digits"):
        RunSpec.from_json(json.dumps(layout))
