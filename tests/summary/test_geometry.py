import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.resampling import Resampling
from plateaulens.store.reading import sample_ranges
from plateaulens.summary import geometry as module
from plateaulens.summary.geometry import geometry_dataset, target_geometry


@pytest.fixture
def activations(run: xr.DataTree) -> xr.Dataset:
    """The activations with sample 3 unwritten."""
    activations = run["activations"].to_dataset().load().copy(deep=True)
    activations.base[3] = np.nan
    activations.target[:, 3] = np.nan
    return activations


def test_hand_computed() -> None:
    base = np.array([[1.0, 0.0], [0.0, 2.0]])
    target = np.array([[[0.0, 3.0], [0.0, -4.0]]])
    found = target_geometry(base, target, mean=np.array([4.0, 0.0]))
    np.testing.assert_allclose(found["target_norm"], [[3, 4]])
    np.testing.assert_allclose(found["path_length"], [[np.sqrt(10), 6]])
    np.testing.assert_allclose(found["cosine"], [[0, -1]])
    np.testing.assert_allclose(found["distance_from_mean"], [[5, np.sqrt(32)]])


def test_no_angle_with_nothing() -> None:
    found = target_geometry(np.ones((1, 2)), np.zeros((1, 1, 2)), mean=np.zeros(2))
    assert np.isnan(found["cosine"]).all()
    assert found["target_norm"] == 0


def test_path_lengths_are_those_of_the_experiment(run: xr.DataTree, resampling: Resampling) -> None:
    found = geometry_dataset(run["activations"].to_dataset(), resampling, confidence=0.95, reference="real")
    np.testing.assert_allclose(found.path_length, run["sensitivity"].path_length, rtol=1e-6)


def test_incomplete_samples_are_left_out(activations: xr.Dataset, resampling: Resampling) -> None:
    found = geometry_dataset(activations, resampling, confidence=0.95, reference="real")
    base, target = activations.base.values.astype(np.float64), activations.target.values.astype(np.float64)
    assert np.isnan(found.cosine[:, 3]).all()
    assert np.isnan(found.base_norm[3])
    assert np.isfinite(found.distance_from_mean.values).sum() == 3 * 19
    distance = np.linalg.norm(target - np.nanmean(base, axis=0), axis=-1)
    np.testing.assert_allclose(found.distance_from_mean, distance)
    np.testing.assert_allclose(found.distance_from_mean_mean, np.nanmean(distance, axis=1))
    assert (found.distance_from_mean_interval[:, 0] < found.distance_from_mean_mean).all()
    assert (found.distance_from_mean_interval[:, 1] > found.distance_from_mean_mean).all()


def test_nothing_complete(activations: xr.Dataset, resampling: Resampling) -> None:
    activations.base[:] = np.nan
    activations.target[:] = np.nan
    found = geometry_dataset(activations, resampling, confidence=0.95, reference="real")
    assert np.isnan(found.target_norm_mean).all()
    assert np.isnan(found.target_norm_interval).all()


def test_variables_are_described(activations: xr.Dataset, resampling: Resampling) -> None:
    found = geometry_dataset(activations, resampling, confidence=0.95, reference="real")
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()
    assert found.cosine.units == "1"
    assert found.target_norm_interval.units == "residual stream"


def test_reading_in_ranges_changes_nothing(
    activations: xr.Dataset, resampling: Resampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = geometry_dataset(activations, resampling, confidence=0.95, reference="real")
    monkeypatch.setattr(module, "sample_ranges", lambda samples: sample_ranges(samples, size=7))
    xr.testing.assert_identical(geometry_dataset(activations, resampling, confidence=0.95, reference="real"), whole)


def test_paths_are_compared_within_base_prompts(activations: xr.Dataset, resampling: Resampling) -> None:
    """Paths to isotropic are 8 % shorter on every base prompt, of very unequal length: their two intervals overlap."""
    spread = np.exp(np.linspace(-1.5, 1.5, 20))[:, np.newaxis]
    away = (activations.target[0] - activations.base).values
    away *= spread / np.linalg.norm(away, axis=-1, keepdims=True)
    activations["target"][0] = activations.base.values + away
    activations["target"][2] = activations.base.values + 0.92 * away
    found = geometry_dataset(activations, resampling, confidence=0.95, reference="real")
    own, real = (found.path_length_interval.sel(activation_type=name).values for name in ("isotropic", "real"))
    assert own[1] > real[0]
    np.testing.assert_allclose(found.path_ratio.sel(activation_type="isotropic"), 0.92, rtol=1e-4)
    assert found.path_relation.sel(activation_type="isotropic") == "shorter"
    assert found.path_relation.sel(activation_type="real") == "undecided"
    assert found.path_ratio_interval.sel(activation_type="real").values.tolist() == [1.0, 1.0]
    assert found.path_n_pairs.values.tolist() == [19, 19, 19]


def test_a_few_pairs_settle_no_length(activations: xr.Dataset, resampling: Resampling) -> None:
    activations["target"][2] = activations.base.values + 0.5 * (activations.target[0] - activations.base).values
    activations["target"][2, 5:] = np.nan
    found = geometry_dataset(activations, resampling, confidence=0.95, reference="real").sel(
        activation_type="isotropic"
    )
    assert found.path_n_pairs == 4
    assert found.path_ratio == pytest.approx(0.5, rel=1e-4)
    assert found.path_relation == "undecided"
