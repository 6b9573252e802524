"""Runs, their locks, the manifest of a sweep and the reference numbers, through what reads them. No torch."""

import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fuzz.inputs import NESTED, ODD, as_json, check, damaged, fuzz, json_files, replaced, run

from plateaulens import resources
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.replication.reference import read_activation_reference, read_reference
from plateaulens.store.identity import resume_differences
from plateaulens.store.lock import ObjectLock, WriterLock
from plateaulens.store.manifest import Entry, Manifest, read_manifest
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore
from plateaulens.store.schema import RunSpec
from plateaulens.testing import generate_run, synthetic_attributes, synthetic_spec

pytestmark = pytest.mark.slow
SPEC = synthetic_spec(
    2,
    activation_types=("real",),
    experiments=("sensitivity",),
    steps=3,
    d_model=2,
    positions=1,
    samples_per_chunk=2,
    metrics=("l2",),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run, which every test leaves as it was."""
    path = tmp_path_factory.mktemp("store") / "run.zarr"
    generate_run(path, SPEC)
    return path


@pytest.fixture(scope="module")
def whole(store: Path) -> xr.DataTree:
    """What it holds, in memory."""
    with open_run(store) as tree:
        return tree.load()


@pytest.fixture(scope="module")
def bare(store: Path) -> Path:
    """The same run as version 1 of the schema had it, without digests: what it says is all that there is."""
    path = Path(shutil.copytree(store, store.with_name("bare.zarr")))
    shutil.rmtree(path / "integrity")
    root = json.loads((path / "zarr.json").read_bytes())
    root["attributes"]["schema_version"] = 1
    (path / "zarr.json").write_text(json.dumps(root))
    assert run("verify", path) is None
    return path


METADATA = [
    "zarr.json",
    "provenance/zarr.json",
    "integrity/zarr.json",
    "integrity/sensitivity/zarr.json",
    "sensitivity/zarr.json",
    "sensitivity/curve/zarr.json",
    "sensitivity/completed/zarr.json",
    "activations/activation_type/zarr.json",
    "prompts/text/zarr.json",
]
UNDIGESTED = ("provenance/", "integrity/")
"""What may change without being damage: what is written there is known to no digest."""


def opened(store: Path) -> xr.DataTree | None:
    """The open run; None when it is refused on one line."""
    try:
        return open_run(store)
    except UsageError as error:
        check(error, store)
        return None


def loaded(store: Path, *groups: str) -> dict[str, xr.Dataset] | None:
    """Groups of the run, in memory; None when that is refused on one line."""
    tree = opened(store)
    try:
        return None if tree is None else {name: tree[name].to_dataset().load() for name in groups}
    except UsageError as error:
        check(error, store)
        return None


def check_damage(store: Path, whole: xr.DataTree, file: str) -> None:
    """A damaged file is named by `verify`, and the run is refused, or read as it is."""
    found = run("verify", store)
    groups = loaded(store, "prompts", "activations", "sensitivity")
    if groups is None or not file.startswith(UNDIGESTED):
        assert found is not None
    assert groups is None or all(values.identical(whole[name].to_dataset()) for name, values in groups.items())


def go_on(store: Path) -> None:
    """What `collect` does with a run that is there, before it measures."""
    try:
        with RunStore.open(store) as growing:
            for name in ("activations", "sensitivity"):
                growing.pending(name)
                growing.read(name, slice(0, 2))
            resume_differences(growing.attributes, synthetic_attributes(SPEC, 0))
    except ValueError as error:
        check(UsageError(error), store if isinstance(error, UsageError) else "")


@fuzz(80)
@given(data=st.data(), name=st.sampled_from(METADATA))
def test_metadata(data: st.DataObject, name: str, store: Path, whole: xr.DataTree) -> None:
    content = data.draw(json_files(json.loads((store / name).read_bytes())), label="content")
    with replaced(store / name, content):
        check_damage(store, whole, name)


@fuzz(80)
@given(data=st.data(), name=st.sampled_from([name for name in METADATA if "integrity" not in name]))
def test_metadata_that_nothing_is_known_about(data: st.DataObject, name: str, bare: Path) -> None:
    content = data.draw(json_files(json.loads((bare / name).read_bytes())), label="content")
    with replaced(bare / name, content):
        opened(bare)
        go_on(bare)


@fuzz(100)
@given(data=st.data())
def test_chunks(data: st.DataObject, store: Path, whole: xr.DataTree) -> None:
    files = sorted(file.relative_to(store).as_posix() for file in store.rglob("*") if file.is_file())
    name = data.draw(st.sampled_from([file for file in files if "/c/" in file]), label="chunk")
    with replaced(store / name, data.draw(damaged((store / name).read_bytes()), label="content")):
        assert run("verify", store) is not None
        group = name.partition("/")[0]
        read = [group] if group in whole.children else []
        values = loaded(store, *read)
        assert values is None or all(values[one].identical(whole[one].to_dataset()) for one in read)


ATTRIBUTES = ["layout", "config", "identity", "definitions", "versions", "kind", "schema_version", "seed", "name"]


@fuzz(120)
@given(data=st.data(), key=st.sampled_from(ATTRIBUTES))
def test_attributes(data: st.DataObject, key: str, bare: Path) -> None:
    """JSON within JSON, sound as a text, wrong in what it says."""
    tree = json.loads((bare / "zarr.json").read_bytes())
    before = tree["attributes"][key]
    inner: st.SearchStrategy[Any] = ODD
    if isinstance(before, str) and before.startswith("{"):
        inner = json_files(json.loads(before)).map(lambda content: content.decode("latin-1"))
    tree["attributes"][key] = data.draw(inner, label=key)
    with replaced(bare / "zarr.json", as_json(tree)):
        opened(bare)
        go_on(bare)


@fuzz(10)
@given(data=st.data(), key=st.sampled_from(ATTRIBUTES))
def test_attributes_at_the_command_line(data: st.DataObject, key: str, store: Path) -> None:
    tree = json.loads((store / "zarr.json").read_bytes())
    before = tree["attributes"][key]
    tree["attributes"][key] = data.draw(ODD.filter(lambda found: found != before), label=key)
    with replaced(store / "zarr.json", as_json(tree)):
        assert run("verify", store) is not None
        assert run("compare-reference", store) is not None
        assert run("analyze", "--run", store, "--out", store.with_name("summary.zarr")) is not None


@fuzz(100)
@given(data=st.data())
def test_sessions(data: st.DataObject, store: Path) -> None:
    tree = json.loads((store / "provenance/zarr.json").read_bytes())
    inner = json_files({"0": json.loads(tree["attributes"]["sessions"])}).map(lambda content: content.decode("latin-1"))
    tree["attributes"]["sessions"] = data.draw(inner | ODD, label="sessions")
    with replaced(store / "provenance/zarr.json", as_json(tree)):
        try:
            RunStore.open(store).close()
        except UsageError as error:
            check(error, store)


@fuzz(300)
@given(content=json_files(json.loads(SPEC.to_json())))
@example(content=as_json(json.loads(SPEC.to_json()) | {"samples": 10**12, "samples_per_chunk": 1}))
def test_layouts(content: bytes) -> None:
    try:
        spec = RunSpec.from_json(content.decode("latin-1"))
    except ValueError as error:
        check(UsageError(error), "not a run specification")
    else:
        assert all(spec.groups[each.name].sizes["step"] == each.steps for each in spec.experiments)
        assert RunSpec.from_json(spec.to_json()) == spec


def manifest() -> dict[str, Any]:
    config = RunConfig.model_validate_json(str(synthetic_attributes(SPEC, 0)["config"]))
    entry = Entry(name="one", model="a", sae="none", write="b", read="c", seed=1)
    made: dict[str, Any] = json.loads(Manifest(config=config, cells=(entry,)).model_dump_json())
    return made


@fuzz(250)
@given(content=json_files(manifest()))
def test_manifests(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    try:
        found = read_manifest(tmp_path)
    except UsageError as error:
        check(error, tmp_path)
    else:
        assert Manifest.model_validate_json(found.model_dump_json()) == found
    assert run("analyze", "--run", tmp_path, "--out", tmp_path / "summary.zarr") is not None


@fuzz(200)
@given(content=st.binary(max_size=300) | st.from_regex(rb"[0-9]{1,400}", fullmatch=True))
def test_lock_files(content: bytes, tmp_path: Path) -> None:
    """What is in the file says who writes, and nothing else: the kernel has the lock."""
    path = tmp_path / "run.zarr"
    lock = WriterLock(path)
    Path(f"{path}.lock").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        WriterLock(path)
    check(raised.value, f"{path} is being written by process ")
    lock.release()
    Path(f"{path}.lock").write_bytes(content)
    WriterLock(path).release()
    assert not list(tmp_path.iterdir())


HOLDER = {"host": "far", "process": 7, "id": "0" * 32, "stamp": 2e9}


@fuzz(250)
@given(content=json_files(HOLDER))
@example(content=b'{"stamp": 2e9}')
@example(content=as_json(HOLDER | {"stamp": float("inf")}))
def test_lock_objects(content: bytes) -> None:
    """Of a store at a URL: somebody's lock, or something that has to be removed by hand."""
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/locks/a.lock", content)
    try:
        ObjectLock("memory://locks/a", fs, "/locks/a.lock").release()
    except UsageError as error:
        check(error, "locks/a")
    else:
        assert json.loads(content)["stamp"] < 2e9
    lock = ObjectLock("memory://locks/b", fs, "/locks/b.lock")
    fs.pipe_file("/locks/b.lock", content)
    lock.release()
    assert fs.cat_file("/locks/b.lock") == content
    fs.rm("/locks", recursive=True)


@fuzz(300)
@given(data=st.data(), name=st.sampled_from(["step_statistics.csv", "activation_statistics.csv"]))
def test_reference_numbers(data: st.DataObject, name: str, tmp_path: Path) -> None:
    sound = (resources.root() / "data" / "reference" / name).read_bytes()
    some = b"\n".join(sound.splitlines()[:4]) + b"\n"
    content = data.draw(damaged(some) | NESTED, label="content")
    (tmp_path / name).write_bytes(content)
    try:
        table = (read_reference if name.startswith("step") else read_activation_reference)(tmp_path)
    except UsageError as error:
        check(error, tmp_path / name)
    else:
        pd.testing.assert_index_equal(table.columns, pd.read_csv(tmp_path / name).columns)


def test_the_run_is_as_it_was(store: Path) -> None:
    """Of the tests above: each put back what it had changed."""
    assert run("verify", store) is None
