import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import ArrayLike, NDArray
from tests.distance import ks_distance

from plateaulens.compare.distances import distance_interval, distances, distribution_functions
from plateaulens.compare.distributions import Observations
from plateaulens.compare.resampling import Resampling

TIED = arrays.arrays(np.float64, st.integers(1, 40), elements=st.integers(0, 8).map(float))
UNTIED = arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3), unique=True)


def distance(first: ArrayLike, second: ArrayLike) -> float:
    """As a comparison has it, infinity standing for a censored observation and NaN for an undefined one."""
    samples = [np.asarray(sample, dtype=np.float64) for sample in (first, second)]
    value = np.full((2, max(sample.size for sample in samples)), np.nan)
    for row, sample in zip(value, samples, strict=True):
        row[: sample.size] = sample
    censored = np.isinf(value)
    observations = Observations(np.where(censored, np.nan, value), censored, reference=1)
    itself = Resampling.draw(np.random.default_rng(0), samples=value.shape[1], resamples=0)
    own, reference = observations.weigh(itself).functions[0]
    return float(distances(own - reference))


class TestDistance:
    """sup |F - G|: scipy.stats.ks_2samp's statistic, ties included."""

    @given(TIED, TIED)
    def test_equals_scipy_with_ties(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        assert distance(first, second) == pytest.approx(ks_distance(first, second), abs=1e-12)

    @given(UNTIED, UNTIED)
    def test_equals_scipy_without_ties(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        assert distance(first, second) == pytest.approx(ks_distance(first, second), abs=1e-12)

    @given(TIED, TIED)
    def test_symmetric_and_between_0_and_1(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        assert distance(first, second) == distance(second, first)
        assert 0 <= distance(first, second) <= 1
        assert distance(first, first) == 0

    @given(TIED, TIED)
    def test_a_monotone_transform_changes_nothing(
        self, first: NDArray[np.float64], second: NDArray[np.float64]
    ) -> None:
        assert distance(np.exp(first), np.exp(second)) == distance(first, second)

    @given(TIED, TIED, TIED)
    def test_triangle_inequality(
        self, first: NDArray[np.float64], second: NDArray[np.float64], third: NDArray[np.float64]
    ) -> None:
        direct = distance(first, third)
        assert direct <= distance(first, second) + distance(second, third) + 1e-12

    def test_hand_computed(self) -> None:
        # at 2: 2/4 against 0; at 3: 3/4 against 1/2
        assert distance([1, 2, 3, 4], [3, 5]) == 0.5

    def test_censored_observations_are_later_than_every_step(self) -> None:
        assert distance([1, 2, np.inf, np.inf], [1, 2, 3, 4]) == 0.5
        assert distance([np.inf], [np.inf]) == 0
        assert distance([np.inf], [100.0]) == 1

    def test_undefined_observations_are_left_out(self) -> None:
        assert distance([1, 2, np.nan], [1, 2]) == 0
        assert np.isnan(distance([np.nan], [1, 2]))


def test_distribution_functions_of_histograms() -> None:
    np.testing.assert_allclose(
        distribution_functions(np.array([[1.0, 0, 3], [0, 0, 0]])), [[0.25, 0.25, 1], [np.nan] * 3]
    )


class TestDistanceInterval:
    def test_hand_computed(self) -> None:
        # sample: 0.4; the resamples' errors are 0.1 and 0.3, so the 50 % quantile of the error is 0.2
        differences = np.array([[0.4, 0.0, 0.0], [0.3, 0.0, 0.0], [0.5, -0.3, 0.0]])
        np.testing.assert_allclose(distance_interval(differences, confidence=0.5), [0.2, 0.6])

    def test_cut_at_0(self) -> None:
        np.testing.assert_allclose(distance_interval(np.array([[0.1, 0], [0.4, 0]]), 0.95), [0, 0.4])

    def test_of_another_norm(self) -> None:
        interval = distance_interval(
            np.array([[1.0, 2.0], [1.5, 2.0]]), 0.95, norm=lambda difference: np.abs(difference).sum(axis=-1)
        )
        np.testing.assert_allclose(interval, [2.5, 3.5])

    def test_resamples_that_do_not_differ_give_the_point(self) -> None:
        np.testing.assert_array_equal(distance_interval(np.full((5, 3), 0.25), 0.95), [0.25, 0.25])

    def test_no_distance_no_interval(self) -> None:
        assert np.isnan(distance_interval(np.full((5, 3), np.nan), 0.95)).all()

    @pytest.mark.parametrize("shift", [0, 1, 6])
    def test_it_covers_the_true_distance_where_the_percentile_interval_need_not(self, shift: int) -> None:
        """Paired integer steps of 100 prompts; the band covers at least as often as it claims, at 0 too."""
        rng = np.random.default_rng(shift)
        truth = _functions(_steps(rng, 400_000, shift))
        true_distance = 0.0 if shift == 0 else float(distances(truth[0] - truth[1]))
        trials, band, percentile = 60, 0, 0
        for _ in range(trials):
            codes = _steps(rng, 100, shift)
            functions = distribution_functions(Resampling.draw(rng, samples=100, resamples=200).histograms(codes, 101))
            differences = functions[:, 0] - functions[:, 1]
            low, high = distance_interval(differences, 0.95)
            band += low <= true_distance <= high
            low, high = np.quantile(distances(differences[1:]), [0.025, 0.975])
            percentile += low <= true_distance <= high
        assert band >= 0.9 * trials
        if shift == 0:
            assert percentile == 0


def test_the_bootstrap_sees_part_of_the_bias() -> None:
    """Equal distributions: every distance is bias, and its draws lie higher still."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        functions = distribution_functions(
            Resampling.draw(rng, samples=80, resamples=100).histograms(_steps(rng, 80, 0), 101)
        )
        own = distances(functions[:, 0] - functions[:, 1])
        found.append([own[0], own[1:].mean() - own[0]])
    true_bias, seen = np.mean(found, axis=0)
    assert 0.2 * true_bias < seen < true_bias


def _steps(rng: np.random.Generator, samples: int, shift: int) -> NDArray[np.int_]:
    """Correlated pairs (samples, 2) of rounded normal steps, the second ones later by `shift`."""
    common, own = rng.standard_normal((samples, 1)), rng.standard_normal((samples, 2))
    return np.clip(np.rint(50 + 7 * (common + own) + [0, shift]), 0, 100).astype(np.int_)


def _functions(codes: NDArray[np.int_]) -> NDArray[np.float64]:
    return distribution_functions(np.stack([np.bincount(column, minlength=101) for column in codes.T]).astype(float))
