"""Controls of the SAE in whole runs on a tiny model: variants of the synthetic types, and walks from SAE(A)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.tiny import write_preset

from plateaulens.collect.collect import collect
from plateaulens.collect.context import attributes, open_context, prompt_values, specification
from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import override, read_config
from plateaulens.store.reading import open_run, source_rows
from plateaulens.store.run import open_or_create
from plateaulens.store.verify import verify
from plateaulens.summary.analyze import analyze

TYPES = ["real", "real_mixture", "covariance_mixture", "structured"]
VARIANTS: dict[str, dict[str, Any]] = {
    "real_redraw": {"type": "real"},
    "structured_low": {"type": "structured", "anchor_cosine": -0.5},
    "structured_with_error": {"type": "structured", "add_error": True},
    "structured_random": {"type": "structured", "dictionary": "random"},
    "structured_shuffled": {"type": "structured", "dictionary": "shuffled"},
}
CHANGES: dict[str, Any] = {
    "experiments": ["sensitivity", "sensitivity_reconstructed"],
    "targets__types": TYPES,
    **{f"targets__variants__{name}__{key}": value for name, each in VARIANTS.items() for key, value in each.items()},
    "sensitivity_reconstructed__samples": 4,
    "sensitivity_reconstructed__steps": 11,
}


@pytest.fixture(scope="module")
def config(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return read_config(write_preset(tmp_path_factory.mktemp("preset") / "tiny.toml", tiny_files, **CHANGES))


@pytest.fixture(scope="module")
def path(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tiny.zarr"
    collect(config, path)
    return path


@pytest.fixture(scope="module")
def run(path: Path) -> xr.DataTree:
    return open_run(path).load()


def test_variants_are_types_like_any_other(run: xr.DataTree) -> None:
    assert run["sensitivity"].activation_type.values.tolist() == [*TYPES, *VARIANTS]
    for name, samples in (("sensitivity", 6), ("sensitivity_reconstructed", 4)):
        assert run[name].curve.shape == (9, samples, 11, 3)
        assert run[name].completed.all()
    target = run["activations"].target
    for name in VARIANTS:
        like = target.sel(activation_type=VARIANTS[name]["type"])
        assert not np.allclose(target.sel(activation_type=name), like)
    assert (run["activations"].source_row.sel(activation_type="real_redraw") >= 0).all()


def test_a_mixture_says_which_prompts_it_is_made_of(config: RunConfig, path: Path, run: xr.DataTree) -> None:
    activations = run["activations"].to_dataset()
    pool = open_context(config).target_context.pool.activation.numpy()
    assert activations.mixed_row.dims == ("activation_type", "sample", "mixed")
    own = activations.sel(activation_type="real_mixture")
    plus, minus = own.mixed_row.values.T
    np.testing.assert_allclose(own.target, activations.base + (pool[plus] - pool[minus]), rtol=1e-5, atol=1e-5)
    assert (own.source_row == -1).all()
    assert (activations.mixed_row.drop_sel(activation_type="real_mixture") == -1).all()
    rows = source_rows(activations)
    assert rows.shape == (3, 9, 6)
    np.testing.assert_array_equal(rows[1:, TYPES.index("real_mixture")], [plus, minus])
    assert verify(path) == []


def test_a_run_that_does_not_say_so_goes_on_as_it_is(config: RunConfig, run: xr.DataTree, tmp_path: Path) -> None:
    """A run from before `mixed_row`: its layout has no `mixed`."""
    context = open_context(config)
    spec = replace(specification(context), mixed=0)
    before = tmp_path / "before.zarr"
    with open_or_create(before, spec, attributes(context), prompt_values(context)):
        pass
    assert "mixed_row" not in open_run(before)["activations"]
    collect(config, before)
    assert verify(before) == []
    expected = run["activations"].to_dataset().drop_vars("mixed_row")
    xr.testing.assert_equal(open_run(before)["activations"].to_dataset().load(), expected)
    linked = AnalysisConfig(resamples=100, resample_targets=True)
    with pytest.raises(UsageError, match="does not say which prompts real_mixture is made of") as raised:
        analyze(before, tmp_path / "summary.zarr", linked)
    assert "\n" not in str(raised.value)


def test_a_variant_changes_nothing_of_the_others(
    config: RunConfig, run: xr.DataTree, tiny_files: Path, tmp_path: Path
) -> None:
    changes = {key: value for key, value in CHANGES.items() if "variants" not in key}
    collect(read_config(write_preset(tmp_path / "plain.toml", tiny_files, **changes)), tmp_path / "plain.zarr")
    plain = open_run(tmp_path / "plain.zarr").load()
    kept = {
        name: run[name].to_dataset().sel(activation_type=TYPES) for name in ("activations", *CHANGES["experiments"])
    }
    xr.testing.assert_equal(plain["activations"].to_dataset(), kept["activations"])
    for name in CHANGES["experiments"]:
        # more paths in a matrix product may round them differently
        np.testing.assert_allclose(plain[name].curve, kept[name].curve, rtol=1e-3, atol=1e-4)


def test_the_walk_starts_at_the_reconstruction(config: RunConfig, run: xr.DataTree) -> None:
    """And its reference, step 0, is the model's response to SAE(A)."""
    run_context = open_context(config)
    assert run_context.sae is not None
    base = torch.from_numpy(run["activations"].base.values[:4])
    start = run_context.sae.sae.decode(run_context.sae.sae.encode(base))
    target = torch.from_numpy(run["activations"].target.values[:, :4])
    found = run["sensitivity_reconstructed"].to_dataset()
    assert found.fraction[-1] == 1
    np.testing.assert_allclose(found["path_length"], (target - start).norm(dim=-1), rtol=1e-4)
    assert (found.curve.isel(step=0) == 0).all()
    tokens = torch.from_numpy(run["prompts"].token.values[:4]).long()
    reference, moved = (patched(run_context, tokens, at) for at in (start, (start + target[2]) / 2))
    distance = (moved - reference).norm(dim=1)
    np.testing.assert_allclose(found.curve[2, :, 5].sel(metric="l2"), distance, rtol=1e-3)


def patched(run_context: Any, tokens: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The read site's activation at the last position when the write site's is replaced."""

    def write(stream: torch.Tensor, hook: Any) -> torch.Tensor:
        return torch.cat([stream[:, :-1], values[:, None]], dim=1)

    bridge, read = run_context.subject.bridge, run_context.subject.read.name
    kept: dict[str, torch.Tensor] = {}

    def keep(stream: torch.Tensor, hook: Any) -> None:
        kept["read"] = stream[:, -1].clone()

    with torch.inference_mode():
        bridge.run_with_hooks(
            tokens, return_type=None, fwd_hooks=[(run_context.subject.write.name, write), (read, keep)]
        )
    return kept["read"]


@pytest.mark.slow
def test_the_summary_has_the_walk_as_an_experiment(path: Path, tmp_path: Path) -> None:
    summary = analyze(path, tmp_path / "summary.zarr")
    group = summary["sensitivity_reconstructed"].to_dataset()
    assert group["ks"].sel(activation_type="structured_shuffled").notnull().any()
    assert {"prompts", "geometry", "sensitivity", "sensitivity_reconstructed"} <= set(summary.children)


def test_samples_from_the_command_line_reach_every_experiment(
    config: RunConfig, tiny_files: Path, tmp_path: Path
) -> None:
    changed = override(config, samples=3, seed=None, experiments=None)
    assert changed.experiment("sensitivity_reconstructed").samples == 3
    plain = read_config(write_preset(tmp_path / "plain.toml", tiny_files))
    assert "sensitivity_reconstructed" not in override(plain, samples=3, seed=None, experiments=None).sections


def test_a_run_says_how_variants_are_made(run: xr.DataTree) -> None:
    told = json.loads(run.attrs["definitions"])
    assert told["real_redraw"] == "as real, drawn again"
    assert told["structured_low"] == "as structured, anchor cosine -0.5"
    assert told["structured_with_error"] == "as structured, the SAE error of A added"
    assert told["structured_shuffled"] == "as structured, shuffled decoder directions"
