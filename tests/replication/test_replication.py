"""Runs without a model beside made-up reference numbers, so that what lies inside and what does not is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.distance import ks_distance

from plateaulens.cli import main
from plateaulens.cli.compare_reference import _heading
from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.names import STATISTICS
from plateaulens.replication import comparison as replication
from plateaulens.replication import reference
from plateaulens.replication.comparison import ASSUMED_SAMPLES, Comparison, is_replication
from plateaulens.replication.reference import ACTIVATION_COLUMNS, COLUMNS
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.reading import open_run
from plateaulens.summary.analyze import summarize
from plateaulens.testing import generate_run, synthetic_spec

SETTINGS = AnalysisConfig(resamples=300)
TYPES = ("real", "random", "structured")
SPEC = synthetic_spec(120, activation_types=TYPES, samples_per_chunk=120)
Refer = Callable[..., None]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in nothing but their draws."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (7, 8):
        generate_run(folder / f"{seed}.zarr", SPEC, seed)
    return [folder / "7.zarr", folder / "8.zarr"]


@pytest.fixture(scope="module")
def runs(paths: list[Path]) -> list[xr.DataTree]:
    return [open_run(path).load() for path in paths]


@pytest.fixture
def refer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refer:
    """`refer(steps=[...], activations=[...])`: these rows are the reference."""

    def given(steps: list[dict[str, Any]], activations: list[dict[str, Any]] | None = None) -> None:
        rows = pd.DataFrame([{"source": "here", "note": "none", **row} for row in steps], columns=list(COLUMNS))
        rows.to_csv(tmp_path / "step_statistics.csv", index=False)
        others = pd.DataFrame(activations or [], columns=list(ACTIVATION_COLUMNS))
        others.to_csv(tmp_path / "activation_statistics.csv", index=False)
        monkeypatch.setattr(replication, "read_reference", lambda: reference.read_reference(tmp_path))
        monkeypatch.setattr(
            replication, "read_activation_reference", lambda: reference.read_activation_reference(tmp_path)
        )

    return given


def compare_reference(tree: xr.DataTree, settings: AnalysisConfig) -> pd.DataFrame:
    return pd.DataFrame(replication.compare_reference(tree, settings), columns=list(Comparison._fields))


def on_their_grid(run: xr.DataTree, name: str) -> xr.DataArray:
    """Steps of the authors' convention: 101 points are parts of 1/100, theirs of 1/99; sentinels are theirs already."""
    steps = step_dataset(run[name].to_dataset(), SETTINGS).sel(convention="authors")
    sentinel = xr.DataArray([99, 100, np.nan, 100], coords={"statistic": steps["statistic"]}, dims="statistic")
    return (steps["step_value"] * 0.99).where(~steps["censored"], sentinel)


def printed(run: xr.DataTree) -> list[dict[str, Any]]:
    """What somebody would have printed of a run."""
    rows = []
    for name in ("sensitivity", "plateau"):
        value = on_their_grid(run, name)
        for statistic in ("max_slope", "first_nonlinearity"):
            for metric in ("l2", "kl"):
                chosen = value.sel(statistic=statistic, metric=metric)
                real = chosen.sel(activation_type="real").to_numpy()
                for kind in TYPES:
                    own = chosen.sel(activation_type=kind).to_numpy()
                    ks = None if kind == "real" else ks_distance(own, real)
                    row = {"experiment": name, "statistic": statistic, "metric": metric, "activation_type": kind}
                    rows.append({**row, "n": len(own), "mean": own.mean(), "sd": own.std(), "ks": ks})
    return rows


def test_another_run_of_the_same_kind_lies_inside(runs: list[xr.DataTree], refer: Refer) -> None:
    refer(printed(runs[1]))
    table = compare_reference(runs[0], SETTINGS)
    assert len(table) == 8 * (3 + 3 + 2)
    # 95 % are expected, but the 64 numbers are different views of six sets of steps, so another seed may have 80 %
    assert table["inside"].mean() > 0.85
    assert (table["n_here"] == 120).all()
    assert not table["n_is_assumed"].any()
    assert (table["lower"] < table["upper"]).all()


def test_its_own_numbers_are_the_middle(runs: list[xr.DataTree], refer: Refer) -> None:
    refer(printed(runs[0]))
    table = compare_reference(runs[0], SETTINGS)
    np.testing.assert_allclose(table["here"], table["authors"])
    assert table["inside"].all()


@pytest.mark.parametrize(("column", "change"), [("mean", 20.0), ("sd", 30.0), ("ks", 0.5)])
def test_a_number_that_is_off_lies_outside(column: str, change: float, runs: list[xr.DataTree], refer: Refer) -> None:
    rows = printed(runs[1])
    refer([{**row, column: None if row[column] is None else row[column] + change} for row in rows])
    table = compare_reference(runs[0], SETTINGS)
    assert not table.loc[table["quantity"] == column, "inside"].any()
    assert table.loc[table["quantity"] != column, "inside"].mean() > 0.85


def test_fewer_base_prompts_of_theirs_leave_more_room(runs: list[xr.DataTree], refer: Refer) -> None:
    row = printed(runs[1])[0]
    refer([{**row, "n": 30}, {**row, "n": 3000}, {**row, "n": None}])
    table = compare_reference(runs[0], SETTINGS)
    width = (table["upper"] - table["lower"])[table["quantity"] == "mean"].to_numpy()
    assert width[0] > 1.7 * width[1]
    assert table["n_authors"].tolist() == [30, 30, 3000, 3000, ASSUMED_SAMPLES, ASSUMED_SAMPLES]
    assert table["n_is_assumed"].tolist() == [False] * 4 + [True] * 2


def test_reading_errors_and_dropped_values(runs: list[xr.DataTree], refer: Refer) -> None:
    value = on_their_grid(runs[0], "plateau")
    own = value.sel(statistic="plateau_length", metric="l2", activation_type="real").to_numpy()
    limit = float(np.median(own))
    row = {"experiment": "plateau", "statistic": "plateau_length", "metric": "l2", "activation_type": "real"}
    off = {**row, "mean": own.mean() + 3, "n": 100000}
    kept = own[own <= limit]
    refer([off, {**off, "reading_error": 3}, {**row, "mean": kept.mean(), "dropped_above": limit}])
    table = compare_reference(runs[0], SETTINGS)
    assert table["inside"].tolist() == [False, True, True]
    assert table["here"].iloc[2] == pytest.approx(kept.mean())


def test_two_types_beside_each_other(runs: list[xr.DataTree], refer: Refer) -> None:
    chosen = on_their_grid(runs[0], "sensitivity").sel(statistic="max_slope", metric="kl")
    expected = ks_distance(*(chosen.sel(activation_type=kind).to_numpy() for kind in ("structured", "random")))
    row = {"experiment": "sensitivity", "statistic": "max_slope", "metric": "kl"}
    refer([{**row, "activation_type": "structured vs random", "ks": 0.3}])
    assert compare_reference(runs[0], SETTINGS)["here"].tolist() == [pytest.approx(expected)]


def test_what_is_no_step(runs: list[xr.DataTree], refer: Refer) -> None:
    group = runs[0]["sensitivity_absolute"].to_dataset().sel(metric="kl", activation_type="random")
    rows = [
        {"experiment": "sensitivity_absolute", "statistic": name, "metric": "kl", "activation_type": "random", **number}
        for name, number in (("curve_mean", {"mean": 1.0}), ("end_value", {"mean": 1.0}), ("pooled_curve", {"ks": 0.1}))
    ]
    rows.append(
        {"experiment": "activations", "statistic": "distance_from_mean", "activation_type": "random", "mean": 9}
    )
    latents = {"quantity": "active_latents", "value": 20.0, "sd": 3.0, "n": 50, "source": "here"}
    refer(rows, [latents, {**latents, "quantity": "latent_norm"}])
    table = compare_reference(runs[0], SETTINGS).set_index(["statistic", "quantity"])["here"]
    activations = runs[0]["activations"].to_dataset()
    distance = activations["target"].sel(activation_type="random") - activations["base"].mean("sample")
    expected = {
        ("curve_mean", "mean"): float(group["curve"].mean()),
        ("end_value", "mean"): float(group["curve"].isel(step=-1).mean()),
        ("distance_from_mean", "mean"): float(np.sqrt((distance**2).sum("d_model")).mean()),
        ("active_latents", "mean"): float(activations["active_latents"].mean()),
        ("active_latents", "sd"): float(activations["active_latents"].std()),
    }
    for key, value in expected.items():
        assert table[key] == pytest.approx(value, rel=1e-5)
    assert 0 < table["pooled_curve", "ks"] < 1
    assert len(table) == 6


@pytest.mark.slow
def test_a_summary_tells_the_same_but_for_curves(runs: list[xr.DataTree]) -> None:
    """With the reference that ships."""
    whole = compare_reference(runs[0], SETTINGS)
    short = compare_reference(summarize(runs[0], SETTINGS), SETTINGS)
    assert set(whole["statistic"]) - set(short["statistic"]) == {"curve_mean", "pooled_curve"}
    columns = ["experiment", "statistic", "metric", "activation_type", "quantity", "source"]
    joined = short.merge(whole, on=columns, suffixes=("", "_run"))
    assert len(joined) == len(short)
    np.testing.assert_allclose(joined["here"], joined["here_run"], rtol=1e-6)
    assert {"v1", "challenger"}.isdisjoint(whole["activation_type"])
    assert "plateau_to_base" not in set(whole["experiment"])


def test_incomplete_samples_are_left_out(runs: list[xr.DataTree], refer: Refer) -> None:
    part = runs[0].copy()
    group = part["sensitivity"].to_dataset()
    curve = group["curve"].copy()
    curve[1, 100:] = np.nan
    completed = group["completed"].copy()
    completed[1, 100:] = False
    part["sensitivity"] = xr.DataTree(group.assign(curve=curve, completed=completed))
    row = {"experiment": "sensitivity", "statistic": "max_slope", "metric": "l2", "n": 100}
    refer([{**row, "activation_type": "random", "ks": 0.5}, {**row, "activation_type": "real", "mean": 50}])
    assert compare_reference(part, SETTINGS)["n_here"].tolist() == [100, 120]


class TestReplication:
    @pytest.mark.parametrize(
        ("source", "expected"), [("gpt2", True), ("openai-community/gpt2", True), ("gpt2-medium", False)]
    )
    def test_the_authors_model_sae_and_sites(self, source: str, expected: bool, runs: list[xr.DataTree]) -> None:
        config = self.config(runs, {"model": {"source": source}, "sae": {"source": "gpt2-small-res-jb/somewhere"}})
        assert is_replication(config) is expected

    def test_anything_else(self, runs: list[xr.DataTree]) -> None:
        gpt2 = {"model": {"source": "gpt2"}}
        assert not is_replication(self.config(runs, gpt2))
        other = {"write": "blocks.2.hook_resid_pre", "read": "blocks.11.hook_resid_post"}
        assert not is_replication(self.config(runs, {**gpt2, "sae": {"source": "gpt2-small-res-jb"}, "sites": other}))

    def test_the_authors_held_nothing(self, runs: list[xr.DataTree]) -> None:
        sites = {"write": "blocks.1.hook_resid_pre", "read": "blocks.11.hook_resid_post"}
        theirs = {"model": {"source": "gpt2"}, "sae": {"source": "gpt2-small-res-jb"}}
        assert is_replication(self.config(runs, theirs | {"sites": sites}))
        held = self.config(runs, theirs | {"sites": {**sites, "frozen": ["blocks.2.hook_mlp_out"]}})
        assert not is_replication(held)
        assert "blocks.11.hook_resid_post, with blocks.2.hook_mlp_out held;" in _heading(held, [], AnalysisConfig())

    def test_what_a_store_says_is_no_command_of_a_terminal(self, runs: list[xr.DataTree]) -> None:
        odd = "\x1b]0;own\x07\x1b[2Jm\nREPLICATION CHECK: fine"
        said = _heading(self.config(runs, {"model": {"source": odd}}), [], AnalysisConfig())
        assert said.isprintable() or all(line.isprintable() for line in said.splitlines())
        assert not any(line.startswith("REPLICATION") for line in said.splitlines())

    def config(self, runs: list[xr.DataTree], changes: dict[str, Any]) -> RunConfig:
        stored = RunConfig.model_validate_json(runs[0].attrs["config"]).model_dump()
        return RunConfig.model_validate({**stored, **changes})


@pytest.mark.slow
def test_the_command(paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare-reference", str(paths[0]), "--out", str(tmp_path / "made" / "table.csv")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("CONTEXT: run synthetic is of synthetic, written at blocks.1")
    table = pd.read_csv(tmp_path / "made" / "table.csv")
    assert f"{table['inside'].sum()} of {len(table)} numbers lie inside the 95% sampling interval" in said
    assert "sensitivity max_slope l2" in said
    assert "the run's are multiplied by sensitivity 0.99, sensitivity_absolute 0.99, plateau 0.99." in said
    assert set(table.loc[table["statistic"] == "max_slope", "scale"]) == {0.99}
    assert set(table.loc[~table["statistic"].isin(list(STATISTICS)), "scale"]) == {1.0}
    assert "1000* / 120" in said
    assert main(["compare-reference", str(tmp_path / "nowhere.zarr")]) == 1
