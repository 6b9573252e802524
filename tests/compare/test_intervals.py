import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats

from plateaulens.compare.intervals import (
    bca_interval,
    degenerate,
    order_interval,
    order_quantile,
    studentised_interval,
    studentised_log_interval,
    wilson_interval,
)
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio

Estimates = tuple[NDArray[np.float64], NDArray[np.float64]]


def mean_estimates(values: NDArray[np.float64], resampling: Resampling) -> Estimates:
    """The mean of the sample and of each row, and its standard error."""
    n = resampling.sums(np.ones_like(values))
    mean = ratio(resampling.sums(values), n)
    variance = ratio(resampling.sums(values**2), n) - mean**2
    return mean, np.sqrt(np.maximum(variance, 0) / np.maximum(n - 1, 1))


@pytest.fixture
def values() -> NDArray[np.float64]:
    return np.random.default_rng(0).exponential(10, 40)


@pytest.fixture
def resampling() -> Resampling:
    return Resampling.draw(np.random.default_rng(1), samples=40, resamples=999)


class TestBca:
    def test_equals_scipy_from_the_same_draws(self, values: NDArray[np.float64]) -> None:
        theirs = stats.bootstrap((values,), np.mean, n_resamples=999, method="BCa", rng=np.random.default_rng(2))
        estimates = np.append(values.mean(), theirs.bootstrap_distribution)
        resampling = Resampling.draw(np.random.default_rng(0), samples=40, resamples=1)
        jackknife, _ = mean_estimates(values, resampling.jackknife)
        low, high = bca_interval(estimates, jackknife, 0.95)
        assert low == pytest.approx(theirs.confidence_interval.low, abs=1e-9)
        assert high == pytest.approx(theirs.confidence_interval.high, abs=1e-9)

    def test_a_symmetric_case_is_the_percentile_interval(self) -> None:
        """No bias and no acceleration."""
        draws = np.arange(-100.0, 101.0)
        estimates, jackknife = np.append(0.0, draws), np.array([0.0, -1.0, 0.0, 1.0])
        np.testing.assert_allclose(bca_interval(estimates, jackknife, 0.9), percentile_interval(draws, 0.9))

    def test_groups_give_the_acceleration_of_single_prompts(self) -> None:
        values = np.random.default_rng(0).exponential(10, 4000)
        resampling = Resampling.draw(np.random.default_rng(1), samples=4000, resamples=400)
        estimates, _ = mean_estimates(values, resampling)
        grouped, _ = mean_estimates(values, resampling.jackknife)
        assert len(grouped) == 513
        single = np.append(values.mean(), (values.sum() - values) / 3999)
        np.testing.assert_allclose(
            bca_interval(estimates, grouped, 0.95), bca_interval(estimates, single, 0.95), atol=0.03
        )

    @given(
        arrays.arrays(np.float64, 25, elements=st.integers(-50, 50).map(float)), st.integers(1, 5), st.integers(-9, 9)
    )
    def test_follows_affine_maps(self, values: NDArray[np.float64], scale: int, shift: int) -> None:
        resampling = Resampling.draw(np.random.default_rng(1), samples=25, resamples=60)
        intervals = []
        for mapped in (values, scale * values + shift):
            (estimates, errors), (jackknife, _) = (
                mean_estimates(mapped, rows) for rows in (resampling, resampling.jackknife)
            )
            bca = bca_interval(estimates, jackknife, 0.9)
            intervals.append([bca, studentised_interval(estimates, errors, 0.9, fallback=bca)])
        np.testing.assert_allclose(intervals[1], scale * np.array(intervals[0]) + shift, atol=1e-6)


class TestStudentised:
    def test_by_hand(self) -> None:
        # t = -1, 0, 1, 2, 3 in some order; the 50 % interval takes those at places 1 and 3 of 0..4
        estimates = np.array([10.0, 9.0, 10.0, 11.0, 14.0, 16.0])
        errors = np.array([0.5, 1.0, 1.0, 1.0, 2.0, 2.0])
        interval = studentised_interval(estimates, errors, 0.5, fallback=np.zeros(2))
        np.testing.assert_allclose(interval, [10 - 2 * 0.5, 10 - 0 * 0.5])

    def test_close_to_student_for_normal_data(self) -> None:
        values = np.random.default_rng(3).normal(50, 10, 30)
        resampling = Resampling.draw(np.random.default_rng(1), samples=30, resamples=4000)
        estimates, errors = mean_estimates(values, resampling)
        low, high = studentised_interval(estimates, errors, 0.95, fallback=np.zeros(2))
        expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
        np.testing.assert_allclose([low, high], expected, atol=0.6)

    def test_resamples_without_spread_leave_it_to_the_fallback(self) -> None:
        estimates, errors = np.array([1.0, 0.0, 0.0, 2.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0, 1.0])
        interval = studentised_interval(estimates, errors, 0.9, fallback=np.array([-7.0, 7.0]))
        np.testing.assert_array_equal(interval, [-7, 7])


class TestStudentisedLogarithm:
    def test_is_the_studentised_interval_taken_back(self) -> None:
        estimates, errors = np.array([10.0, 8.0, 9.0, 11.0, 14.0]), np.array([1.0, 0.7, 1.2, 1.1, 1.6])
        logarithms = studentised_interval(np.log(estimates), errors / estimates, 0.8, fallback=np.zeros(2))
        found = studentised_log_interval(estimates, errors, 0.8, fallback=np.zeros(2))
        np.testing.assert_allclose(found, np.exp(logarithms))

    def test_nothing_to_take_the_logarithm_of(self) -> None:
        fallback = np.array([0.0, 3.0])
        point = studentised_log_interval(np.array([0.0, 0.0, 1.0]), np.zeros(3), 0.8, fallback=fallback)
        np.testing.assert_array_equal(point, fallback)
        draws = studentised_log_interval(np.array([1.0, 0.0, 1.0, 2.0]), np.full(4, 0.5), 0.8, fallback=fallback)
        np.testing.assert_array_equal(draws, fallback)


class TestOrder:
    def test_bounds_are_draws_and_may_be_infinite(self) -> None:
        estimates = np.array([5.0, 1.0, 2.0, np.nan, np.inf, 9.0])
        np.testing.assert_array_equal(order_interval(estimates, 0.9), [1, np.inf])

    @given(arrays.arrays(np.float64, st.integers(1, 30), elements=st.integers(-9, 9).map(float)))
    def test_no_narrower_than_the_interpolated_one(self, draws: NDArray[np.float64]) -> None:
        low, high = order_interval(np.append(0.0, draws), 0.8)
        assert {low, high} <= set(draws.tolist())
        inner = percentile_interval(draws, 0.8)
        assert low <= inner[0] + 1e-9
        assert high >= inner[1] - 1e-9

    def test_without_a_draw_there_is_no_quantile(self) -> None:
        assert np.isnan(order_quantile(np.array([np.nan, np.nan]), 0.5))


class TestWilson:
    def test_by_hand(self) -> None:
        # (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.96, p = 0.1, n = 50
        interval = wilson_interval(np.array([5]), np.array([50]), 0.95)
        np.testing.assert_allclose(interval, [[0.0435, 0.2136]], atol=1e-4)

    def test_none_and_all_still_leave_something_open(self) -> None:
        (none, all_, nothing) = wilson_interval(np.array([0, 50, 0]), np.array([50, 50, 0]), 0.95)
        np.testing.assert_allclose(none, 1 - all_[::-1], atol=1e-12)
        assert none[0] == pytest.approx(0, abs=1e-12)
        assert 0.05 < none[1] < 0.09
        assert np.isnan(nothing).all()


class TestDegenerate:
    def test_constant_draws_give_the_point(self) -> None:
        estimates, errors = np.full(9, 4.0), np.zeros(9)
        bca = bca_interval(estimates, estimates, 0.95)
        np.testing.assert_array_equal(bca, [4, 4])
        np.testing.assert_array_equal(studentised_interval(estimates, errors, 0.95, fallback=bca), [4, 4])

    def test_no_point_no_interval(self) -> None:
        nothing = np.full(9, np.nan)
        assert np.isnan(bca_interval(nothing, nothing, 0.95)).all()
        assert np.isnan(studentised_interval(nothing, nothing, 0.95, fallback=np.full(2, np.nan))).all()
        assert np.isnan(order_interval(nothing, 0.95)).all()

    def test_the_flag(self) -> None:
        found = degenerate(np.array([300, 300, 5, 0]), np.array([1.0, 0.0, 1.0, np.nan]))
        assert found.tolist() == [False, True, True, True]
