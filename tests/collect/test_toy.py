"""A model whose blow-ups are known from its weights, through the real `collect` and `analyze`: the numbers come out."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from tests import toy
from tests.tiny import TYPES, write_toml

from plateaulens.collect.collect import collect
from plateaulens.collect.context import open_context
from plateaulens.presets import read_config
from plateaulens.store.reading import open_run, open_summary
from plateaulens.summary.analyze import analyze
from plateaulens.summary.verdicts import timing

pytestmark = pytest.mark.slow

SAMPLES, STEPS, STEP_LENGTH = 96, 101, 0.25
EXPERIMENTS = ("sensitivity", "sensitivity_absolute", "plateau")
METRICS = ("l2", "kl", "js")
LESS_SIGNAL = ("isotropic", "bag", "baseline", "structured", "single_latent")
"""Types that lie nearer to the plane than real activations do, and reach it late or leave it behind early."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy model's files, a run of it and its summary."""
    folder = tmp_path_factory.mktemp("toy")
    toy.write_model(folder / "model")
    toy.write_sae(folder / "sae")
    toy.write_prompts(folder / "prompts.npz")
    keys = {
        "model__source": str(folder / "model"),
        "sites__write": toy.WRITE,
        "sites__read": toy.READ,
        "sae__source": str(folder / "sae"),
        "prompts__source": str(folder / "prompts.npz"),
        "prompts__length": 3,
        "targets__types": TYPES,
        "seed": 7,
        **{f"{name}__samples": SAMPLES for name in EXPERIMENTS},
        "sensitivity_absolute__step_length": STEP_LENGTH,
        "plateau__step_length": STEP_LENGTH,
        # a step moves the stream itself by up to 0.5, which is no jump
        "analysis__minimum_slope__l2": 5.0,
        "analysis__minimum_slope__kl": 0.02,
        "analysis__minimum_slope__js": 0.002,
        "analysis__resamples": 200,
    }
    collect(read_config(write_toml(folder / "toy.toml", keys)), folder / "run.zarr")
    analyze(folder / "run.zarr", folder / "summary.zarr")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> xr.DataTree:
    return open_run(folder / "run.zarr").load()


@pytest.fixture(scope="module")
def summary(folder: Path) -> xr.DataTree:
    return open_summary(folder / "summary.zarr").load()


@pytest.fixture(scope="module")
def directions(folder: Path) -> NDArray[np.float64]:
    """The activations (sample, d_model) that the plateau bases were moved towards; a run does not store them."""
    context = open_context(read_config(folder / "toy.toml")).target_context
    draws = [context.gaussian.draw(context.generator(sample, "plateau direction")) for sample in range(SAMPLES)]
    return torch.stack(draws).numpy()


@pytest.fixture(params=EXPERIMENTS)
def experiment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def distance(run: xr.DataTree, directions: NDArray[np.float64], experiment: str) -> NDArray[np.float64]:
    """How many steps it is to the plane, (activation_type, sample), infinity where it lies outside the window."""
    base, target = (run["activations"].to_dataset()[name].to_numpy() for name in ("base", "target"))
    start, end = (target, directions) if experiment == "plateau" else (base, target)
    start, end = np.broadcast_arrays(start, end)
    steps = STEPS - 1 if experiment == "sensitivity" else np.linalg.norm(end - start, axis=-1) / STEP_LENGTH
    found = toy.crossing(start, end) * steps
    return np.where(found <= STEPS - 1, found, np.inf)


@pytest.mark.parametrize("metric", METRICS)
def test_the_steepest_step_is_the_one_that_crosses_the_plane(
    summary: xr.DataTree, experiment: str, distance: NDArray[np.float64], metric: str
) -> None:
    found = corrected(summary, experiment, "max_slope", metric)
    assert (found.censored.values == np.isinf(distance)).mean() > 0.998  # a path may end on the ramp
    both = np.isfinite(distance) & ~found.censored.values
    error = found.step_value.values[both] - np.ceil(distance[both])
    assert np.abs(error).max() <= 1
    assert (error == 0).mean() > 0.98
    # every type is put to the test, with paths that cross and, together, many that do not
    assert (both.sum(axis=1) > 30).all()
    assert (~both).sum() > 100


@pytest.mark.parametrize("metric", METRICS)
def test_means_and_paired_differences_are_those_of_the_geometry(
    summary: xr.DataTree, experiment: str, distance: NDArray[np.float64], metric: str
) -> None:
    found = corrected(summary, experiment, "max_slope", metric)
    step = np.where(np.isfinite(distance), np.ceil(distance), np.nan)
    np.testing.assert_allclose(found["mean"], np.nanmean(step, axis=1), atol=0.5)
    np.testing.assert_allclose(found.mean_difference, np.nanmean(step - step[0], axis=1), atol=0.5)
    np.testing.assert_allclose(found.censored_fraction, np.isinf(distance).mean(axis=1), atol=0.011)


def test_a_plateau_ends_at_the_plane_or_at_the_threshold(
    run: xr.DataTree, summary: xr.DataTree, experiment: str, distance: NDArray[np.float64]
) -> None:
    if experiment == "sensitivity":
        step_length = run[experiment].path_length.values / (STEPS - 1)
    else:
        step_length = np.full(distance.shape, STEP_LENGTH)
    # before the plane, the read site has moved as far as the write site; behind it, by more than the threshold
    threshold = 20.0 / step_length
    reached = np.minimum(np.ceil(distance), np.ceil(threshold))
    expected = np.where(reached <= STEPS - 1, reached, np.inf)
    found = corrected(summary, experiment, "plateau_length", "l2")
    value = np.where(found.censored, np.inf, found.step_value)
    assert (np.isinf(value) == np.isinf(expected)).mean() > 0.998
    both = np.isfinite(value) & np.isfinite(expected)
    assert np.abs(value[both] - expected[both]).max() <= 1


@pytest.mark.parametrize(("experiment", "expected"), [("sensitivity", "later"), ("plateau", "earlier")])
def test_timing_is_what_the_geometry_says(summary: xr.DataTree, experiment: str, expected: str) -> None:
    for metric in METRICS:
        found = corrected(summary, experiment, "max_slope", metric)
        for name in (*LESS_SIGNAL, "real_control", "reconstruction"):
            own = found.sel(activation_type=name)
            word = timing(own.mean_difference_interval, int(own.n_pairs))
            assert word == (expected if name in LESS_SIGNAL else "undecided"), name


def test_resemblance_is_what_the_geometry_says(summary: xr.DataTree) -> None:
    for metric in METRICS:
        found = corrected(summary, "sensitivity", "max_slope", metric)
        assert all(found.verdict.sel(activation_type=name) == "different" for name in LESS_SIGNAL)
        assert found.verdict.sel(activation_type="real_control") != "different"
        assert found.verdict.sel(activation_type="reconstruction") == "equivalent"
        nearness = found.nearness.sel(activation_type="reconstruction")
        assert all(nearness.sel(other_type=name) == "nearer" for name in LESS_SIGNAL)


def test_a_reconstruction_without_loss_is_real(summary: xr.DataTree, experiment: str) -> None:
    for metric in METRICS:
        found = corrected(summary, experiment, "max_slope", metric).sel(activation_type="reconstruction")
        assert found.ks == 0
        assert found.mean_difference == 0


def corrected(summary: xr.DataTree, experiment: str, statistic: str, metric: str) -> xr.Dataset:
    """One statistic of a summary in the corrected convention."""
    return summary[experiment].to_dataset().sel(convention="corrected", statistic=statistic, metric=metric)
