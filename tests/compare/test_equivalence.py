import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from plateaulens.compare.distances import distribution_functions, ks_equivalence_p, ks_upper_bound, mean_equivalence_p
from plateaulens.compare.resampling import Resampling


def differences(codes: NDArray[np.int_], rng: np.random.Generator, resamples: int = 200) -> NDArray[np.float64]:
    """F - G of a sample (sample, 2) and its resamples."""
    resampling = Resampling.draw(rng, samples=len(codes), resamples=resamples)
    functions = distribution_functions(resampling.histograms(codes, bins=int(codes.max()) + 1))
    return functions[:, 0] - functions[:, 1]


class TestKolmogorovSmirnov:
    def test_by_hand(self) -> None:
        # two places with standard errors 0.1 and 0.2: the larger difference is not the larger bound
        found = np.array([[0.3, 0.2, 0.0], [0.2, 0.0, 0.0], [0.3, 0.2, 0.0], [0.4, 0.4, 0.0]])
        pairs = np.array(10_000)
        assert ks_upper_bound(found, pairs, 0.95) == pytest.approx(0.2 + stats.norm.ppf(0.95) * 0.2)
        assert ks_equivalence_p(found, pairs, 0.5) == pytest.approx(stats.norm.cdf(-0.3 / 0.2))

    @pytest.mark.parametrize("margin", [0.05, 0.1, 0.2, 0.3, 0.6])
    @pytest.mark.parametrize("samples", [8, 60, 400])
    def test_the_bound_is_below_the_margin_exactly_when_the_test_rejects(self, margin: float, samples: int) -> None:
        rng = np.random.default_rng(samples)
        for shift in (0, 1):
            codes = rng.integers(0, 9, (samples, 2)) + np.array([0, shift])
            found = differences(codes, rng)
            rejected = ks_equivalence_p(found, np.array(samples), margin) < 0.05
            assert (ks_upper_bound(found, np.array(samples), 0.95) < margin) == rejected

    def test_identical_samples_are_equivalent_only_when_large_enough(self) -> None:
        """Nothing differs and no resample either: the bound is that of a share of which 0 were seen."""
        nothing = np.zeros((50, 5))
        pairs = np.array([10, 1000])
        bound = ks_upper_bound(np.stack([nothing, nothing], axis=1), pairs, 0.95)
        z = stats.norm.ppf(0.95)
        np.testing.assert_allclose(bound, z**2 / (pairs + z**2))

    def test_the_type_1_error_at_the_margin(self) -> None:
        """Shares that differ by exactly the margin at one step, paired: rejected in at most 5 %, and not never."""
        rng = np.random.default_rng(0)
        trials, rejected = 300, 0
        for _ in range(trials):
            first = rng.integers(0, 2, 200)
            second = np.where((first == 0) & (rng.random(200) < 0.3), 1, first)  # P(first = 0) - P(second = 0) = 0.15
            found = differences(np.stack([first, second], axis=1), rng, resamples=100)
            rejected += int(ks_equivalence_p(found, np.array(200), 0.15) < 0.05)
        assert 0.01 * trials <= rejected <= 0.08 * trials

    def test_no_distance_no_test(self) -> None:
        nothing = np.full((5, 3), np.nan)
        assert np.isnan(ks_upper_bound(nothing, np.array(0), 0.95))
        assert np.isnan(ks_equivalence_p(nothing, np.array(0), 0.15))


class TestMean:
    @pytest.mark.parametrize("shift", [-4.0, 0.0, 1.5, 2.9])
    def test_equals_statsmodels(self, shift: float) -> None:
        rng = np.random.default_rng(1)
        real = rng.normal(50, 10, 40)
        own = real + rng.normal(shift, 5, 40)
        change = own - real
        ours = mean_equivalence_p(np.array([change.mean()]), np.array([stats.sem(change)]), np.array([40]), 3.0)
        assert ours[0] == pytest.approx(ttost_paired(own, real, -3.0, 3.0)[0])

    def test_differences_that_are_all_equal(self) -> None:
        found = mean_equivalence_p(np.array([2.0, 4.0, 0.0]), np.zeros(3), np.array([9, 9, 1]), 3.0)
        np.testing.assert_array_equal(found, [0, 1, np.nan])
