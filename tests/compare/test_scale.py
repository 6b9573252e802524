"""The scale from one type to another: known answers, what is not defined, and how often its intervals hold."""

import numpy as np
import pytest
from numpy.typing import NDArray

from plateaulens.compare.distributions import Observations
from plateaulens.compare.resampling import Resampling
from plateaulens.compare.scale import Scaled, ratio_of_means, share_of_the_way

REAL, START = 0, 1


def shares(value: NDArray[np.float64], seed: int = 0, resamples: int = 400, confidence: float = 0.95) -> Scaled:
    """Shares of types (type, sample), real first and the scale's start second."""
    observations = Observations(value, np.zeros(value.shape, dtype=np.bool_), REAL)
    resampling = Resampling.draw(np.random.default_rng(seed), samples=value.shape[1], resamples=resamples)
    weighted = observations.weigh(resampling)
    differences = weighted.functions - weighted.functions[:, [REAL]]
    reach = weighted.reaches(confidence, resampling.worth).changed
    return share_of_the_way(differences, reach, start=START, confidence=confidence)


def drawn(rng: np.random.Generator, samples: int, *parts: float) -> NDArray[np.float64]:
    """Real steps of 0 or 1 (half each), the start's all 1; further types have come so much of the way from it."""
    real = rng.integers(2, size=samples).astype(np.float64)
    others = [np.where(rng.random(samples) < 1 - part / 2, 1.0, 0.0) for part in parts]
    return np.stack([real, np.ones(samples), *others])


class TestShareOfTheWay:
    def test_the_formula(self) -> None:
        real = np.repeat([0.0, 1.0], 50)
        half = np.repeat([0.0, 1.0], [25, 75])
        beyond = np.full(100, 1.0)
        beyond[:50] = 2.0
        later = np.where(np.arange(100) < 10, 1.0, 2.0)
        found = shares(np.stack([real, np.ones(100), real, half, beyond, later]))
        # KS to real: 0.5 of the start; 0, 0.25, 0.5 and 0.9
        np.testing.assert_allclose(found.estimate, [1, 0, 1, 0.5, 0, -0.8])
        assert (found.interval[:, 0] <= found.estimate).all()
        assert (found.interval[:, 1] >= found.estimate).all()
        assert found.interval[START].tolist() == [0, 0]
        assert found.interval[REAL].tolist() == pytest.approx([1, 1], abs=1e-9)

    def test_a_copy_of_real_has_an_interval_that_ends_at_1(self) -> None:
        """None of 100 pairs differs, which does not show that none ever does."""
        value = drawn(np.random.default_rng(0), 100)
        found = shares(np.stack([*value, value[REAL]]))
        assert found.estimate[2] == found.interval[2, 1] == 1
        assert 0.9 < found.interval[2, 0] < 1

    def test_it_is_not_cut_at_0(self) -> None:
        real = np.repeat([0.0, 1.0], 100)
        found = shares(np.stack([real, np.repeat([0.0, 1.0], [40, 160]), np.full(200, 5.0)]))
        assert found.estimate[2] == pytest.approx(1 - 1 / 0.3)
        assert found.interval[2, 1] < 0

    def test_without_a_difference_of_the_ends_there_is_no_scale(self) -> None:
        rng = np.random.default_rng(0)
        real = rng.integers(50, size=100).astype(np.float64)
        found = shares(np.stack([real, rng.permutation(real + rng.integers(-1, 2, 100)), rng.permutation(real)]))
        assert np.isnan(found.estimate).all()
        assert np.isnan(found.interval).all()

    def test_a_scale_that_is_hardly_there_bounds_nothing_from_below(self) -> None:
        real = np.repeat([0.0, 1.0], 50)
        far = np.full(100, 2.0)

        def found(moved: int) -> Scaled:
            return shares(np.stack([real, np.repeat([0.0, 1.0], [50 - moved, 50 + moved]), far]))

        shortest = next(moved for moved in range(50) if np.isfinite(found(moved).estimate[2]))
        hardly, well = (found(moved).interval[2] for moved in (shortest, 50))
        assert hardly[0] < -50
        assert -2 < well[0] <= well[1] < 0

    def test_a_type_without_observations_has_none(self) -> None:
        value = drawn(np.random.default_rng(0), 100, 0.5)
        found = shares(np.stack([*value, np.full(100, np.nan)]))
        assert np.isnan(found.estimate[3])
        assert np.isnan(found.interval[3]).all()
        assert np.isfinite(found.interval[2]).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
    def test_its_intervals_hold(self, part: float) -> None:
        """At half of the way, and at both ends, where distances are not differentiable."""
        rng = np.random.default_rng([7, int(10 * part)])
        inside = 0
        for seed in range(200):
            found = shares(drawn(rng, 100, part), seed, resamples=200)
            inside += bool(found.interval[2, 0] <= part <= found.interval[2, 1])
        assert inside / 200 >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / 200)


class TestRatioOfMeans:
    def resampling(self, samples: int) -> Resampling:
        return Resampling.draw(np.random.default_rng(0), samples=samples, resamples=500)

    def test_known_ratios(self) -> None:
        rng = np.random.default_rng(1)
        real = rng.uniform(10, 50, 200)
        noisy = real * 0.5 + rng.normal(0, 2, 200)
        value = np.stack([real, real, 2 * real, noisy])
        found = ratio_of_means(value, self.resampling(200), reference=0, confidence=0.95)
        np.testing.assert_allclose(found.estimate[:3], [1, 1, 2])
        assert found.interval[0].tolist() == [1, 1]
        assert found.interval[1, 0] < 1 < found.interval[1, 1]
        np.testing.assert_allclose(found.interval[2], [2, 2])
        assert found.interval[3, 0] < 0.5 < found.interval[3, 1]
        assert found.interval[3, 1] - found.interval[3, 0] < 0.1

    def test_pairs_that_are_not_there_are_left_out(self) -> None:
        real = np.array([1.0, 2.0, np.nan, 3.0] * 10)
        other = np.array([2.0, np.nan, 9.0, 6.0] * 10)
        found = ratio_of_means(np.stack([real, other]), self.resampling(40), reference=0, confidence=0.95)
        assert found.estimate[1] == pytest.approx(2)

    def test_of_nothing_there_is_no_ratio(self) -> None:
        value = np.stack([np.zeros(20), np.ones(20), np.full(20, np.nan)])
        found = ratio_of_means(value, self.resampling(20), reference=0, confidence=0.95)
        assert np.isnan(found.estimate).all()
        assert np.isnan(found.interval).all()

    @pytest.mark.slow
    def test_its_intervals_hold(self) -> None:
        rng = np.random.default_rng(3)
        inside = 0
        for _ in range(300):
            real = rng.exponential(10, 60)
            other = 0.7 * real + rng.exponential(3, 60)
            resampling = Resampling.draw(rng, samples=60, resamples=300)
            found = ratio_of_means(np.stack([real, other]), resampling, reference=0, confidence=0.95)
            inside += bool(found.interval[1, 0] <= 1.0 <= found.interval[1, 1])
        assert inside / 300 >= 0.95 - 2.5 * np.sqrt(0.95 * 0.05 / 300)
