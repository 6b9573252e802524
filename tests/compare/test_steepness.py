import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling
from plateaulens.compare.steepness import steepness, steepness_dataset

RISES = arrays.arrays(np.float64, st.integers(2, 12), elements=st.floats(0, 10))


def experiment(curve: NDArray[np.float64]) -> xr.Dataset:
    """Of curves (sample, step): one type, one metric."""
    return xr.Dataset(
        {"curve": (("activation_type", "sample", "step", "metric"), curve[np.newaxis, ..., np.newaxis])},
        coords={"activation_type": ["real"], "metric": ["l2"]},
    )


class TestSteepness:
    @given(RISES, st.floats(0.01, 100))
    def test_it_has_no_scale_and_is_least_for_a_straight_line(self, rise: NDArray[np.float64], scale: float) -> None:
        """K max_k (y_k - y_{k-1}) / y_K."""
        curve = np.concatenate([[0.0], np.cumsum(rise + 0.01)])
        found = steepness(curve)
        assert found == pytest.approx(len(rise) * np.diff(curve).max() / curve[-1])
        assert found == pytest.approx(steepness(scale * curve))
        assert found >= 1 - 1e-9

    def test_a_jump_is_as_steep_as_a_path_has_steps(self) -> None:
        assert steepness(np.array([0.0, 0.0, 0.0, 7.0, 7.0])) == 4

    def test_what_ends_nowhere_has_none(self) -> None:
        assert np.isnan(steepness(np.array([[0.0, 1.0, 0.0], [0.0, 1.0, np.nan], [0.0, np.nan, 1.0]]))).all()


class TestDataset:
    def test_the_mean_is_geometric_over_the_curves_that_have_one(self) -> None:
        curve = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
        resampling = Resampling.draw(np.random.default_rng(0), samples=3, resamples=100)
        found = steepness_dataset(experiment(curve), resampling, 0.95)
        np.testing.assert_allclose(found["steepness"].to_numpy().ravel(), [1.0, 2.0, np.nan])
        assert found["steepness_mean"].item() == pytest.approx(np.sqrt(2.0))

    def test_the_interval_is_about_that_of_the_mean_logarithm(self) -> None:
        rng = np.random.default_rng(0)
        curve = np.concatenate([np.zeros((400, 1)), np.cumsum(rng.exponential(size=(400, 20)), axis=1)], axis=1)
        resampling = Resampling.draw(rng, samples=400, resamples=1000)
        found = steepness_dataset(experiment(curve), resampling, 0.95)
        logarithm = np.log(found["steepness"].to_numpy().ravel())
        expected = np.exp(logarithm.mean() + np.array([-1.96, 1.96]) * logarithm.std() / 20)
        np.testing.assert_allclose(found["steepness_interval"].to_numpy().ravel(), expected, rtol=0.01)
        assert found["steepness_interval"].attrs["confidence"] == 0.95

    def test_equal_curves_give_their_own_value(self) -> None:
        curve = np.tile([0.0, 0.5, 2.0], (8, 1))
        resampling = Resampling.draw(np.random.default_rng(0), samples=8, resamples=50)
        found = steepness_dataset(experiment(curve), resampling, 0.95)
        np.testing.assert_allclose(found["steepness_interval"].to_numpy().ravel(), [1.5, 1.5])

    def test_no_complete_curve_gives_nan(self) -> None:
        resampling = Resampling.draw(np.random.default_rng(0), samples=4, resamples=50)
        found = steepness_dataset(experiment(np.full((4, 3), np.nan)), resampling, 0.95)
        assert np.isnan(found["steepness_mean"]).all()
        assert np.isnan(found["steepness_interval"]).all()
