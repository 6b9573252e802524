import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling
from plateaulens.summary.steepness import steepness, steepness_dataset

RISES = arrays.arrays(np.float64, st.integers(2, 12), elements=st.floats(0, 10))


def experiment(curve: NDArray[np.float64]) -> xr.Dataset:
    """Of curves (type, sample, step) on one metric."""
    return xr.Dataset(
        {"curve": (("activation_type", "sample", "step", "metric"), curve[..., np.newaxis])},
        coords={"activation_type": ["real", "random"][: len(curve)], "metric": ["l2"]},
    )


def summarise(curve: NDArray[np.float64], resamples: int = 100, minimum_slope: float = 0.0) -> xr.Dataset:
    """Of curves (type, sample, step), the first type's being the reference."""
    resampling = Resampling.draw(np.random.default_rng(0), samples=curve.shape[1], resamples=resamples)
    return steepness_dataset(experiment(curve), resampling, 0.95, {"l2": minimum_slope}, reference="real")


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

    def test_noise_has_none(self) -> None:
        """A curve that counts as never blowing up: its steepest step, or its end, is no more than the minimum slope."""
        noise = 1e-6 * np.random.default_rng(0).normal(size=(50, 101)).cumsum(axis=-1)
        assert np.isfinite(steepness(noise)).any()
        assert np.isnan(steepness(noise, minimum_slope=0.02)).all()
        curve = np.array([[0.0, 0.02, 0.04], [0.0, 0.03, 0.04], [0.0, 0.03, 0.02]])
        np.testing.assert_allclose(steepness(curve, minimum_slope=0.02), [np.nan, 1.5, np.nan])

    def test_what_ends_nowhere_has_none(self) -> None:
        assert np.isnan(steepness(np.array([[0.0, 1.0, 0.0], [0.0, 1.0, np.nan], [0.0, np.nan, 1.0]]))).all()


class TestDataset:
    def test_the_mean_is_geometric_over_the_curves_that_have_one(self) -> None:
        found = summarise(np.array([[[0.0, 1.0, 2.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]]))
        np.testing.assert_allclose(found["steepness"].to_numpy().ravel(), [1.0, 2.0, np.nan])
        assert found["steepness_mean"].item() == pytest.approx(np.sqrt(2.0))

    def test_the_ratio_is_taken_within_base_prompts_that_have_both(self) -> None:
        real = [[0.0, 1.0, 2.0], [0.0, 0.5, 2.0], [0.0, 1.0, 2.0]]
        random = [[0.0, 0.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 0.0]]
        found = summarise(np.array([real, random]))
        np.testing.assert_allclose(found["steepness_ratio"].to_numpy(), [[1.0, np.sqrt(2.0 * 1.0 / 1.5)]])
        np.testing.assert_allclose(found["steepness_ratio_interval"].to_numpy()[:, 0], [[1.0, 1.0]])

    def test_the_interval_is_about_that_of_the_mean_logarithm(self) -> None:
        rng = np.random.default_rng(0)
        rise = np.cumsum(rng.exponential(size=(2, 400, 20)), axis=-1)
        found = summarise(np.concatenate([np.zeros((2, 400, 1)), rise], axis=-1), resamples=1000)
        logarithm = np.log(found["steepness"].to_numpy()[0])
        for name, each in (("mean", logarithm), ("ratio", logarithm - logarithm[0])):
            middle, error = each.mean(axis=1, keepdims=True), each.std(axis=1, keepdims=True) / 20
            expected = np.exp(middle + np.array([-1.96, 1.96]) * error)
            np.testing.assert_allclose(found[f"steepness_{name}_interval"].to_numpy()[0], expected, rtol=0.01)
        assert found["steepness_mean_interval"].attrs["confidence"] == 0.95

    def test_equal_curves_give_their_own_value(self) -> None:
        found = summarise(np.tile([0.0, 0.5, 2.0], (1, 8, 1)))
        np.testing.assert_allclose(found["steepness_mean_interval"].to_numpy().ravel(), [1.5, 1.5])

    def test_no_complete_curve_gives_nan(self) -> None:
        found = summarise(np.full((1, 4, 3), np.nan))
        assert np.isnan(found["steepness_mean"]).all()
        assert np.isnan(found["steepness_mean_interval"]).all()

    def test_a_type_whose_curves_are_noise_is_called_neither_steeper_nor_less_steep(self) -> None:
        """Curves of 1e-6 noise used to be "83.5 times steeper"; what blows up beside them is compared as before."""
        rng = np.random.default_rng(0)
        step = np.arange(101)
        real = 60 / (1 + np.exp(-(step - 50 - rng.normal(0, 3, (40, 1))) / 3))
        noise = 1e-6 * rng.normal(size=(40, 101))
        real, noise = real - real[:, :1], noise - noise[:, :1]
        unguarded = summarise(np.stack([real, noise]))
        assert unguarded["steepness_relation"].to_numpy()[0, 1] == "steeper"
        found = summarise(np.stack([real, noise]), minimum_slope=0.02)
        assert found["steepness_relation"].to_numpy()[0, 1] == "undefined"
        assert found["steepness_n"].to_numpy().tolist() == [[40, 0]]
        assert np.isnan(found["steepness_ratio"].to_numpy()[0, 1])
        half = np.where(np.arange(40)[:, np.newaxis] < 20, noise, 2 * real)
        kept = summarise(np.stack([real, half]), minimum_slope=0.02)
        assert kept["steepness_n_pairs"].to_numpy().tolist() == [[40, 20]]
        np.testing.assert_allclose(kept["steepness_ratio"].to_numpy(), [[1.0, 1.0]])
