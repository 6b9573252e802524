"""The authors' convention against a plain reading of their definitions, and where it parts from the corrected one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from plateaulens.steps import authors, corrected
from plateaulens.steps.curves import StepValues

CURVES = arrays.arrays(np.float64, 30, elements=st.integers(0, 60).map(float))


def pair(values: StepValues) -> tuple[float, bool]:
    return float(values.value), bool(values.censored)


def slow_max_slope(curve: list[float], window: int) -> int:
    best, found = 0.02, 99
    for k in range(1, min(window, len(curve))):
        rise = curve[k] - curve[k - 1]
        if rise > 0.02 and rise >= best:
            best, found = rise, k
    return found


def slow_first_nonlinearity(curve: list[float]) -> int:
    slope = (curve[9] - curve[0]) / 9
    for k in range(10, len(curve)):
        line = curve[0] + slope * k
        difference = abs(curve[k] - line)
        off = difference > 0.2 * line if line > 0 else line == 0 and difference > 0
        if off:
            return k - 1
    return len(curve)


def slow_auc_ratio(curve: list[float], window: int) -> int | None:
    best, found = -np.inf, None
    for last in range(5, min(window, len(curve)) - 1):
        area = sum((curve[k] + curve[k - 1]) / 2 for k in range(1, last + 1))
        value = 0.0 if area == 0 else curve[last] * (last + 1) / 2 / area
        if value > best:
            best, found = value, last
    return found


@given(CURVES, st.integers(0, 40))
def test_max_slope_reads_as_defined(curve: NDArray[np.float64], window: int) -> None:
    value, censored = authors.max_slope(curve, window)
    assert value == slow_max_slope(curve.tolist(), window)
    assert censored == (value == 99)


@given(CURVES)
def test_first_nonlinearity_reads_as_defined(curve: NDArray[np.float64]) -> None:
    curve[0] = 0  # as stored curves do; the slow version multiplies where the fast one divides
    curve[9] = 9 * (curve[9] // 9)
    value, censored = authors.first_nonlinearity(curve)
    assert value == slow_first_nonlinearity(curve.tolist())
    assert censored == (value == 30)


@given(CURVES, st.integers(0, 40))
def test_auc_ratio_reads_as_defined(curve: NDArray[np.float64], window: int) -> None:
    value, censored = authors.auc_ratio(curve, window)
    expected = slow_auc_ratio(curve.tolist(), window)
    assert censored == (expected is None)
    np.testing.assert_array_equal(value, np.nan if expected is None else expected)


def test_the_window_is_the_number_of_whole_steps_to_the_target() -> None:
    np.testing.assert_array_equal(authors.search_window([0.0, 0.49, 0.5, 10.3, np.nan], 0.5), [0, 0, 1, 20, 0])
    np.testing.assert_array_equal(authors.search_window([10.3, np.nan], None), [100, 100])
    np.testing.assert_array_equal(authors.search_window([3e38, 5e5], 0.5), [1_000_000, 1_000_000])


def test_one_window_for_each_curve() -> None:
    curve = np.zeros((2, 101))
    curve[:, 20:] = 1.0
    curve[:, 70:] = 900.0
    assert authors.max_slope(curve, [100, 50]).value.tolist() == [70, 20]
    assert authors.auc_ratio(curve, [100, 50]).value.tolist() == [70, 20]


class TestWhereTheConventionsDiffer:
    def test_a_rise_at_the_last_of_101_steps_is_outside_their_relative_window(self) -> None:
        curve = np.where(np.arange(101) >= 100, 60.0, 0.0)
        assert corrected.max_slope(curve, 0.02).value == 100
        assert pair(authors.max_slope(curve, authors.search_window(57.0, None))) == (99, True)

    def test_a_blow_up_beyond_the_target_is_outside_their_absolute_window(self) -> None:
        # 20 length units are 40 steps of 0.5; the curve blows up at 45
        curve = np.where(np.arange(101) >= 45, 60.0, 0.0)
        window = authors.search_window(20.0, 0.5)
        assert corrected.max_slope(curve, 0.02).value == 45
        assert pair(authors.max_slope(curve, window)) == (99, True)

    def test_ties_go_to_the_first_here_and_to_the_last_there(self) -> None:
        curve = [0, 3, 3, 6, 6]
        assert corrected.max_slope(curve, 0.02).value == 1
        assert authors.max_slope(curve, 100).value == 3

    def test_first_nonlinearity_is_one_step_earlier(self) -> None:
        curve = np.arange(20.0)
        curve[13:] = 100.0
        assert corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02).value == 13
        assert authors.first_nonlinearity(curve).value == 12

    def test_a_straight_line_gets_the_number_of_points(self) -> None:
        assert corrected.first_nonlinearity(np.arange(20.0), tolerance=0.2, floor=0.02).censored
        assert pair(authors.first_nonlinearity(np.arange(20.0))) == (20, True)

    def test_below_a_falling_line_nothing_counts(self) -> None:
        curve = np.where(np.arange(101) >= 40, 60.0, -1e-7)
        curve[0] = 0.0
        assert corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02).value == 40
        assert pair(authors.first_nonlinearity(curve)) == (101, True)

    def test_off_a_flat_line_any_noise_counts(self) -> None:
        curve = np.where(np.arange(101) >= 40, 60.0, 0.0)
        curve[12] = 1e-7
        assert corrected.first_nonlinearity(curve, tolerance=0.2, floor=0.02).value == 40
        assert authors.first_nonlinearity(curve).value == 11

    def test_the_wider_triangle_puts_a_straight_line_at_the_first_step(self) -> None:
        assert corrected.auc_ratio(np.arange(101.0), 0.02).censored
        assert authors.auc_ratio(np.arange(101.0), 100).value == 5

    def test_the_wider_triangle_can_move_the_answer(self) -> None:
        # ratios at 5 and 8: 1 and 34 / 32.25 = 1.05 on one base, 6 / 5 = 1.2 and 38.25 / 32.25 = 1.19 on theirs
        curve = np.arange(9.0)
        curve[8] = 8.5
        assert corrected.auc_ratio(curve, 0.02).value == 8
        assert authors.auc_ratio(curve, 100).value == 5

    def test_their_plateau_that_does_not_end_is_100_steps_long(self) -> None:
        curve = np.minimum(np.arange(101.0), 19.0)
        assert corrected.plateau_length(curve, 20.0).censored
        assert pair(authors.plateau_length(curve)) == (100, True)
        assert pair(authors.plateau_length(np.arange(101.0))) == (20, False)

    def test_a_window_too_short_for_a_ratio_is_censored_without_a_value(self) -> None:
        curve = np.arange(101.0) ** 2
        assert authors.auc_ratio(curve, 7).value == 5
        value, censored = authors.auc_ratio(curve, 6)
        assert np.isnan(value)
        assert censored


@pytest.mark.parametrize(
    "values",
    [
        authors.max_slope(np.full(101, np.nan), 100),
        authors.first_nonlinearity(np.full(101, np.nan)),
        authors.auc_ratio(np.full(101, np.nan), 100),
        authors.plateau_length(np.full(101, np.nan)),
    ],
)
def test_incomplete_curves_get_no_sentinel(values: StepValues) -> None:
    value, censored = values
    assert np.isnan(value)
    assert not censored


def test_curves_too_short_for_a_line_are_undefined() -> None:
    value, censored = authors.first_nonlinearity(np.zeros(10))
    assert np.isnan(value)
    assert not censored
