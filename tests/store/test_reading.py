import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
import zarr

from plateaulens.errors import UsageError
from plateaulens.store.reading import open_run, open_summary
from plateaulens.store.schema import SCHEMA_VERSION, RunSpec
from plateaulens.testing import synthetic_values

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
