import numpy as np
import pytest

from plateaulens.steps.curves import answer, as_curves, cumulative_area, straight_line, undefined


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_a_curve_with_one_hole_is_incomplete_and_its_points_are_zero(hole: float) -> None:
    curves = as_curves(np.array([[0, 1, 2], [0, hole, 2]], dtype=np.float32))
    assert curves.complete.tolist() == [True, False]
    assert curves.points.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert curves.points.dtype == np.float64
    assert curves.steps == 3


def test_answer_separates_found_censored_and_incomplete() -> None:
    curves = as_curves(np.array([[0, 1], [0, 1], [0, np.nan], [0, np.nan]]))
    happened = np.array([True, False, True, False])
    value, censored = answer(np.array([1, 1, 1, 1]), happened, curves)
    np.testing.assert_array_equal(value, [1, np.nan, np.nan, np.nan])
    assert censored.tolist() == [False, True, False, False]


def test_a_sentinel_stands_for_censored_curves_only() -> None:
    curves = as_curves(np.array([[0, 1], [0, 1], [0, np.nan]]))
    value, censored = answer(np.array([1, 1, 1]), np.array([True, False, False]), curves, sentinel=99)
    np.testing.assert_array_equal(value, [1, 99, np.nan])
    assert censored.tolist() == [False, True, False]


def test_undefined_is_nan_and_not_censored() -> None:
    value, censored = undefined(as_curves(np.zeros((2, 3, 4))))
    assert value.shape == censored.shape == (2, 3)
    assert np.isnan(value).all()
    assert not censored.any()


def test_the_line_goes_through_steps_0_and_9() -> None:
    points = np.zeros((1, 13))
    points[0, [0, 9]] = [1.0, 10.0]
    np.testing.assert_allclose(straight_line(points), [[11, 12, 13]])


def test_cumulative_area_is_the_trapezoid_rule_at_every_step() -> None:
    points = np.random.default_rng(0).normal(size=(3, 7))
    expected = [[np.trapezoid(row[: k + 1]) for k in range(7)] for row in points]
    np.testing.assert_allclose(cumulative_area(points), expected)
