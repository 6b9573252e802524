"""`plateaulens export`: the command."""

import json
from pathlib import Path

import pytest
import xarray as xr

from plateaulens.cli import main
from plateaulens.store.run import RunStore
from plateaulens.summary.analyze import write_summary
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_spec


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory, synthetic_summary: xr.DataTree) -> Path:
    path = tmp_path_factory.mktemp("export") / "syn.zarr"
    kept = ("prompts", "geometry", "distinguish")
    tree = xr.DataTree.from_dict({name: synthetic_summary[name].to_dataset().copy(deep=True) for name in kept})
    tree.attrs = dict(synthetic_summary.attrs)
    write_summary(tree, path)
    return path


def test_it_goes_beside_where_one_stands(
    summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(summary)]) == 0
    tables = json.loads((tmp_path / "syn-export" / "results.json").read_text())["tables"]
    assert capsys.readouterr().out.splitlines() == [
        "finished: syn-export/results.json",
        "finished: syn-export/report.md",
        f"finished: {len(tables)} tables in syn-export/data",
    ]
    assert "data/prompts.csv" in tables
    assert all((tmp_path / "syn-export" / name).is_file() for name in tables)


def test_it_goes_where_it_is_told(summary: Path, tmp_path: Path) -> None:
    assert main(["export", str(summary), "--to", "parquet", "--no-prompts", "--out", str(tmp_path / "a" / "b")]) == 0
    assert {file.name for file in (tmp_path / "a" / "b" / "data").iterdir()} == {
        "classifiers.parquet",
        "detectors.parquet",
        "detectors_of_controls.parquet",
        "distinguish.parquet",
        "geometry.parquet",
        "token_share.parquet",
    }


def test_what_is_no_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = synthetic_spec(2, activation_types=("real",), experiments=("sensitivity",), steps=3)
    with RunStore.create(tmp_path / "run.zarr", spec, synthetic_attributes(spec, 0), synthetic_prompts(spec, 0)):
        pass
    for store, said in (("run.zarr", "is not a plateaulens summary"), ("none.zarr", "does not exist")):
        assert main(["export", str(tmp_path / store), "--out", str(tmp_path / "out")]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert not (tmp_path / "out").exists()
