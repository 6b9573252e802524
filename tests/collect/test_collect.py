"""Whole runs on a tiny model: what is stored, that it is stored again to the byte, and that stopping loses nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.tiny import D_MODEL, LATENTS, PROMPTS, TYPES, measured, write_preset
from torch import Tensor

from plateaulens.collect.collect import collect
from plateaulens.collect.context import RunContext, open_context
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.store.reading import open_run
from plateaulens.store.verify import verify

EXPERIMENTS = {"sensitivity": (6, 11), "sensitivity_absolute": (4, 7), "plateau": (5, 7)}
"""Samples and steps of the preset of `tests.tiny`."""


@pytest.fixture(autouse=True, scope="module")
def no_commit() -> Any:
    """Somebody who commits while the tests run would change an attribute of later runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        yield


@pytest.fixture(scope="module")
def configure(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunConfig]:
    """A function: the tiny configuration, with changes."""
    folder = tmp_path_factory.mktemp("presets")

    def make(**changes: Any) -> RunConfig:
        return read_config(write_preset(folder / "tiny.toml", tiny_files, **changes))

    return make


@pytest.fixture(scope="module")
def path(configure: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; read only."""
    path = tmp_path_factory.mktemp("runs") / "tiny.zarr"
    collect(configure(), path)
    return path


@pytest.fixture(scope="module")
def run(path: Path) -> xr.DataTree:
    return open_run(path).load()


@pytest.fixture(scope="module")
def run_context(configure: Callable[..., RunConfig]) -> RunContext:
    return open_context(configure())


class TestAWholeRun:
    def test_extents(self, run: xr.DataTree) -> None:
        assert set(run.children) == {"prompts", "activations", "provenance", *EXPERIMENTS}
        assert run["prompts"].token.shape == (6, 6)
        assert run["activations"].base.shape == (6, D_MODEL)
        assert run["activations"].target.shape == (9, 6, D_MODEL)
        for name, (samples, steps) in EXPERIMENTS.items():
            assert run[name].curve.dims == ("activation_type", "sample", "step", "metric")
            assert run[name].curve.shape == (9, samples, steps, 3)
            assert run[name].top_token.shape == (9, samples, steps)
            assert run[name].path_length.shape == (9, samples)
            assert tuple(run[name].activation_type.values) == TYPES

    def test_everything_is_there_and_sound(self, run: xr.DataTree, path: Path) -> None:
        for name in EXPERIMENTS:
            assert run[name].completed.all()
            assert np.isfinite(run[name].curve).all()
        assert run["activations"].completed.all()
        assert verify(path) == []

    def test_step_0_is_exactly_0(self, run: xr.DataTree) -> None:
        for name in EXPERIMENTS:
            assert (run[name].curve.isel(step=0) == 0).all()
            assert (run[name].curve.isel(step=slice(1, None)) > 0).all()

    def test_the_bases_are_real_activations(self, run: xr.DataTree, run_context: RunContext) -> None:
        tokens = torch.from_numpy(run["prompts"].token.values).long()
        expected = run_context.subject.last_activations(tokens)
        np.testing.assert_allclose(run["activations"].base, expected, rtol=1e-5, atol=1e-5)
        assert run["prompts"].text.values.tolist() == run_context.subject.text(tokens)

    def test_the_prompts_are_distinct_rows_of_the_file_cut_to_length(
        self, run: xr.DataTree, run_context: RunContext, tiny_files: Path
    ) -> None:
        with np.load(tiny_files / "prompts.npz") as file:
            stored = file["tokens"]
        rows = run_context.base_row
        assert len(set(rows.tolist())) == 6
        np.testing.assert_array_equal(run["prompts"].token, stored[rows, :6])

    def test_real_targets_are_the_activations_of_their_rows(self, run: xr.DataTree, run_context: RunContext) -> None:
        pool = run_context.target_context.pool.activation.numpy()
        activations = run["activations"].to_dataset()
        for kind in ("real", "real_control"):
            chosen = activations.sel(activation_type=kind)
            np.testing.assert_array_equal(chosen.target, pool[chosen.source_row.values])
            assert (chosen.source_row.values != run_context.base_row).all()
        real, reconstructed = (activations.source_row.sel(activation_type=t) for t in ("real", "reconstruction"))
        assert (real == reconstructed).all()
        synthetic = [kind for kind in TYPES if not kind.startswith("real") and kind != "reconstruction"]
        assert (activations.source_row.sel(activation_type=synthetic) == -1).all()

    def test_active_latents_are_counted(self, run: xr.DataTree, run_context: RunContext) -> None:
        assert run_context.sae is not None
        code = run_context.sae.sae.encode(torch.from_numpy(run["activations"].base.values))
        assert run["activations"].active_latents.values.tolist() == (code > 0).sum(dim=1).tolist()

    def test_the_last_relative_step_is_the_target_patched_in(self, run: xr.DataTree, run_context: RunContext) -> None:
        found = run["sensitivity"].to_dataset().isel(step=-1)
        assert run["sensitivity"].fraction[-1] == 1
        for place, kind in enumerate(TYPES):
            target = torch.from_numpy(run["activations"].target.values[place])
            distance, kl, top = patched(run_context, run["prompts"].token.values, target)
            curve = found.curve.sel(activation_type=kind)
            np.testing.assert_allclose(curve.sel(metric="l2"), distance, rtol=1e-4)
            np.testing.assert_allclose(curve.sel(metric="kl"), kl, rtol=1e-3, atol=1e-5)
            assert found.top_token.sel(activation_type=kind).values.tolist() == top.tolist()

    def test_a_fixed_step_is_that_far_from_the_base(self, run: xr.DataTree, run_context: RunContext) -> None:
        samples = EXPERIMENTS["sensitivity_absolute"][0]
        base = torch.from_numpy(run["activations"].base.values[:samples])
        target = torch.from_numpy(run["activations"].target.values[TYPES.index("random"), :samples])
        moved = base + 3 * 1.5 * torch.nn.functional.normalize(target - base, dim=1)
        distance, _, _ = patched(run_context, run["prompts"].token.values[:samples], moved)
        found = run["sensitivity_absolute"].curve.sel(activation_type="random", step=3, metric="l2")
        assert run["sensitivity_absolute"].length[3] == 4.5
        np.testing.assert_allclose(found, distance, rtol=1e-4)

    def test_a_plateau_starts_at_the_type_s_own_target(self, run: xr.DataTree, run_context: RunContext) -> None:
        samples = EXPERIMENTS["plateau"][0]
        for place, kind in enumerate(TYPES):
            target = torch.from_numpy(run["activations"].target.values[place, :samples])
            _, _, top = patched(run_context, run["prompts"].token.values[:samples], target)
            assert run["plateau"].top_token.sel(activation_type=kind, step=0).values.tolist() == top.tolist()

    def test_path_lengths(self, run: xr.DataTree) -> None:
        activations = run["activations"].to_dataset()
        length = np.linalg.norm(activations.target - activations.base.values, axis=-1)
        for name in ("sensitivity", "sensitivity_absolute"):
            np.testing.assert_allclose(run[name].path_length, length[:, : run[name].sizes["sample"]], rtol=1e-5)
        # the direction of a plateau belongs to the sample: every type goes to the same place
        ends = run["plateau"].path_length.values
        target = activations.target.values[:, : ends.shape[1]]
        assert (np.abs(ends[0] - ends[2]) <= np.linalg.norm(target[0] - target[2], axis=-1) + 1e-4).all()

    def test_the_run_says_what_it_is(self, run: xr.DataTree, configure: Callable[..., RunConfig]) -> None:
        assert RunConfig.model_validate_json(run.attrs["config"]) == configure()
        identity = json.loads(run.attrs["identity"])
        assert identity["model"]["directory"] == "model"
        assert len(identity["model"]["model.safetensors"]) == len(identity["sae"]["sha256"]) == 64
        settings = identity["sae"]["settings"]
        assert (settings["d_in"], settings["d_sae"], settings["model_name"]) == (D_MODEL, LATENTS, "tiny")
        assert (identity["write_site"], identity["device"]) == ("blocks.1.hook_resid_pre", "cpu")
        assert {"torch", "transformers", "sae-lens", "transformer-lens"} <= json.loads(run.attrs["versions"]).keys()
        (session,) = json.loads(run["provenance"].attrs["sessions"])
        assert session["spans"] == 3 + 3 + 2 + 3


def patched(run_context: RunContext, tokens: np.ndarray[Any, Any], points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L2 distance and KL from the untouched prompts, and the top token, with `points` put in the plain way."""
    subject, kept = run_context.subject, []

    def write(stream: Tensor, hook: object) -> Tensor:
        return torch.cat([stream[:, :-1], points[:, None]], dim=1)

    def keep(stream: Tensor, hook: object) -> None:
        kept.append(stream[:, -1].clone())

    prompts = torch.from_numpy(tokens).long()
    with torch.inference_mode():
        p = subject.bridge.run_with_hooks(prompts, fwd_hooks=[(subject.read.name, keep)])[:, -1].double().softmax(-1)
        logits = subject.bridge.run_with_hooks(
            prompts, fwd_hooks=[(subject.write.name, write), (subject.read.name, keep)]
        )[:, -1]
    q = logits.double().softmax(-1)
    return (kept[1] - kept[0]).norm(dim=1), (p * (p / q).log()).sum(-1), logits.argmax(-1)


class TestReproducibility:
    def test_the_same_seed_gives_the_same_bytes(
        self, configure: Callable[..., RunConfig], path: Path, tmp_path: Path
    ) -> None:
        collect(configure(), tmp_path / "again.zarr")
        assert measured(tmp_path / "again.zarr") == measured(path)

    def test_another_seed_gives_other_prompts_and_targets(
        self, configure: Callable[..., RunConfig], run: xr.DataTree, run_context: RunContext
    ) -> None:
        other = open_context(configure(seed=8))
        assert other.base_row.tolist() != run_context.base_row.tolist()
        target = other.activations(slice(0, 6))["target"]
        assert (target != run["activations"].target.values).any(axis=-1).mean() > 0.9

    def test_the_cut_into_chunks_and_batches_changes_no_target(
        self, configure: Callable[..., RunConfig], run: xr.DataTree, tmp_path: Path
    ) -> None:
        config = configure(engine__samples_per_chunk=5, engine__prompts_per_batch=3)
        collect(config, tmp_path / "cut.zarr")
        cut = open_run(tmp_path / "cut.zarr").load()
        xr.testing.assert_identical(cut["activations"].to_dataset(), run["activations"].to_dataset())
        xr.testing.assert_identical(cut["prompts"].to_dataset(), run["prompts"].to_dataset())
        for name in EXPERIMENTS:
            np.testing.assert_allclose(cut[name].curve, run[name].curve, rtol=1e-3, atol=1e-4)

    def test_more_samples_extend_fewer(
        self, configure: Callable[..., RunConfig], run: xr.DataTree, tmp_path: Path
    ) -> None:
        collect(configure(sensitivity__samples=9, experiments=["sensitivity"]), tmp_path / "more.zarr")
        more = open_run(tmp_path / "more.zarr").load()
        for group in ("prompts", "activations", "sensitivity"):
            first = more[group].to_dataset().isel(sample=slice(0, 6))
            xr.testing.assert_identical(first.drop_attrs(), run[group].to_dataset().drop_attrs())

    def test_an_experiment_does_not_depend_on_the_others(
        self, configure: Callable[..., RunConfig], run: xr.DataTree, tmp_path: Path
    ) -> None:
        collect(configure(experiments=["plateau"]), tmp_path / "alone.zarr")
        alone = open_run(tmp_path / "alone.zarr").load()
        assert set(alone.children) == {"prompts", "activations", "provenance", "plateau"}
        xr.testing.assert_identical(alone["plateau"].to_dataset(), run["plateau"].to_dataset())

    def test_without_an_sae(self, configure: Callable[..., RunConfig], run: xr.DataTree, tmp_path: Path) -> None:
        types = ["real", "random"]
        config = configure(sae__source=None, targets__types=types, experiments=["sensitivity"])
        collect(config, tmp_path / "plain.zarr")
        plain = open_run(tmp_path / "plain.zarr").load()
        assert (plain["activations"].active_latents == -1).all()
        expected = run["activations"].target.sel(activation_type=types)
        np.testing.assert_array_equal(plain["activations"].target, expected)


class TestResuming:
    def test_a_finished_run_is_left_alone(self, configure: Callable[..., RunConfig], path: Path) -> None:
        before = measured(path)
        collect(configure(), path)
        assert measured(path) == before

    @pytest.mark.parametrize(
        ("change", "key"),
        [
            ({"seed": 8}, "seed: stored 7, asked 8"),
            ({"sensitivity__samples": 7}, "sensitivity.samples: stored 6, asked 7"),
            ({"plateau__step_length": 2.0}, "plateau.step_length: stored 1.5, asked 2.0"),
            ({"sites__read": "blocks.1.hook_resid_post"}, "sites.read: stored"),
        ],
    )
    def test_another_configuration_is_refused_by_name(
        self, change: dict[str, Any], key: str, configure: Callable[..., RunConfig], path: Path
    ) -> None:
        before = measured(path)
        with pytest.raises(UsageError, match=f"cannot be continued with other settings.*{key}"):
            collect(configure(**change), path)
        assert measured(path) == before

    def test_other_analysis_settings_are_no_other_run(self, configure: Callable[..., RunConfig], path: Path) -> None:
        before = measured(path)
        collect(configure(analysis__resamples=50), path)
        assert measured(path) == before


class TestMistakes:
    def test_an_unknown_type_is_named_before_the_model_is_looked_for(self, configure: Callable[..., RunConfig]) -> None:
        config = configure(targets__types=["real", "reel"], model__source="/no/such/model")
        with pytest.raises(UsageError, match=r"unknown activation type 'reel' in targets.types; known are real, "):
            open_context(config)

    def test_a_type_that_needs_an_sae(self, configure: Callable[..., RunConfig]) -> None:
        with pytest.raises(UsageError, match=r"reconstruction, .* need an SAE, and the run has none; add an \[sae\]"):
            open_context(configure(sae__source=None))

    def test_more_samples_than_prompts(self, configure: Callable[..., RunConfig]) -> None:
        with pytest.raises(UsageError, match=f"41 samples asked for, prompt file .* has {PROMPTS}"):
            open_context(configure(plateau__samples=41))
