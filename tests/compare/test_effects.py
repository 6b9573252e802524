import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats

from plateaulens.compare.distances import distribution_functions
from plateaulens.compare.effects import (
    cliffs_delta,
    paired_delta,
    prediction_interval,
    quantile_shift,
    quantiles,
    step_widths,
    wasserstein,
    weighted_median,
)

STEPS = arrays.arrays(np.float64, st.integers(1, 30), elements=st.sampled_from([0.0, 1, 2, 3, 5, 8, np.inf]))
FINITE = arrays.arrays(np.float64, st.integers(1, 30), elements=st.integers(0, 100).map(float))


def functions(*samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distribution functions (sample, bins) over the values that occur, and those values."""
    support = np.unique(np.concatenate(samples))
    histograms = np.array([(sample[:, np.newaxis] == support).sum(axis=0) for sample in samples])
    return distribution_functions(histograms.astype(float)), support


class TestWasserstein:
    @given(FINITE, FINITE)
    def test_equals_scipy_without_censoring(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        (f, g), support = functions(first, second)
        expected = stats.wasserstein_distance(first, second)
        assert wasserstein(f - g, step_widths(support, 100)) == pytest.approx(expected, abs=1e-9)

    @given(STEPS, STEPS)
    def test_with_censoring_it_is_that_of_steps_cut_at_the_end(
        self, first: NDArray[np.float64], second: NDArray[np.float64]
    ) -> None:
        (f, g), support = functions(first, second)
        expected = stats.wasserstein_distance(np.minimum(first, 20), np.minimum(second, 20))
        assert wasserstein(f - g, step_widths(support, 20)) == pytest.approx(expected, abs=1e-9)

    def test_a_sentinel_may_lie_beyond_the_window(self) -> None:
        np.testing.assert_array_equal(step_widths(np.array([99.0, 101.0]), 100), [2, 0])


class TestCliffsDelta:
    @given(STEPS, STEPS)
    def test_is_the_share_of_later_pairs_minus_that_of_earlier_ones(
        self, first: NDArray[np.float64], second: NDArray[np.float64]
    ) -> None:
        (f, g), _ = functions(first, second)
        later, earlier = first[:, np.newaxis] > second, first[:, np.newaxis] < second
        assert cliffs_delta(f, g) == pytest.approx(later.mean() - earlier.mean(), abs=1e-12)

    @given(STEPS, STEPS)
    def test_antisymmetric_and_0_against_itself(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        (f, g), _ = functions(first, second)
        assert cliffs_delta(f, g) == pytest.approx(-cliffs_delta(g, f), abs=1e-12)
        assert cliffs_delta(f, f) == pytest.approx(0, abs=1e-12)

    @given(FINITE, FINITE)
    def test_is_that_of_the_mann_whitney_statistic(
        self, first: NDArray[np.float64], second: NDArray[np.float64]
    ) -> None:
        (f, g), _ = functions(first, second)
        u = stats.mannwhitneyu(first, second, method="asymptotic").statistic if np.ptp([*first, *second]) else None
        if u is not None:
            assert cliffs_delta(f, g) == pytest.approx(2 * u / (first.size * second.size) - 1, abs=1e-9)


class TestQuantiles:
    @given(STEPS, st.floats(0.01, 0.99))
    def test_are_those_of_the_inverse_distribution_function(self, sample: NDArray[np.float64], p: float) -> None:
        (f,), support = functions(sample)
        expected = np.sort(sample)[int(np.ceil(p * sample.size - 1e-9)) - 1]
        assert quantiles(f, support, np.array([p]))[0] == expected

    def test_an_empty_distribution_has_none(self) -> None:
        assert np.isnan(quantiles(np.full(3, np.nan), np.arange(3.0), np.array([0.1, 0.5]))).all()

    def test_shift_is_undefined_only_where_both_are_censored(self) -> None:
        shift = quantile_shift(np.array([5.0, np.inf, np.inf, 7.0]), np.array([3.0, 3.0, np.inf, np.inf]))
        np.testing.assert_array_equal(shift, [2, np.inf, np.nan, -np.inf])


class TestPairedDifferences:
    @given(arrays.arrays(np.float64, st.integers(1, 30), elements=st.integers(-4, 4).map(float)))
    def test_median_and_delta_are_those_of_the_sample(self, sample: NDArray[np.float64]) -> None:
        support = np.arange(-4.0, 5.0)
        histogram = (sample[:, np.newaxis] == support).sum(axis=0).astype(float)
        assert weighted_median(histogram, support) == np.median(sample)
        assert paired_delta(histogram, support) == pytest.approx(np.sign(sample).mean())

    def test_censored_ones_are_at_infinity(self) -> None:
        support = np.array([-np.inf, 0, 3, np.inf])
        histograms = np.array([[0.0, 1, 0, 2], [2, 1, 0, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
        median = weighted_median(histograms, support)
        np.testing.assert_array_equal(median, [np.inf, -np.inf, np.nan, 1.5, np.inf, np.nan])
        np.testing.assert_allclose(paired_delta(histograms, support), [2 / 3, -2 / 3, 0, 0.5, 1, np.nan])


class TestPrediction:
    def test_the_order_statistics(self) -> None:
        """Of 99 values at 90 %: 2 r / 100 <= 0.1, so the 5th and the 95th."""
        np.testing.assert_array_equal(prediction_interval(np.ones(99), np.arange(1.0, 100.0), 0.9), [5, 95])

    def test_a_censored_bound_is_infinite(self) -> None:
        low, high = prediction_interval(np.array([30.0, 10.0, 20.0]), np.array([3.0, 7.0, np.inf]), 0.9)
        assert (low, high) == (3, np.inf)

    def test_without_observations_there_is_none(self) -> None:
        assert np.isnan(prediction_interval(np.zeros(2), np.array([3.0, 7.0]), 0.9)).all()

    @given(st.integers(20, 60), st.sampled_from([0.8, 0.9]))
    def test_each_value_is_predicted_by_the_others_as_often_as_promised(self, n: int, confidence: float) -> None:
        """Exchangeable values: leave each one out of n + 1 in turn, and at least that share lies within."""
        values = np.random.default_rng(n).integers(0, 30, n + 1).astype(np.float64)
        held = 0
        for place, value in enumerate(values):
            support, counts = np.unique(np.delete(values, place), return_counts=True)
            low, high = prediction_interval(counts.astype(np.float64), support, confidence)
            held += low <= value <= high
        assert held >= confidence * (n + 1) - 1e-9
