"""`plateaulens show`: one screen that says what is there."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.processes import run_code

from plateaulens.cli import main
from plateaulens.cli.show import _colour, _size, _sizes
from plateaulens.config import AnalysisConfig, RunConfig, SweepConfig
from plateaulens.store.manifest import Entry, Manifest, config_of
from plateaulens.store.run import RunStore
from plateaulens.store.schema import SUMMARY_KIND
from plateaulens.summary.analyze import analyze, write_summary
from plateaulens.summary.sweep import analyze_sweep
from plateaulens.testing import (
    generate_run,
    synthetic_attributes,
    synthetic_prompts,
    synthetic_spec,
    synthetic_values,
)

SPEC = synthetic_spec(20, activation_types=("real", "random"), experiments=("sensitivity",), steps=51)
TORCH_FREE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "matplotlib", "statsmodels", "pyarrow"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
from plateaulens.cli import main

sys.exit(main(["show", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, one that lacks a span, the summary of the first, and a sweep of two cells with its summary."""
    folder = tmp_path_factory.mktemp("show")
    generate_run(folder / "run.zarr", SPEC)
    analyze(folder / "run.zarr", folder / "summary.zarr", AnalysisConfig(resamples=50))
    with RunStore.create(
        folder / "part.zarr", SPEC, synthetic_attributes(SPEC, 0), synthetic_prompts(SPEC, 0)
    ) as store:
        for group in ("activations", "sensitivity"):
            for span in store.pending(group)[:2]:
                store.write(group, span, synthetic_values(SPEC, group, span, 0))
    config = RunConfig.model_validate_json(str(synthetic_attributes(SPEC, 0)["config"]))
    writes = ["blocks.1.hook_resid_pre", "blocks.4.hook_resid_pre"]
    entries = []
    for write in writes:
        read = "blocks.11.hook_resid_post"
        entry = Entry(name=f"at-{write}", model="synthetic", sae="none", write=write, read=read, seed=0)
        attributes = {**synthetic_attributes(SPEC, 0, entry.name), "config": config_of(config, entry).model_dump_json()}
        with RunStore.create(folder / "sweep" / entry.run, SPEC, attributes, synthetic_prompts(SPEC, 0)) as store:
            for group in ("activations", "sensitivity"):
                for span in store.pending(group):
                    store.write(group, span, synthetic_values(SPEC, group, span, 0))
            store.seal()
        entries.append(entry.with_state("complete"))
    entries.append(Entry(name="next", model="synthetic", sae="none", write=writes[0], read=read, seed=1))
    asked = config.model_copy(update={"name": "layers", "sweep": SweepConfig(write=tuple(writes))})
    Manifest(config=asked, cells=tuple(entries)).write(folder / "sweep")
    analyze_sweep(folder / "sweep", folder / "layers.zarr", AnalysisConfig(resamples=50))
    return folder


def shown(store: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["show", str(store)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100
    assert len(out.splitlines()) <= 40
    return out


def row(out: str, head: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if line.strip().startswith(head)]
    return line.strip().removeprefix(head).split()


class TestRun:
    def test_a_whole_one(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = shown(folder / "run.zarr", capsys)
        assert out.splitlines()[0] == "run synthetic  complete"
        assert row(out, "relative steps")[:8] == ["100", "%", "20", "of", "20", "2", "51", "L2,"]
        size = sum(file.stat().st_size for file in (folder / "run.zarr").rglob("*") if file.is_file())
        assert row(out, "size") == _size(size).split()
        assert row(out, "sites") == ["blocks.1.hook_resid_pre", "->", "blocks.11.hook_resid_post"]

    def test_held_parts(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "held" not in shown(folder / "run.zarr", capsys)
        own = synthetic_attributes(SPEC, 0)
        config = json.loads(str(own["config"]))
        config["sites"]["frozen"] = ["blocks.1.hook_mlp_out", "blocks.2.hook_mlp_out"]
        attributes = {**own, "config": json.dumps(config)}
        RunStore.create(tmp_path / "held.zarr", SPEC, attributes, synthetic_prompts(SPEC, 0)).close()
        assert row(shown(tmp_path / "held.zarr", capsys), "held") == ["blocks.1.hook_mlp_out,", "blocks.2.hook_mlp_out"]

    def test_one_that_grows(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = shown(folder / "part.zarr", capsys)
        assert out.splitlines()[0] == "run synthetic  pending"
        assert row(out, "relative steps")[:5] == ["80.0", "%", "16", "of", "20"]


def test_files_that_go_while_they_are_counted(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folder / "run.zarr", tmp_path / "run.zarr")
    look, whole = Path.stat, _sizes(str(folder / "run.zarr"))[""]

    def vanish(path: Path, **options: Any) -> os.stat_result:
        if "curve/c/" in path.as_posix() and os.path.isfile(path):  # noqa: PTH113  which asks for no `stat` of a path
            path.unlink()
        return look(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", vanish)
        assert 0 < _sizes(str(tmp_path / "run.zarr"))[""] < whole


def test_a_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(folder / "summary.zarr", capsys)
    assert out.splitlines()[0] == "summary synthetic"
    own = xr.open_datatree(folder / "summary.zarr", engine="zarr", consolidated=False)["sensitivity"].to_dataset()
    judged = own.sel(convention="corrected", statistic="max_slope", activation_type="random")
    wanted = [
        text
        for m in ("l2", "kl")
        for text in (f"{float(judged.ks.sel(metric=m)):.2f}", judged.conclusion.sel(metric=m).item())
    ]
    assert row(out, "random") == wanted
    assert "real " not in out.splitlines()[-2]


def test_a_sweep_and_its_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(folder / "sweep", capsys)
    assert row(out, "runs") == ["2", "complete,", "1", "pending"]
    assert [line.split()[1] for line in out.splitlines() if "synthetic" in line] == ["complete", "complete", "pending"]
    out = shown(folder / "layers.zarr", capsys)
    assert row(out, "runs")[:3] == ["2", "of", "4"]
    assert row(out, "varied") == ["2", "write,", "2", "seed"]
    assert row(out, "relative    L2") == ["random", "later", "2"]


class TestColour:
    def test_a_terminal_has_it(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("NO_COLOR", "CI"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        assert main(["show", str(folder / "run.zarr")]) == 0
        assert "\x1b[32m100 %" in capsys.readouterr().out
        monkeypatch.setenv("NO_COLOR", "1")
        assert main(["show", str(folder / "run.zarr")]) == 0
        assert "\x1b[32m" not in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("word", "colour"),
        [("equivalent, later", "green"), ("undecided", "yellow"), ("later", "red"), ("false alarm", "magenta")],
    )
    def test_of_a_conclusion(self, word: str, colour: str) -> None:
        assert _colour(word) == colour


@pytest.mark.slow
def test_what_a_store_says_is_shown_literally(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with xr.open_datatree(folder / "summary.zarr", engine="zarr", consolidated=False) as stored:
        tree = xr.DataTree.from_dict(
            {name: node.to_dataset().load() for name, node in stored.children.items() if name != "integrity"}
        )
        tree.attrs = dict(stored.attrs)
    config = json.loads(tree.attrs["config"])
    config["model"]["source"] = "[red]x[/red] :smile: \x1b[2J"
    tree.attrs["config"] = json.dumps(config)
    words = tree["sensitivity"].to_dataset()["conclusion"]
    words[:] = np.array("\x1b]0;owned\x07[bold]", dtype=np.dtypes.StringDType())
    write_summary(tree, tmp_path / "odd.zarr")
    out = shown(tmp_path / "odd.zarr", capsys)
    assert "[red]x[/red] :smile: \\x1b[2J" in out
    assert "\\x1b]0;owned" in out


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("nothing", "does not exist"),
        ("folder", "is not a readable zarr v3 store"),
        ("other", "neither a run nor"),
        ("odd", "neither a run nor"),
    ],
)
def test_what_is_no_store(made: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if made == "folder":
        (tmp_path / made).mkdir()
    if made in {"other", "odd"}:
        tree = xr.DataTree(xr.Dataset(attrs={"kind": [SUMMARY_KIND]} if made == "odd" else {}))
        tree.to_zarr(tmp_path / made, zarr_format=3, consolidated=False)
    assert main(["show", str(tmp_path / made)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.slow
@pytest.mark.parametrize("store", ["run.zarr", "summary.zarr"])
def test_it_needs_nothing_heavy(store: str, folder: Path) -> None:
    done = run_code(TORCH_FREE, store, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "synthetic" in done.stdout


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1234, "1.23 kB"), (898_000, "898 kB"), (5 * 10**12, "5 TB"), (None, "-")]
)
def test_bytes_are_readable(count: int | None, said: str) -> None:
    assert _size(count) == said
