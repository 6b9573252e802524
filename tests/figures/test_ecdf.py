"""Tests of plateaulens.figures.positions."""

import numpy as np
import pytest
import xarray as xr

from plateaulens.figures.positions import cumulative, positions, statistic_of, step_axis, window


def experiment(values: list[float], censored: list[bool], *, step_length: float | None = None) -> xr.Dataset:
    """A group of a summary with one statistic, metric and type, over steps 0 to 10."""
    dims = ("convention", "statistic", "metric", "activation_type", "sample")
    step = np.arange(11)
    axis = ("fraction", step / 10) if step_length is None else ("length", step * step_length)
    return xr.Dataset(
        {
            "step_value": (dims, np.reshape(values, (1, 1, 1, 1, -1))),
            "censored": (dims, np.reshape(censored, (1, 1, 1, 1, -1))),
        },
        coords={
            "convention": ["corrected"],
            "statistic": ["max_slope"],
            "metric": ["l2"],
            "activation_type": ["real"],
            "step": step,
            axis[0]: ("step", axis[1]),
        },
    )


def test_distribution_function_by_hand() -> None:
    x, y = cumulative(experiment([4, 2, 2, 9], [False] * 4), "max_slope", "l2", "real")
    np.testing.assert_array_equal(x, [0, 2, 2, 4, 9, 10])
    np.testing.assert_array_equal(y, [0, 0.25, 0.5, 0.75, 1, 1])


def test_censored_samples_keep_the_function_below_one() -> None:
    x, y = cumulative(experiment([4, np.nan, 2, 10], [False, True, False, True]), "max_slope", "l2", "real")
    np.testing.assert_array_equal(x, [0, 2, 4, 10])
    np.testing.assert_array_equal(y, [0, 0.25, 0.5, 0.5])


def test_samples_without_the_statistic_do_not_count() -> None:
    observed, censored = statistic_of(experiment([3, np.nan, np.nan], [False, False, True]), "max_slope", "l2", "real")
    np.testing.assert_array_equal(observed, [3])
    assert censored == 1


def test_nothing_observed_is_a_line_at_zero() -> None:
    x, y = cumulative(experiment([np.nan, np.nan], [True, True]), "max_slope", "l2", "real")
    np.testing.assert_array_equal(x, [0, 10])
    np.testing.assert_array_equal(y, [0, 0])


def test_relative_steps_stay_steps() -> None:
    relative = experiment([4], [False])
    np.testing.assert_array_equal(positions(relative, np.array([0, 4, np.nan])), [0, 4, np.nan])
    assert window(relative) == (0, 10)
    assert "target" in step_axis(relative)


def test_fixed_steps_become_activation_units() -> None:
    absolute = experiment([4], [False], step_length=0.5)
    np.testing.assert_allclose(positions(absolute, np.array([4, 4.5])), [2, 2.25])
    assert window(absolute) == (0, 5)
    assert step_axis(absolute) == "path length (activation units)"
    x, _ = cumulative(absolute, "max_slope", "l2", "real")
    np.testing.assert_array_equal(x, [0, 2, 5])


def test_window_of_a_relative_path_names_its_last_step() -> None:
    assert step_axis(experiment([1], [False])) == "step (0 is the base, 10 the target)"


@pytest.mark.parametrize("step_length", [None, 0.5])
def test_distribution_function_never_falls(step_length: float | None) -> None:
    values = np.random.default_rng(0).integers(0, 11, 30).astype(float)
    x, y = cumulative(experiment(list(values), [False] * 30, step_length=step_length), "max_slope", "l2", "real")
    assert np.all(np.diff(x) >= 0)
    assert np.all(np.diff(y) >= 0)
    assert y[-1] == 1
