import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.resampling import Resampling
from plateaulens.store.reading import sample_ranges
from plateaulens.summary import curves as module
from plateaulens.summary.curves import curve_dataset


@pytest.fixture
def experiment(run: xr.DataTree) -> xr.Dataset:
    """`plateau` with one incomplete curve, and no complete one of the type `isotropic`."""
    experiment = run["plateau"].to_dataset().load().copy(deep=True)
    experiment.curve[1, 4, 60:, 1] = np.nan
    experiment.curve[2, :, 100] = np.nan
    return experiment


def test_means_are_over_complete_curves(experiment: xr.Dataset, resampling: Resampling) -> None:
    found = curve_dataset(experiment, resampling, confidence=0.9)
    curve = experiment.curve.values.astype(np.float64)
    np.testing.assert_allclose(found.curve_mean[0], curve[0].mean(axis=0))
    np.testing.assert_allclose(found.curve_mean[1, :, 1], np.delete(curve[1, ..., 1], 4, axis=0).mean(axis=0))
    np.testing.assert_allclose(found.curve_mean[1, :, 0], curve[1, ..., 0].mean(axis=0))
    assert np.isnan(found.curve_mean[2]).all()
    assert np.isnan(found.curve_interval[2]).all()


def test_intervals_resample_whole_curves(experiment: xr.Dataset, resampling: Resampling) -> None:
    found = curve_dataset(experiment, resampling, confidence=0.9)
    curve = experiment.curve.values[0, ..., 2].astype(np.float64)
    draws = [np.average(curve, axis=0, weights=counts) for counts in resampling.of_prompts[1:]]
    np.testing.assert_allclose(found.curve_interval[0, :, 2], np.quantile(draws, [0.05, 0.95], axis=0).T, atol=1e-12)
    assert found.curve_interval.dims == ("activation_type", "step", "metric", "bound")
    assert found.curve_interval.attrs["confidence"] == 0.9


def test_reading_in_ranges_changes_nothing(
    experiment: xr.Dataset, resampling: Resampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = curve_dataset(experiment, resampling, confidence=0.9)
    monkeypatch.setattr(module, "sample_ranges", lambda samples: sample_ranges(samples, size=7))
    xr.testing.assert_allclose(curve_dataset(experiment, resampling, confidence=0.9), whole)
