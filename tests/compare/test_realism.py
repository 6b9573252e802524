import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from plateaulens.compare.realism import (
    COPY,
    NEIGHBOURS,
    _frechet,
    expected_coverage,
    fidelity,
    frechet,
    nearest,
    novelty,
    squared_distances,
)
from plateaulens.compare.resampling import Resampling


def drawn(seed: int, n: int, d: int = 8) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(n, d))


def to_nearest(points: NDArray[np.float64], others: NDArray[np.float64], *, skip_itself: bool) -> NDArray[np.float64]:
    return nearest(points, others, squared_distances(points, others, origin=others[0]), skip_itself=skip_itself)


class TestNearest:
    def test_it_is_the_least_distance(self) -> None:
        points, others = drawn(0, 20), drawn(1, 30)
        expected = cdist(points, others).min(axis=1)
        np.testing.assert_allclose(to_nearest(points, others, skip_itself=False), expected, rtol=1e-6)

    def test_what_equals_a_point_in_every_bit_may_be_the_point_itself(self) -> None:
        others = drawn(0, 30)
        others[7] = others[3]
        assert (to_nearest(others, others, skip_itself=False) == 0).all()
        found = to_nearest(others, others, skip_itself=True)
        apart = cdist(others, others)
        apart[apart == 0] = np.inf
        np.testing.assert_allclose(found, apart.min(axis=1), rtol=1e-6)

    def test_none_is_nearest_where_there_is_none(self) -> None:
        points = drawn(0, 2)
        assert np.isinf(to_nearest(points, points[:1], skip_itself=True)[0])
        banned = np.full((2, 1), np.inf, dtype=np.float32)
        assert np.isinf(nearest(points, points[:1], banned, skip_itself=False)).all()

    def test_far_from_the_origin_too(self) -> None:
        points = drawn(0, 10) + 1e4
        near = points + 1e-3
        np.testing.assert_allclose(to_nearest(points, near, skip_itself=False), 1e-3 * np.sqrt(8), rtol=1e-3)


class TestNovelty:
    COUNTS = Resampling.draw(np.random.default_rng(0), samples=101, resamples=300).of_prompts.T.astype(np.float32)

    def test_it_is_a_ratio_of_medians(self) -> None:
        real = np.arange(1.0, 102.0)
        found = novelty(3 * real, real, self.COUNTS, 0.95)
        assert found.novelty == pytest.approx(3)
        assert found.interval[0] < 3.01
        assert found.copies == 0

    def test_the_interval_is_that_of_resampled_medians(self) -> None:
        rng = np.random.default_rng(1)
        distance, real = rng.gamma(2.0, size=(2, 101))
        found = novelty(distance, real, self.COUNTS, 0.9)
        ratios = [
            np.median(np.repeat(distance, times)) / np.median(np.repeat(real, times))
            for times in self.COUNTS.T.astype(int)[1:]
        ]
        np.testing.assert_allclose(found.interval, np.quantile(ratios, [0.05, 0.95]), rtol=1e-6)

    def test_copies_are_counted(self) -> None:
        real, distance = np.ones(101), np.full(101, 5.0)
        distance[:4] = 0.9 * COPY
        assert novelty(distance, real, self.COUNTS, 0.95).copies == 4

    def test_without_prompts_nothing_is_known(self) -> None:
        found = novelty(np.empty(0), np.empty(0), np.empty((0, 5), np.float32), 0.95)
        assert np.isnan(found.novelty)
        assert found.copies == 0


class TestFidelity:
    def balls(self, real: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
        among, between = (squared_distances(each, real, origin=real[0]) for each in (real, other))
        found = fidelity(among, between, np.arange(len(real)))
        return float(found.density.mean()), float(found.coverage.mean())

    def test_exchangeable_targets_have_the_expected_values(self) -> None:
        found = np.array([self.balls(drawn(seed, 200), drawn(seed + 100, 200)) for seed in range(20)])
        density, coverage = found.mean(axis=0)
        assert density == pytest.approx(1, abs=0.05)
        assert coverage == pytest.approx(expected_coverage(200), abs=0.01)

    def test_by_its_definition(self) -> None:
        real, other = drawn(0, 12, 2), drawn(1, 12, 2)
        apart, among = cdist(other, real), cdist(real, real)
        np.fill_diagonal(among, np.inf)
        radius = np.sort(among, axis=1)[:, NEIGHBOURS - 1]
        inside = apart <= radius
        np.fill_diagonal(inside, val=False)  # a prompt's own two targets are not compared
        density, coverage = self.balls(real, other)
        assert density == pytest.approx(inside.sum() / (12 * NEIGHBOURS))
        assert coverage == pytest.approx(inside.any(axis=0).mean())

    def test_one_narrow_mode_is_dense_and_covers_little(self) -> None:
        real = drawn(0, 200)
        density, coverage = self.balls(real, 0.3 * drawn(1, 200))
        assert density > 1.5
        assert coverage < expected_coverage(200) - 0.1

    def test_too_few_prompts(self) -> None:
        assert np.isnan(self.balls(drawn(0, NEIGHBOURS), drawn(1, NEIGHBOURS))).all()


class TestFrechet:
    def test_the_distance_by_its_formula(self) -> None:
        one, other = drawn(0, 40, 4), 2 * drawn(1, 50, 4) + 1
        first, second = (np.cov(each.T, ddof=0) for each in (one, other))
        shift = one.mean(axis=0) - other.mean(axis=0)
        expected = shift @ shift + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
        assert _frechet(one, other)[0] == pytest.approx(expected)

    def test_the_derivatives_are_those_of_repeated_points(self) -> None:
        one, other = drawn(0, 400, 3) @ np.diag([1.0, 2, 3]), drawn(1, 400, 3) + 0.5
        value, of_one, of_other = _frechet(one, other)
        assert of_one.sum() == pytest.approx(0, abs=1e-9)
        times = 200  # one more among so many
        many = np.concatenate([np.repeat(one, times, axis=0), one[:1]])
        assert (_frechet(many, other)[0] - value) * times == pytest.approx(of_one[0], rel=0.05)
        many = np.concatenate([np.repeat(other, times, axis=0), other[5:6]])
        assert (_frechet(one, many)[0] - value) * times == pytest.approx(of_other[5], rel=0.05)

    def test_real_over_real_is_one_and_a_shift_is_more(self) -> None:
        real, again, moved = drawn(0, 400, 6), drawn(1, 400, 6), drawn(2, 400, 6) + 1
        found = frechet(real, [real, again, moved], np.arange(400), np.random.default_rng(0), 0.95)
        assert found.ratio[0] == pytest.approx(1)
        np.testing.assert_allclose(found.interval[0], 1)
        assert found.interval[1, 0] < 1 < found.interval[1, 1]
        assert found.interval[2, 0] > 5
        assert found.floor > 0

    def test_too_few_groups(self) -> None:
        real = drawn(0, 8, 2)
        found = frechet(real, [real], np.arange(8) // 3, np.random.default_rng(0), 0.95)
        assert np.isnan(found.ratio).all()
        assert np.isnan(found.floor)

    def test_one_group_with_most_prompts_leaves_no_two_halves(self) -> None:
        real, group = drawn(0, 40, 2), np.maximum(np.arange(40) - 21, 0)
        assert np.isnan(frechet(real, [real], group, np.random.default_rng(0), 0.95).ratio).all()
        group[0] = group.max() + 1
        group[1] = group.max() + 1
        assert np.isfinite(frechet(real, [real], group, np.random.default_rng(0), 0.95).ratio).all()

    def test_without_types(self) -> None:
        assert frechet(drawn(0, 20, 2), [], np.arange(20), np.random.default_rng(0), 0.95).ratio.shape == (0,)
