from pathlib import Path

import numpy as np
import pytest
from tests.tiny import measured

from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.errors import UsageError
from plateaulens.names import DEFAULT_METRICS as METRICS
from plateaulens.store.reading import open_run
from plateaulens.store.schema import RunSpec
from plateaulens.store.verify import verify
from plateaulens.testing import (
    ACTIVATION_TYPES,
    generate_run,
    planted_steps,
    synthetic_attributes,
    synthetic_spec,
    synthetic_values,
)

SPAN = slice(0, 200)


@pytest.fixture(scope="module")
def wide() -> RunSpec:
    return synthetic_spec(200, samples_per_chunk=200)


@pytest.mark.parametrize("group", ["sensitivity", "sensitivity_absolute", "plateau"])
def test_the_steepest_step_is_the_planted_one(wide: RunSpec, group: str) -> None:
    curve = synthetic_values(wide, group, SPAN, seed=1)["curve"]
    planted = planted_steps(wide, group, SPAN, seed=1)
    blows_up = np.isfinite(planted)
    slopes = np.diff(curve, axis=2)
    steepest = 1 + slopes.argmax(axis=2)
    assert (np.abs(steepest - np.ceil(planted))[blows_up] <= 1).all()
    assert (steepest == np.ceil(planted))[blows_up].mean() > 0.99
    minimum = [AnalysisConfig().minimum_slope[metric] for metric in METRICS]
    assert ((slopes.max(axis=2) > minimum) == blows_up).all()


def test_types_blow_up_at_different_steps_and_some_never(wide: RunSpec) -> None:
    planted = planted_steps(wide, "sensitivity", SPAN, seed=1)[..., 0]
    mean = {kind: steps[np.isfinite(steps)].mean() for kind, steps in zip(ACTIVATION_TYPES, planted, strict=True)}
    assert 48 < mean["real"] < 52
    assert mean["real"] < mean["structured"] < mean["random"] < mean["isotropic"]
    never = dict(zip(ACTIVATION_TYPES, np.isinf(planted).mean(axis=1), strict=True))
    assert never["real"] == 0 < never["random"] < never["isotropic"]
    plateau = planted_steps(wide, "plateau", SPAN, seed=1)[..., 0]
    assert plateau[0].mean() > plateau[2][np.isfinite(plateau[2])].mean()


def test_what_targets_lie_from_is_there_where_it_is_asked_for() -> None:
    """And moves nothing else that is made up."""
    with_both = synthetic_values(synthetic_spec(24, encoded=True, fitted=True), "activations", slice(0, 8), seed=1)
    plain = synthetic_values(synthetic_spec(24), "activations", slice(0, 8), seed=1)
    assert set(with_both) - set(plain) == {"target_latents", "target_error", "fit_distance"}
    assert with_both["fit_distance"].shape == (len(ACTIVATION_TYPES), 8)
    assert (with_both["fit_distance"] > 0).all()
    for name, values in plain.items():
        np.testing.assert_array_equal(with_both[name], values)


def test_curves_are_plausible(wide: RunSpec) -> None:
    values = synthetic_values(wide, "sensitivity", SPAN, seed=1)
    assert (values["curve"] >= 0).all()
    assert (values["curve"][..., METRICS.index("js")] <= 1).all()
    changes = np.diff(values["top_token"], axis=2).astype(bool).sum(axis=2)
    assert set(np.unique(changes)) <= {0, 1}


def test_path_lengths_are_those_of_the_stored_activations(tmp_path: Path) -> None:
    """Also in an experiment with fewer samples than the run, whose last span is cut short."""
    full = synthetic_spec(6, experiments=("sensitivity", "plateau"), steps=5, samples_per_chunk=4)
    short = type(full.experiments[0])("sensitivity", ("real", "random"), 5, 5, None)
    spec = RunSpec((short, full.experiments[1]), 6, full.positions, full.d_model, full.samples_per_chunk)
    generate_run(tmp_path / "run.zarr", spec, seed=2)
    tree = open_run(tmp_path / "run.zarr")
    activations, experiment = tree["activations"].load(), tree["sensitivity"]
    target = activations.target.sel(activation_type=["real", "random"]).isel(sample=slice(0, 5))
    distance = np.sqrt(((target - activations.base.isel(sample=slice(0, 5))) ** 2).sum("d_model"))
    np.testing.assert_allclose(distance, experiment.path_length, rtol=1e-5)
    assert verify(tmp_path / "run.zarr") == []


def test_the_configuration_is_valid_and_has_the_run_s_extents(wide: RunSpec) -> None:
    config = RunConfig.model_validate_json(str(synthetic_attributes(wide, 7, "mine")["config"]))
    assert (config.name, config.seed, config.samples, config.targets.types) == ("mine", 7, 200, ACTIVATION_TYPES)
    assert config.engine.samples_per_chunk == 200


def test_the_seed_decides(tmp_path: Path) -> None:
    spec, seed = synthetic_spec(5, experiments=("sensitivity",), steps=11, samples_per_chunk=2), 3
    paths = [tmp_path / name for name in ("a.zarr", "b.zarr", "c.zarr")]
    for path, one in zip(paths, (seed, seed, seed + 1), strict=True):
        generate_run(path, spec, one)
    first, again, other = map(measured, paths)
    assert first == again
    assert first != other
    with pytest.raises(UsageError, match="seed: stored 3, asked 4"):
        generate_run(paths[0], spec, seed + 1)
