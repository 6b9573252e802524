"""What the SAE makes of targets is written down with them, in runs with an SAE that are not from before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from tests.tiny import write_preset

from plateaulens.collect.collect import collect
from plateaulens.collect.context import attributes, open_context, prompt_values, specification
from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.presets import read_config
from plateaulens.store.reading import open_run
from plateaulens.store.run import open_or_create
from plateaulens.store.verify import verify
from plateaulens.summary.analyze import analyze

TYPES = ["real", "random", "reconstruction"]
CHANGES = {"experiments": ["plateau"], "targets__types": TYPES}


@pytest.fixture(scope="module")
def config(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return read_config(write_preset(tmp_path_factory.mktemp("preset") / "tiny.toml", tiny_files, **CHANGES))


@pytest.fixture(scope="module")
def run(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path = tmp_path_factory.mktemp("runs") / "tiny.zarr"
    collect(config, path)
    return open_run(path).load()


def test_latents_and_errors_are_the_sae_s(config: RunConfig, run: xr.DataTree) -> None:
    sae = open_context(config).sae
    assert sae is not None
    activations = run["activations"].to_dataset()
    target = torch.from_numpy(activations["target"].values)
    code = sae.sae.encode(target)
    np.testing.assert_array_equal(activations["target_latents"], (code != 0).sum(dim=-1))
    error = (sae.sae.decode(code) - target).norm(dim=-1).detach()
    np.testing.assert_allclose(activations["target_error"], error, rtol=1e-4)
    assert (activations["target_error"] > 0).all()


def test_a_run_from_before_goes_on_without(config: RunConfig, run: xr.DataTree, tmp_path: Path) -> None:
    context = open_context(config)
    spec = replace(specification(context), encoded=False)
    before = tmp_path / "before.zarr"
    with open_or_create(before, spec, attributes(context), prompt_values(context)):
        pass
    collect(config, before)
    assert verify(before) == []
    expected = run["activations"].to_dataset().drop_vars(["target_latents", "target_error"])
    xr.testing.assert_equal(open_run(before)["activations"].to_dataset().load(), expected)
    summary = analyze(before, tmp_path / "summary.zarr", AnalysisConfig(resamples=100))
    detected = summary["distinguish"].to_dataset()["detected"]
    assert (detected.sel(detector=["active_latents", "sae_error"]) == "undefined").all()


def test_a_run_without_an_sae_has_none(tiny_files: Path, tmp_path: Path) -> None:
    changes = {**CHANGES, "targets__types": ["real", "random"], "sae__source": None}
    collect(read_config(write_preset(tmp_path / "plain.toml", tiny_files, **changes)), tmp_path / "plain.zarr")
    assert "target_latents" not in open_run(tmp_path / "plain.zarr")["activations"]
