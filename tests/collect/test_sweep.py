"""Sweeps of a tiny model: cells, manifest, resuming, the summary and the page."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import xarray as xr
from tests.tiny import READ, WRITE, measured, write_preset, write_sae

from plateaulens.cli import main
from plateaulens.collect import sweep as collecting
from plateaulens.collect.collect import collect
from plateaulens.collect.context import open_context
from plateaulens.collect.sweep import cells, collect_sweep
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.store.manifest import read_manifest
from plateaulens.store.reading import open_run, open_sweep_summary
from plateaulens.store.verify import verify
from plateaulens.subject.model import load_subject
from plateaulens.summary.analyze import summarize_experiment
from plateaulens.summary.sweep import analyze_sweep
from plateaulens.targets.base import Pool

TYPES = ["real", "real_control", "covariance_mixture", "isotropic"]
WRITES = [WRITE, "blocks.2.hook_resid_pre"]
READS = ["blocks.1.hook_resid_post", READ]
SWEEP: dict[str, Any] = {
    "experiments": ["sensitivity"],
    "sae__source": None,
    "targets__types": TYPES,
    "sweep__write": WRITES,
    "sweep__read": READS,
}
Configure = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def configure(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Configure:
    folder = tmp_path_factory.mktemp("presets")

    def make(**changes: Any) -> RunConfig:
        return read_config(write_preset(folder / "tiny.toml", tiny_files, **{**SWEEP, **changes}))

    return make


@pytest.fixture(scope="module")
def folder(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole sweep; read only."""
    folder = tmp_path_factory.mktemp("sweep") / "tiny"
    collect_sweep(configure(), folder)
    return folder


@pytest.fixture(scope="module")
def summary(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    out = tmp_path_factory.mktemp("summaries") / "tiny.zarr"
    analyze_sweep(folder, out)
    return open_sweep_summary(out).load()


class TestCells:
    def test_every_read_site_behind_its_write_site(self, configure: Configure) -> None:
        found = [(cell.config.sites.write, cell.config.sites.read) for cell in cells(configure())]
        assert found == [(WRITE, READS[0]), (WRITE, READS[1]), (WRITES[1], READS[1])]
        names = [cell.entry.name for cell in cells(configure())]
        assert names[0] == "write=blocks.1.hook_resid_pre+read=blocks.1.hook_resid_post"

    def test_a_cell_is_the_run_that_a_preset_of_its_own_would_have(self, configure: Configure) -> None:
        plain = configure(sweep__write=None, sweep__read=None, sites__write=WRITES[1], seed=3)
        (cell,) = cells(configure(sweep__write=[WRITES[1]], sweep__read=None, sweep__seed=[3]))
        assert cell.entry.name == "only"
        assert cell.config.model_copy(update={"name": plain.name}) == plain

    def test_seeds_and_models_and_saes(self, configure: Configure) -> None:
        changes = {"sweep__seed": [1, 2], "sweep__model": ["some/one", "other"], "sweep__read": None}
        found = cells(configure(**changes, sweep__sae=["a", "b"]))
        got = [(c.config.model.source, c.config.sites.write, c.config.seed, c.config.sae) for c in found]
        assert len(set(map(str, got))) == 8
        assert [str(c.config.sae.source) for c in found if c.config.sae][:4] == ["a", "a", "b", "b"]
        assert found[0].entry.name == "model=some-one+sae=a+write=blocks.1.hook_resid_pre+seed=1"
        assert found[0].entry.model == "some/one"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sweep__write": [], "sweep__read": []}, "names nothing to vary"),
            ({"sweep__sae": ["a"]}, "sae and write are pairs, but there are 1 and 2"),
            ({"sweep__width": [1]}, "sweep.width: Extra inputs"),
        ],
    )
    def test_mistakes(self, changes: dict[str, Any], message: str, configure: Configure) -> None:
        with pytest.raises(UsageError, match=message):
            configure(**changes)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sweep__read": ["blocks.0.hook_resid_post"]}, "no read site comes after a write site"),
            ({"sweep__seed": [1, 1]}, "the sweep has 2 cells of the name"),
            ({"sweep__read": ["blocks.1.mlp"]}, "is none that can be measured"),
        ],
    )
    def test_no_cells(self, changes: dict[str, Any], message: str, configure: Configure) -> None:
        with pytest.raises(UsageError, match=message):
            cells(configure(**changes))


@pytest.mark.slow
class TestCollecting:
    def test_one_store_per_cell_and_a_manifest(self, folder: Path, configure: Configure) -> None:
        manifest = read_manifest(folder)
        assert manifest.config == configure()
        assert [entry.state for entry in manifest.cells] == ["complete"] * 3
        for entry in manifest.cells:
            assert verify(folder / entry.run) == []
            with open_run(folder / entry.run) as run:
                config = RunConfig.model_validate_json(run.attrs["config"])
                assert (config.sites.write, config.sites.read) == (entry.write, entry.read)
        assert json.loads((folder / "manifest.json").read_text())["kind"] == "plateaulens sweep"

    def test_cells_are_what_runs_alone_are(self, folder: Path, configure: Configure, tmp_path: Path) -> None:
        """To the byte, though model and activations are taken over from cell to cell."""
        for cell in cells(configure()):
            collect(cell.config, tmp_path / cell.entry.run)
            assert measured(tmp_path / cell.entry.run) == measured(folder / cell.entry.run)

    def test_a_model_is_loaded_once_and_activations_once_per_write_site(
        self, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loading = Mock(wraps=load_subject)
        pooling = Mock(wraps=Pool)
        monkeypatch.setattr("plateaulens.collect.context.load_subject", loading)
        monkeypatch.setattr("plateaulens.collect.context.Pool", pooling)
        collect_sweep(configure(), tmp_path / "sweep")
        assert (loading.call_count, pooling.call_count) == (1, 2)

    def test_going_on_after_a_stop(
        self, folder: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[str] = []

        def stop(config: RunConfig, *rest: Any) -> None:
            if len(done) == 1:
                raise KeyboardInterrupt
            collect(config, *rest)
            done.append(config.name)

        monkeypatch.setattr(collecting, "collect", stop)
        with pytest.raises(KeyboardInterrupt):
            collect_sweep(configure(), tmp_path / "sweep")
        states = [entry.state for entry in read_manifest(tmp_path / "sweep").cells]
        assert states == ["complete", "running", "pending"]
        opening = Mock(wraps=open_context)
        monkeypatch.setattr(collecting, "collect", collect)
        monkeypatch.setattr(collecting, "open_context", opening)
        collect_sweep(configure(), tmp_path / "sweep")
        assert opening.call_count == 2
        assert {entry.state for entry in read_manifest(tmp_path / "sweep").cells} == {"complete"}
        for entry in read_manifest(folder).cells:
            assert measured(tmp_path / "sweep" / entry.run) == measured(folder / entry.run)
        collect_sweep(configure(), tmp_path / "sweep")
        assert opening.call_count == 2

    def test_another_setting_is_refused_by_the_cell_s_name(self, folder: Path, configure: Configure) -> None:
        before = {entry.run: measured(folder / entry.run) for entry in read_manifest(folder).cells}
        with pytest.raises(UsageError, match=r"sweep cell write=.*: .*sensitivity\.samples: stored 6, asked 5"):
            collect_sweep(configure(sensitivity__samples=5), folder)
        assert {name: measured(folder / name) for name in before} == before
        collect_sweep(configure(), folder)

    def test_an_sae_of_another_site_is_refused(self, configure: Configure, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae")
        pair = {"sweep__sae": [str(tmp_path / "sae")] * 2, "sweep__read": [READ]}
        with pytest.raises(UsageError, match=r"sweep cell sae=.*blocks\.2.*belongs to blocks\.1"):
            collect_sweep(configure(**pair), tmp_path / "sweep")


class TestSummary:
    def test_the_sweep_is_dimensions(self, summary: xr.DataTree) -> None:
        group = summary["sensitivity"].to_dataset()
        assert group["ks"].dims[:5] == ("model", "sae", "write", "read", "seed")
        assert group["ks"].dims[5:] == ("convention", "statistic", "metric", "activation_type")
        assert group["ks_interval"].dims[-1] == "bound"
        assert group["complete"].squeeze(drop=True).values.tolist() == [[True, True], [False, True]]
        assert all({"long_name", "units"} <= set(values.attrs) for values in group.variables.values())

    def test_its_numbers_are_those_of_the_runs(self, summary: xr.DataTree, folder: Path, configure: Configure) -> None:
        group = summary["sensitivity"].to_dataset()
        entry = read_manifest(folder).cells[1]
        with open_run(folder / entry.run) as run:
            alone = summarize_experiment(run["sensitivity"].to_dataset(), "sensitivity", configure().analysis)
        found = group.sel(write=entry.write, read=entry.read).squeeze(drop=True)
        for name in ("ks", "ks_interval", "mean", "mean_difference", "mean_difference_interval", "n"):
            np.testing.assert_array_equal(found[name], alone[name])
        np.testing.assert_allclose(found["path_length"], alone["path_length"].mean("sample"))
        assert group.sel(write=WRITES[1], read=READS[0])["ks"].isnull().all()

    def test_an_unfinished_sweep_has_gaps(self, folder: Path, tmp_path: Path) -> None:
        manifest = read_manifest(folder)
        name = manifest.cells[0].name
        part = tmp_path / "part"
        part.mkdir()
        for entry in manifest.cells[1:]:
            (part / entry.run).symlink_to(folder / entry.run)
        manifest.with_state(name, "pending").write(part)
        group = analyze_sweep(part, tmp_path / "summary.zarr")["sensitivity"].to_dataset()
        assert int(group["complete"].sum()) == 2
        for entry in manifest.cells:
            manifest = manifest.with_state(entry.name, "pending")
        manifest.write(part)
        with pytest.raises(UsageError, match=r"no run of the sweep .* is complete"):
            analyze_sweep(part, tmp_path / "summary.zarr")

    def test_no_sweep(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no sweep at"):
            analyze_sweep(tmp_path, tmp_path / "summary.zarr")


@pytest.mark.slow
def test_the_commands(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    write_preset(tmp_path / "mine.toml", tiny_files, **SWEEP)
    preset = ["--preset", "mine.toml"]
    assert main(["collect", *preset]) == 0
    assert main(["analyze", *preset]) == 0
    assert main(["report", *preset, "--to", "html", "--renderer", "builtin"]) == 0
    said = capsys.readouterr().out
    assert "cell 3 of 3: write=blocks.2.hook_resid_pre+read=blocks.2.hook_resid_post" in said
    page = (tmp_path / "report" / "_output" / "index.html").read_text(encoding="utf-8")
    assert "Where do synthetic activations behave like real ones?" in page
    assert "3 of its 3 runs are complete" in page.replace("\n", " ")
    assert main(["collect", *preset, "--workers", "2"]) == 1
    assert "a sweep is collected by one process" in capsys.readouterr().err
