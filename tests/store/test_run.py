import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from plateaulens.errors import UsageError
from plateaulens.store import integrity
from plateaulens.store.identity import Attributes
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore, open_or_create
from plateaulens.store.schema import SCHEMA_VERSION, RunSpec
from plateaulens.store.spans import Values
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_values

Files = dict[str, bytes]


@pytest.fixture
def attrs(spec: RunSpec, seed: int) -> Attributes:
    return synthetic_attributes(spec, seed)


@pytest.fixture
def prompts(spec: RunSpec, seed: int) -> Values:
    return synthetic_prompts(spec, seed)


def sessions(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(open_run(path)["provenance"].attrs["sessions"])
    return found


def test_a_new_run_has_its_prompts_and_nothing_else(
    tmp_path: Path, spec: RunSpec, attrs: Attributes, prompts: Values
) -> None:
    with RunStore.create(tmp_path / "deep/run.zarr", spec, attrs, prompts) as store:
        assert [store.pending(group) for group in ("activations", "sensitivity")] == [
            store.spans("activations"),
            store.spans("sensitivity"),
        ]
        stored = store.read("prompts", slice(0, 5))
        assert (stored.token == prompts["token"]).all()
        assert stored.text.values.tolist() == prompts["text"].tolist()
    tree = open_run(tmp_path / "deep/run.zarr")
    assert {key: tree.attrs[key] for key in attrs} == attrs
    assert (tree.attrs["kind"], tree.attrs["schema_version"]) == ("plateaulens run", SCHEMA_VERSION)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["run.zarr"]


def test_an_existing_path_is_never_overwritten(
    tmp_path: Path, spec: RunSpec, attrs: Attributes, prompts: Values
) -> None:
    path = tmp_path / "run.zarr"
    path.mkdir()
    with pytest.raises(UsageError, match=r"run\.zarr exists: choose another name, or remove it first"):
        RunStore.create(path, spec, attrs, prompts)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.zarr"]


def test_a_rest_of_a_creation_that_was_killed_is_in_nobodys_way(
    tmp_path: Path, spec: RunSpec, attrs: Attributes, prompts: Values
) -> None:
    (tmp_path / "run.zarr.partial").mkdir()
    (tmp_path / "run.zarr.partial/zarr.json").write_text("{")
    RunStore.create(tmp_path / "run.zarr", spec, attrs, prompts).close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.zarr"]


def test_attributes_are_complete(tmp_path: Path, spec: RunSpec, attrs: Attributes, prompts: Values) -> None:
    incomplete = {key: value for key, value in attrs.items() if key != "commit"}
    with pytest.raises(ValueError, match=r"attributes \['config', 'definitions', .* 'versions'\] instead of"):
        RunStore.create(tmp_path / "run.zarr", spec, incomplete, prompts)
    with pytest.raises(ValueError, match="prompts/token: shape"):
        RunStore.create(tmp_path / "run.zarr", spec, attrs, dict(prompts) | {"token": np.zeros((1, 1), np.int32)})
    assert not (tmp_path / "run.zarr").exists()


@given(order=st.permutations([(group, i) for group in ("activations", "sensitivity", "plateau") for i in range(3)]))
@settings(max_examples=5, deadline=None)
@pytest.mark.slow
def test_spans_in_any_order_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    spec: RunSpec,
    seed: int,
    finished: Path,
    measured: Callable[[Path], Files],
    order: list[tuple[str, int]],
) -> None:
    path = tmp_path_factory.mktemp("order") / "run.zarr"
    with RunStore.create(path, spec, synthetic_attributes(spec, seed), synthetic_prompts(spec, seed)) as store:
        for group, i in order:
            span = store.spans(group)[i]
            assert span in store.pending(group)
            store.write(group, span, synthetic_values(spec, group, span, seed))
            assert span not in store.pending(group)
    assert measured(path) == measured(finished)


def test_several_blocks_may_be_written_at_once(
    tmp_path: Path, spec: RunSpec, seed: int, attrs: Attributes, prompts: Values
) -> None:
    parts = [synthetic_values(spec, "sensitivity", span, seed) for span in spec.groups["sensitivity"].spans]
    values = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    with RunStore.create(tmp_path / "run.zarr", spec, attrs, prompts) as store:
        store.write("sensitivity", slice(0, 5), values)
        assert store.pending("sensitivity") == ()
        written = store.read("sensitivity", slice(1, 4))
    assert (written.curve == values["curve"][:, 1:4]).all()
    assert written.metric_units.sel(metric="js").item() == "1"


def test_a_refused_write_writes_nothing(
    tmp_path: Path, spec: RunSpec, seed: int, attrs: Attributes, prompts: Values, measured: Callable[[Path], Files]
) -> None:
    path = tmp_path / "run.zarr"
    with RunStore.create(path, spec, attrs, prompts) as store:
        before = measured(path)
        values = synthetic_values(spec, "sensitivity", slice(0, 2), seed)
        with pytest.raises(ValueError, match="cut a chunk"):
            store.write("sensitivity", slice(1, 3), values)
        with pytest.raises(ValueError, match="dtype"):
            store.write("sensitivity", slice(0, 2), values | {"curve": values["curve"].astype(np.float64)})
        with pytest.raises(ValueError, match=r"has no group 'sensitivty': it has prompts, activations, sensitivity"):
            store.write("sensitivty", slice(0, 2), values)
        with pytest.raises(ValueError, match="prompts is written whole when the run is created"):
            store.write("prompts", slice(0, 2), {name: array[:2] for name, array in prompts.items()})
        assert measured(path) == before
    with pytest.raises(AssertionError, match="the store is closed"):
        store.write("sensitivity", slice(0, 2), values)


def test_a_completed_block_is_not_written_again(finished: Path, run: Path, spec: RunSpec, seed: int) -> None:
    with RunStore.open(run) as store, pytest.raises(ValueError, match="samples 2 to 4 are completed"):
        store.write("plateau", slice(2, 4), synthetic_values(spec, "plateau", slice(2, 4), seed))


def test_one_writer_at_a_time(tmp_path: Path, spec: RunSpec, attrs: Attributes, prompts: Values) -> None:
    path = tmp_path / "run.zarr"
    with RunStore.create(path, spec, attrs, prompts):
        with pytest.raises(UsageError, match=f"being written by process {os.getpid()}"):
            RunStore.open(path)
        with pytest.raises(UsageError, match=f"being written by process {os.getpid()}"):
            open_or_create(path, spec, attrs, prompts)
        open_run(path)
    RunStore.open(path).close()


def test_continuing_under_other_settings_is_refused(run: Path, spec: RunSpec, seed: int) -> None:
    other = RunSpec(spec.experiments[:1], spec.samples, spec.positions, spec.d_model, 3)
    expected = (
        'seed: stored 3, asked 4; experiments: stored ["sensitivity", "plateau"], asked ["sensitivity"]; '
        "engine.samples_per_chunk: stored 2, asked 3; "
        'plateau: stored {"samples": 5, "steps": 11, "step_length": 0.5}, asked nothing'
    )
    with pytest.raises(UsageError, match=re.escape(expected) + "$"):
        open_or_create(run, other, synthetic_attributes(other, 4), synthetic_prompts(other, 4))
    RunStore.open(run).close()


def test_continuing_with_other_prompts_or_another_layout_is_refused(
    run: Path, spec: RunSpec, attrs: Attributes, prompts: Values
) -> None:
    with pytest.raises(UsageError, match=r"prompts\.token differs$"):
        open_or_create(run, spec, attrs, dict(prompts) | {"token": np.zeros((5, 4), np.int32)})
    wider = RunSpec(spec.experiments, spec.samples, spec.positions, 7, spec.samples_per_chunk)
    with pytest.raises(UsageError, match=r"layout\.d_model: stored 6, asked 7$"):
        open_or_create(run, wider, attrs, prompts)


def test_another_analysis_and_other_software_may_continue(
    run: Path, spec: RunSpec, attrs: Attributes, prompts: Values
) -> None:
    config = json.loads(str(attrs["config"]))
    config["analysis"]["resamples"] = 7
    asked = dict(attrs) | {"config": json.dumps(config), "versions": '{"numpy": "99"}', "commit": "later"}
    with open_or_create(run, spec, asked, prompts) as store:
        store.record_session(1.25, spans=0)
    assert sessions(run)[-1]["versions"] == '{"numpy": "99"}'
    assert sessions(run)[-1]["commit"] == "later"
    assert open_run(run).attrs["versions"] == attrs["versions"]


def test_sessions_add_up_block_by_block(tmp_path: Path, spec: RunSpec, attrs: Attributes, prompts: Values) -> None:
    path = tmp_path / "run.zarr"
    before = datetime.now(UTC).replace(microsecond=0)
    with RunStore.create(path, spec, attrs, prompts) as store:
        assert sessions(path) == []
        store.record_session(1.5)
        store.record_session(2.25, spans=2)
    with RunStore.open(path) as store:
        store.record_session(4.0)
    first, second = sessions(path)
    assert (first["seconds"], first["spans"], first["commit"]) == (3.75, 3, "synthetic")
    assert (second["seconds"], second["spans"]) == (4.0, 1)
    created = datetime.fromisoformat(open_run(path)["provenance"].attrs["created"])
    assert before <= created <= datetime.fromisoformat(first["started"]) <= datetime.now(UTC)


def test_source_date_epoch_sets_the_clock(
    tmp_path: Path, spec: RunSpec, attrs: Attributes, prompts: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    RunStore.create(tmp_path / "run.zarr", spec, attrs, prompts).close()
    assert open_run(tmp_path / "run.zarr")["provenance"].attrs["created"] == "1970-01-02T00:00:00+00:00"


def test_opening_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        RunStore.open(tmp_path / "run.zarr")
    zarr.create_group(tmp_path / "run.zarr")
    with pytest.raises(UsageError, match="is not a plateaulens run"):
        RunStore.open(tmp_path / "run.zarr")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.zarr"]


@pytest.mark.parametrize("attribute", ["layout", "sessions"])
def test_opening_a_run_with_damaged_attributes(run: Path, attribute: str) -> None:
    node = zarr.open_group(run, path="" if attribute == "layout" else "provenance", mode="r+")
    node.update_attributes({attribute: "{"})
    with pytest.raises(UsageError, match=r"cannot be opened for writing .* see `plateaulens verify`"):
        RunStore.open(run)
    assert not run.with_name("run.zarr.lock").exists()


def test_continuing_a_run_with_a_damaged_configuration(
    run: Path, spec: RunSpec, attrs: Attributes, prompts: Values
) -> None:
    zarr.open_group(run, mode="r+").update_attributes({"config": "{"})
    with pytest.raises(UsageError, match=r"root attributes are damaged .* see `plateaulens verify`"):
        open_or_create(run, spec, attrs, prompts)


def test_a_damaged_block_can_be_measured_again(
    finished: Path, run: Path, spec: RunSpec, seed: int, measured: Callable[[Path], Files]
) -> None:
    """As `verify` advises, also for the short last span, whose chunk reaches past the extent."""
    (run / "sensitivity/curve/c/0/2/0/0").write_bytes(b"damaged")
    with RunStore.open(run) as store:
        with pytest.raises(
            UsageError, match="sensitivity/curve/c/0/2/0/0 is damaged or changed: run `plateaulens verify"
        ):
            store.read("sensitivity", slice(4, 5))
        # afterwards: of two damaged blocks that are read together either may be named
        (run / "sensitivity/completed/c/0/2").write_bytes(b"damaged")
        with pytest.raises(UsageError, match="sensitivity is damaged"):
            store.pending("sensitivity")
        (run / "sensitivity/completed/c/0/2").unlink()
        assert store.pending("sensitivity") == (slice(4, 5),)
        store.write("sensitivity", slice(4, 5), synthetic_values(spec, "sensitivity", slice(4, 5), seed))
    assert measured(run) == measured(finished)


def fill(store: RunStore, seed: int) -> None:
    for name in ("activations", "sensitivity", "plateau"):
        for span in store.spans(name):
            store.write(name, span, synthetic_values(store.spec, name, span, seed))
            store.record_session(1.0)
    store.seal()


@pytest.mark.parametrize("group", ["activations", "sensitivity", "provenance", "integrity", ""])
def test_a_group_removed_while_the_run_is_written(
    group: str, tmp_path: Path, spec: RunSpec, seed: int, attrs: Attributes, prompts: Values
) -> None:
    """Whatever is written next is one line that says what is gone."""
    path = tmp_path / "run.zarr"
    with RunStore.create(path, spec, attrs, prompts) as store:
        shutil.rmtree(path / group)
        with pytest.raises(UsageError) as caught:
            fill(store, seed)
        assert len(str(caught.value).splitlines()) == 1
        assert f"{group or 'activations'}" in str(caught.value)


@pytest.mark.parametrize(
    "gone", ["sensitivity/curve/c/0/1/0/0", "prompts/text/c/0", "integrity/plateau/c/1/0/0", "plateau/step/zarr.json"]
)
def test_a_file_removed_while_the_run_is_written(
    gone: str, tmp_path: Path, spec: RunSpec, seed: int, attrs: Attributes, prompts: Values
) -> None:
    """It is not written again, so that nothing fails before the run is complete: it is not sealed with a hole."""
    path = tmp_path / "run.zarr"
    with RunStore.create(path, spec, attrs, prompts) as store:
        for name in ("activations", "sensitivity", "plateau"):
            for span in store.pending(name):
                store.write(name, span, synthetic_values(spec, name, span, seed))
        (path / gone).unlink()
        with pytest.raises(UsageError, match=f"lacks 1 of its files, {gone} among them, which were removed while"):
            store.seal()
        assert integrity.SEAL not in zarr.open_group(path, path="provenance", mode="r").attrs
