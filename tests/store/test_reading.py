import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
import zarr

from plateaulens.errors import UsageError
from plateaulens.store.reading import open_run, open_summary, open_sweep_summary
from plateaulens.store.run import RunStore
from plateaulens.store.schema import SCHEMA_VERSION, RunSpec
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_values

NOTEBOOK = """
import sys
sys.modules["plateaulens"] = None
sys.modules["dask"] = None
import warnings
import xarray as xr
warnings.simplefilter("error")
run = xr.open_datatree(sys.argv[1], consolidated=False, engine="zarr")
mean = run["sensitivity"].curve.sel(metric="l2", activation_type="random").mean("sample")
print(float(mean[0]), mean.sizes["step"], float(mean[-1]) > 1, mean.attrs["long_name"])
"""


def test_an_ad_hoc_query_needs_neither_plateaulens_nor_dask(finished: Path) -> None:
    command = [sys.executable, "-c", NOTEBOOK, str(finished)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.stdout, answer.stderr) == ("0.0 11 True distance from step 0\n", "")


def test_values_come_back_lazily_and_exactly(finished: Path, spec: RunSpec, seed: int) -> None:
    curve = open_run(finished)["sensitivity"].curve
    assert curve.chunks is None
    assert not curve.variable._in_memory
    written = synthetic_values(spec, "sensitivity", slice(2, 4), seed)["curve"]
    assert (curve.isel(sample=slice(2, 4)).values == written).all()


def test_labels_are_strings(finished: Path) -> None:
    experiment = open_run(finished)["plateau"]
    assert [type(label) for label in experiment.activation_type.values] == [str, str]
    assert experiment.sel(activation_type=["random", "real"]).activation_type.values.tolist() == ["random", "real"]
    assert experiment.metric_units.sel(metric="kl").item() == "nat"


def make(path: Path, **attributes: object) -> Path:
    zarr.create_group(path, attributes=attributes)
    return path


def test_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no plateaulens run at .*no\.zarr: run `plateaulens collect` first"):
        open_run(tmp_path / "no.zarr")
    with pytest.raises(UsageError, match="run `plateaulens analyze` first"):
        open_summary(tmp_path / "no.zarr")


@pytest.mark.parametrize("content", [None, "zarr.json", "other"])
def test_what_is_no_store(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / content).write_text("{")
    with pytest.raises(UsageError, match="is not a readable zarr v3 store"):
        open_run(tmp_path)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "run.zarr").write_text("")
    with pytest.raises(UsageError, match="is not a readable zarr v3 store"):
        open_run(tmp_path / "run.zarr")


def test_another_kind(tmp_path: Path, finished: Path) -> None:
    with pytest.raises(UsageError, match="is not a plateaulens run: its `kind` is None"):
        open_run(make(tmp_path / "a.zarr"))
    with pytest.raises(UsageError, match="is not a plateaulens summary: its `kind` is 'plateaulens run'"):
        open_summary(finished)


def test_a_newer_schema(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zarr", kind="plateaulens run", schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(
        UsageError, match=f"schema version {SCHEMA_VERSION + 1}, but only up to {SCHEMA_VERSION} is known: update plat"
    ):
        open_run(path)


def test_a_summary(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zarr", kind="plateaulens summary", schema_version=1)
    xr.Dataset({"x": ("sample", [1.0, 2.0])}).to_zarr(path, group="geometry", mode="a", consolidated=False)
    assert open_summary(path)["geometry"].x.values.tolist() == [1.0, 2.0]


def test_damaged_metadata_is_a_usage_error(run: Path) -> None:
    (run / "sensitivity/curve/zarr.json").write_bytes(b"{")
    with pytest.raises(UsageError, match=r"is damaged .* see `plateaulens verify`"):
        open_run(run)


CHUNKED: tuple[tuple[str, str, object], ...] = (
    ("sensitivity/curve", "chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [2, 1, 11, 3]}}),
    ("sensitivity/curve", "fill_value", 0.0),
    ("plateau/completed", "fill_value", True),
    ("plateau/top_token", "data_type", "float32"),
    ("activations/base", "codecs", [{"name": "bytes", "configuration": {"endian": "big"}}]),
    ("activations/target", "shape", [2, 4, 6]),
    ("prompts/token", "dimension_names", ["position", "sample"]),
    ("provenance/..", "attributes", {}),
)
"""Edits of `zarr.json` by hand, under each of which zarr would read other values, or none, without a word."""


@pytest.mark.parametrize(("node", "key", "value"), CHUNKED)
def test_an_edited_layout_is_found_on_opening(node: str, key: str, value: object, run: Path) -> None:
    file = run / node / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    for opened in (open_run, RunStore.open):
        with pytest.raises(UsageError) as caught:
            opened(run)
        assert len(str(caught.value).splitlines()) == 1
        assert ("is not a plateaulens run" if key == "attributes" else f"({node}/zarr.json is not what was") in str(
            caught.value
        )
    assert not run.with_name("run.zarr.lock").exists()


def test_a_missing_zarr_json_is_found_on_opening(run: Path) -> None:
    (run / "plateau/curve/zarr.json").unlink()
    with pytest.raises(UsageError, match=r"is damaged \(plateau/curve/zarr\.json is missing\): put it back"):
        open_run(run)


class TestChunks:
    """What is loaded is what was written, or one line that names the chunk and what to do."""

    @pytest.mark.parametrize(
        "name", ["sensitivity/curve/c/0/1/0/0", "activations/target/c/0/1/0", "plateau/top_token/c/0/2/0"]
    )
    def test_a_flipped_byte(self, name: str, run: Path) -> None:
        content = bytearray((run / name).read_bytes())
        content[len(content) // 2] ^= 1
        (run / name).write_bytes(content)
        tree = open_run(run)
        group, variable, *_ = name.split("/")
        assert tree[group][variable].isel(sample=0).notnull().all(), "other chunks are read"
        remedy = f"run `plateaulens verify {run} --repair`, then `plateaulens collect`"
        with pytest.raises(UsageError, match=re.escape(f"{run}: {name} is damaged or changed: {remedy}")):
            tree[group][variable].load()

    def test_one_that_is_gone_after_opening(self, run: Path) -> None:
        tree = open_run(run)
        (run / "sensitivity/curve/c/0/0/0/0").unlink()
        with pytest.raises(UsageError, match=r"sensitivity/curve/c/0/0/0/0 is missing: run `plateaulens verify"):
            tree["sensitivity"].curve.mean().load()

    def test_one_in_the_place_of_another(self, run: Path) -> None:
        """Each has a checksum that is right."""
        one, other = run / "plateau/curve/c/0/0/0/0", run / "plateau/curve/c/0/1/0/0"
        other.write_bytes(one.read_bytes())
        with pytest.raises(UsageError, match="plateau/curve/c/0/1/0/0 is damaged or changed"):
            open_run(run)["plateau"].load()

    def test_a_prompt(self, run: Path) -> None:
        (run / "prompts/text/c/0").write_bytes((run / "prompts/text/c/1").read_bytes())
        with pytest.raises(
            UsageError, match="prompts/text/c/0 is damaged or changed: see `plateaulens verify`; it cannot"
        ):
            open_run(run)["prompts"].load()

    @pytest.mark.parametrize("name", ["zarr.json", "sensitivity/zarr.json", "sensitivity/curve/zarr.json"])
    def test_metadata(self, name: str, run: Path) -> None:
        metadata = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(metadata, indent=4) + " ")
        with pytest.raises(UsageError, match=f"damaged .{name} is not what was written there"):
            open_run(run)

    def test_a_damaged_digest_is_no_reason_not_to_read(self, run: Path, finished: Path) -> None:
        for file in (run / "integrity/sensitivity/c").rglob("*"):
            if file.is_file():
                file.write_bytes(b"damaged")
        found = open_run(run)["sensitivity"].to_dataset()
        assert found.load().identical(open_run(finished)["sensitivity"].to_dataset().load())

    def test_a_growing_run(self, tmp_path: Path, spec: RunSpec, seed: int) -> None:
        """What is written after the opening is read as it is then."""
        path = tmp_path / "run.zarr"
        attributes, prompts = synthetic_attributes(spec, seed), synthetic_prompts(spec, seed)
        with RunStore.create(path, spec, attributes, prompts) as store:
            tree = open_run(path)
            assert tree["sensitivity"].curve.isel(sample=0).isnull().all()
            values = synthetic_values(spec, "sensitivity", slice(0, 2), seed)
            store.write("sensitivity", slice(0, 2), values)
            assert (tree["sensitivity"].curve.isel(sample=slice(0, 2)).values == values["curve"]).all()

    def test_what_collect_goes_on_from(self, run: Path) -> None:
        one, other = run / "activations/base/c/0/0", run / "activations/base/c/1/0"
        other.write_bytes(one.read_bytes())
        with (
            RunStore.open(run) as store,
            pytest.raises(UsageError, match="activations/base/c/1/0 is damaged or changed"),
        ):
            store.read("activations", slice(2, 4))


@pytest.mark.parametrize("version", [0, -1, True, 1.5, "2", 10**30, None])
def test_what_is_no_schema_version(version: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has schema version .*, but only up to"):
        open_run(make(tmp_path / "a.zarr", kind="plateaulens run", schema_version=version))


@pytest.mark.parametrize("layout", ["[" * 30_000, "null", '{"samples": 1e400}', {"a": 1}, None])
def test_what_is_no_layout(layout: object, tmp_path: Path) -> None:
    path = make(tmp_path / "a.zarr", kind="plateaulens run", schema_version=1, layout=layout)
    with pytest.raises(
        UsageError, match=r"a.zarr is damaged \(not a run specification: .*\): see `plateaulens verify`"
    ):
        open_run(path)


def test_a_run_that_has_lost_its_digests(run: Path) -> None:
    """Without them nobody would see that two chunks are exchanged."""
    shutil.rmtree(run / "integrity")
    for opened in (open_run, RunStore.open):
        with pytest.raises(UsageError, match=r"integrity/zarr\.json is missing, so that exchanged or changed files"):
            opened(run)


def test_a_summary_that_has_lost_its_digests(tmp_path: Path) -> None:
    for kind, opened in (("plateaulens summary", open_summary), ("plateaulens sweep summary", open_sweep_summary)):
        path = make(tmp_path / f"{kind}.zarr", kind=kind, schema_version=2)
        with pytest.raises(UsageError, match=r"integrity/zarr\.json is missing, so that exchanged or changed files"):
            opened(path)


@pytest.mark.parametrize("lost", ["sensitivity", "sensitivity/zarr.json", "sensitivity/c/1/0/0", "plateau/c"])
def test_a_run_that_has_lost_some_of_its_digests(lost: str, run: Path) -> None:
    path = run / "integrity" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UsageError, match=r"lacks \d+ of its files, integrity/|is damaged \(Object at sensitivity"):
        open_run(run)


@pytest.mark.parametrize("digests", [{}, {"prompts/zarr.json": "0" * 64}])
def test_digests_that_leave_out_the_root(digests: dict[str, str], run: Path) -> None:
    zarr.open_group(run, path="integrity", mode="r+").attrs["sha256"] = digests
    with pytest.raises(UsageError, match=r"integrity is damaged \(no digest of zarr\.json\)"):
        open_run(run)


def test_digests_that_name_files_elsewhere(run: Path) -> None:
    group = zarr.open_group(run, path="integrity", mode="r+")
    digests = group.attrs["sha256"]
    assert isinstance(digests, dict)
    group.attrs["sha256"] = {**digests, "../zarr.json": "0" * 64}
    with pytest.raises(UsageError, match=r"names the file '\.\./zarr\.json', which is none of a store"):
        open_run(run)


@pytest.mark.parametrize(
    "name", ["sensitivity/completed/c/0/1", "plateau/completed/c/0/2", "activations/completed/c/0"]
)
def test_a_mark_that_is_lost_from_a_finished_run(name: str, run: Path) -> None:
    """The run was sealed when all was there: this is damage, and no span that is still to come."""
    (run / name).unlink()
    with pytest.raises(UsageError, match=f"lacks 1 of its files, {name} among them: run `plateaulens verify --repair`"):
        open_run(run)


def test_folders_of_somebody_else_are_not_written_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.rmtree(run / "plateau/curve/c")
    (run / "plateau/curve/c").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match=r"plateau/curve/c is a symbolic link to a folder") as caught:
        RunStore.open(run)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "other").iterdir())
    assert not run.with_name("run.zarr.lock").exists()
