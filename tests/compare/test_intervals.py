import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats

from plateaulens.compare.intervals import (
    bca_interval,
    covering,
    degenerate,
    effective_number,
    exact_interval,
    mean_interval,
    order_interval,
    order_quantile,
    rare_reach,
    simultaneous_interval,
    studentised_interval,
    widened,
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


class TestMean:
    def test_is_of_the_values_that_are_there_and_holds_the_studentised_interval_and_students(
        self, values: NDArray[np.float64], resampling: Resampling
    ) -> None:
        there = np.arange(40) >= 15
        kept = np.where(there, values, 0.0)
        n = resampling.sums(there)
        mean = resampling.sums(kept) / n
        error = np.sqrt((resampling.sums(kept**2) / n - mean**2) / (n - 1))
        found = mean_interval(kept[np.newaxis], there[np.newaxis], resampling, 0.9)
        np.testing.assert_allclose(found.estimate, [values[15:].mean()])
        expected = studentised_interval(mean, error, 0.9, fallback=np.zeros(2))
        students = stats.ttest_1samp(values[15:], 0).confidence_interval(0.9)
        ends = [min(expected[0], students.low), max(expected[1], students.high)]
        np.testing.assert_allclose(found.interval, [ends])

    def test_equal_values_leave_no_error_and_none_no_mean(self, resampling: Resampling) -> None:
        values = np.array([np.full(40, 0.1), np.zeros(40)])
        found = mean_interval(values, np.array([[True] * 40, [False] * 40]), resampling, 0.95)
        np.testing.assert_allclose(found.interval[0], [0.1, 0.1])
        assert np.isnan([found.estimate[1], *found.interval[1]]).all()


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


class TestExact:
    def test_is_that_of_the_binomial_test(self) -> None:
        expected = stats.binomtest(3, 50).proportion_ci(0.95, method="exact")
        np.testing.assert_allclose(exact_interval(np.array(3.0), np.array(50.0), 0.95), [expected.low, expected.high])

    @pytest.mark.parametrize("share", [0.0002, 0.01, 0.3])
    def test_covers_whatever_the_share(self, share: float) -> None:
        """The coverage itself: binomial probabilities of the counts whose interval holds the share."""
        counts = np.arange(301.0)
        ends = exact_interval(counts, np.full(301, 300.0), 0.95)
        held = (ends[:, 0] <= share) & (share <= ends[:, 1])
        assert stats.binom.pmf(counts, 300, share)[held].sum() >= 0.95

    def test_none_all_and_nothing(self) -> None:
        found = exact_interval(np.array([0.0, 5.0, 0.0]), np.array([5.0, 5.0, 0.0]), 0.95)
        assert (found[0, 0], found[1, 1]) == (0, 1)
        assert np.isnan(found[2]).all()


class TestRare:
    def test_none_of_n_may_be_as_many_as_wilson_has_it(self) -> None:
        z = stats.norm.ppf(0.975)
        assert rare_reach(np.array(0), np.array(40), 0.95) == pytest.approx(z**2 / (40 + z**2))

    def test_reaches_to_the_farther_end(self) -> None:
        (low, high) = wilson_interval(np.array(3), np.array(100), 0.95)
        assert rare_reach(np.array(3), np.array(100), 0.95) == pytest.approx(max(0.03 - low, high - 0.03))

    def test_enough_is_left_to_the_bootstrap(self) -> None:
        np.testing.assert_array_equal(rare_reach(np.array([10, 99]), np.array([100, 100]), 0.95), 0)

    def test_without_pairs_there_is_no_share(self) -> None:
        assert rare_reach(np.array(0), np.array(0), 0.95) == 0

    def test_an_interval_is_only_ever_widened(self) -> None:
        point, interval = np.array([1.0, 1.0, np.nan]), np.array([[0.0, 1.0], [0.0, 3.0], [np.nan, np.nan]])
        found = widened(point, interval, np.array([0.5, 0.0, 0.5]))
        np.testing.assert_array_equal(found, [[0.0, 1.5], [0.0, 3.0], [np.nan, np.nan]])


class TestSimultaneous:
    def test_one_estimate_has_the_quantile_of_its_own_error(self) -> None:
        draws = np.random.default_rng(0).normal(3, 2, (4000, 1))
        interval = simultaneous_interval(np.concatenate([[[3.0]], draws]), 0.95)[0]
        np.testing.assert_allclose(interval, 3 + np.array([-1, 1]) * np.quantile(np.abs(draws - 3), 0.95))

    def test_independent_ones_are_those_of_sidak_and_equal_ones_of_one(self) -> None:
        rng = np.random.default_rng(0)
        for draws, expected in (
            (rng.normal(0, [1, 5, 9], (40_000, 3)), stats.norm.ppf((1 + 0.95 ** (1 / 3)) / 2)),
            (rng.normal(size=(40_000, 1)) * [1, 5, 9], stats.norm.ppf(0.975)),
        ):
            interval = simultaneous_interval(np.concatenate([np.zeros((1, 3)), draws]), 0.95)
            np.testing.assert_allclose(interval[:, 1], expected * np.array([1, 5, 9]), rtol=0.02)

    def test_what_is_not_there_takes_no_part(self) -> None:
        draws = np.array([[1.0, np.nan, 2.0], [0.0, np.nan, 2.0], [2.0, np.nan, 2.0]])
        interval = simultaneous_interval(draws, 0.9)
        assert np.isnan(interval[1]).all()
        np.testing.assert_array_equal(interval[2], [2, 2])
        assert interval[0, 0] < 1 < interval[0, 1]

    def test_one_that_covers_another_holds_both_and_is_nothing_where_it_was(self) -> None:
        interval = np.array([[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0], [np.nan, np.nan]])
        other = np.array([[-2.0, 0.5], [-0.5, 0.5], [np.nan, np.nan], [0.0, 0.0]])
        expected = [[-2, 1], [-1, 1], [-1, 1], [np.nan, np.nan]]
        np.testing.assert_array_equal(covering(interval, other), expected)


class TestEffectiveNumber:
    def test_groups_of_copies_are_worth_their_number(self) -> None:
        """100 prompts in 25 groups of four equal ones: the variance of a share is four times as large."""
        rng = np.random.default_rng(0)
        draws = rng.binomial(25, 0.4, 20_000) / 25
        found = effective_number(np.array(0.4), draws, np.array(100), 25)
        assert found == pytest.approx(25, rel=0.05)

    def test_independent_prompts_keep_theirs(self) -> None:
        draws = np.random.default_rng(0).binomial(100, 0.4, 20_000) / 100
        assert effective_number(np.array(0.4), draws, np.array(100), 100) == pytest.approx(100, rel=0.05)

    def test_where_resamples_do_not_vary_the_groups_are_what_is_left(self) -> None:
        np.testing.assert_array_equal(effective_number(np.zeros(2), np.zeros((9, 2)), np.array([100, 8]), 25), [25, 8])


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
        found = degenerate(np.array([20, 300, 19, 0]), np.array([1.0, 0.0, 1.0, np.nan]))
        assert found.tolist() == [False, True, True, True]
