"""The max-slope step between the steps of the grid, and how far it may be off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from plateaulens.steps.corrected import ROUNDING, max_slope, max_slope_error, steepest_point

STEPS = np.arange(101)
STATISTICS = {"steepest_point": steepest_point, "max_slope_error": max_slope_error}


def blowup(place: float, width: float = 4.0) -> NDArray[np.float64]:
    """A logistic curve that is steepest at `place`, counted as a step that is arrived at."""
    curve: NDArray[np.float64] = 30 * expit((STEPS - (place - 0.5)) / width)
    above: NDArray[np.float64] = curve - curve[0]
    return above


@given(st.floats(20, 80), st.floats(2.0, 8.0))
def test_it_is_nearer_to_the_truth_than_the_grid(place: float, width: float) -> None:
    """The rise to k is centred on k - 1/2, so a curve that is steepest at x - 1/2 has its max-slope step at x."""
    curve = blowup(place, width)
    assert abs(float(steepest_point(curve, 0.02).value) - place) < 0.02
    assert abs(float(steepest_point(curve, 0.02).value) - float(max_slope(curve, 0.02).value)) <= 0.5


@given(st.integers(0, 2**32 - 1), st.floats(20, 80))
def test_noise_moves_the_step_by_no_more_than_the_error_says(seed: int, place: float) -> None:
    """`noise` is by how much every value may be off, as a share of the largest."""
    rng = np.random.default_rng(seed)
    curve = blowup(place) + np.r_[0.0, np.cumsum(rng.random(100) * 0.05)]
    limit = float(max_slope_error(curve, 0.02).value)
    noisy = curve + ROUNDING * np.abs(curve).max() * rng.uniform(-1, 1, curve.shape)
    moved = abs(float(max_slope(noisy, 0.02).value) - float(max_slope(curve, 0.02).value))
    assert moved <= limit


def test_two_equal_jumps_are_an_error_of_their_distance() -> None:
    curve = blowup(30, 1.0) + blowup(70, 1.0)
    assert float(max_slope_error(curve, 0.02).value) == pytest.approx(40, abs=1)
    assert float(max_slope_error(blowup(30, 1.0), 0.02).value) < 0.5


@pytest.mark.parametrize("name", ["steepest_point", "max_slope_error"])
class TestAsMaxSlope:
    def test_censored_and_undefined_where_it_is(self, name: str) -> None:
        curves = np.stack([blowup(50.2), np.zeros(101), np.full(101, np.nan)])
        found, plain = STATISTICS[name](curves, 0.02), max_slope(curves, 0.02)
        assert np.array_equal(found.censored, plain.censored)
        assert np.array_equal(np.isnan(found.value), np.isnan(plain.value))

    def test_at_an_end_it_is_of_the_grid(self, name: str) -> None:
        expected = {"steepest_point": [1.0, 3.0], "max_slope_error": [0.5, 0.5]}[name]
        assert STATISTICS[name](np.array([[0.0, 5, 5.5, 5.8], [0.0, 0.1, 0.3, 5]]), 0.02).value.tolist() == expected
