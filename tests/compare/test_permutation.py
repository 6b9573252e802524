from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats
from tests.distance import ks_distance

from plateaulens.compare import permutation
from plateaulens.compare.permutation import Swaps, ks_swap_test, mean_swap_p, pooled_p

BINS = 5
SMALL = arrays.arrays(np.int64, st.integers(1, 6), elements=st.integers(0, BINS - 1))
PAIRS = arrays.arrays(np.int64, st.tuples(st.just(2), st.integers(1, 7)), elements=st.integers(0, BINS - 1))


def histogram(codes: NDArray[np.int_]) -> NDArray[np.int_]:
    return np.bincount(codes, minlength=BINS)


def pooled(first: NDArray[np.int_], second: NDArray[np.int_]) -> float:
    return pooled_p(histogram(first), histogram(second), rng=np.random.default_rng(0), permutations=4000)


class TestSwaps:
    def test_all_of_them_when_there_are_few(self) -> None:
        swaps = Swaps.draw(np.random.default_rng(0), samples=4, swaps=16)
        assert swaps.exhaustive
        assert sorted(map(tuple, swaps.rows.tolist())) == sorted(product((-1, 1), repeat=4))

    def test_random_ones_else(self) -> None:
        swaps = Swaps.draw(np.random.default_rng(0), samples=5, swaps=31)
        assert not swaps.exhaustive
        assert swaps.rows.shape == (31, 5)
        many = Swaps.draw(np.random.default_rng(0), samples=50, swaps=2000).rows
        np.testing.assert_allclose(many.mean(axis=0), 0, atol=0.12)

    def test_clusters_are_swapped_as_a_whole(self) -> None:
        swaps = Swaps.draw(np.random.default_rng(0), samples=6, swaps=9, clusters=np.array([0, 1, 0, 2, 1, 0]))
        assert swaps.exhaustive
        assert len(swaps.rows) == 8
        assert (swaps.of_prompts[:, 0] == swaps.of_prompts[:, 2]).all()
        assert (swaps.of_prompts[:, 1] == swaps.of_prompts[:, 4]).all()

    def test_sums_turn_the_sign_of_what_is_swapped(self) -> None:
        values = np.random.default_rng(1).normal(size=(7, 2))
        swaps = Swaps.draw(np.random.default_rng(0), samples=7, swaps=11)
        assert set(swaps.rows.ravel()) == {-1, 1}
        np.testing.assert_allclose(swaps.sums(values), swaps.rows.astype(float) @ values)

    def test_a_random_p_value_counts_the_identity(self) -> None:
        swaps = Swaps(np.ones((9, 3), dtype=np.int8), np.arange(3), exhaustive=False)
        assert swaps.p_value(np.zeros(9), np.array(1.0)) == 1 / 10


class TestPaired:
    @settings(deadline=None)
    @given(PAIRS)
    @pytest.mark.slow
    def test_few_pairs_are_enumerated(self, codes: NDArray[np.int_]) -> None:
        """Every way to swap within pairs, the distance of each: p and null by definition."""
        samples = codes.shape[1]
        observed = ks_distance(*codes)
        drawn = []
        for swapped in product((False, True), repeat=samples):
            first, second = np.where(swapped, codes[::-1], codes)
            drawn.append(ks_distance(first, second))
        swaps = Swaps.draw(np.random.default_rng(0), samples=samples, swaps=2**7)
        found = ks_swap_test(codes, BINS, swaps, reference=0, confidence=0.95)
        assert found.p[1] == pytest.approx(np.mean(np.array(drawn) >= observed - 1e-9))
        assert found.mean[1] == pytest.approx(np.mean(drawn))
        # The least distance that at least 95 % of the reassignments do not exceed.
        assert np.mean(np.array(drawn) <= found.upper[1] + 1e-9) >= 0.95
        assert np.mean(np.array(drawn) < found.upper[1] - 1e-9) < 0.95
        assert np.isnan([found.p[0], found.mean[0], found.upper[0]]).all()

    @settings(deadline=None, max_examples=20)
    @given(arrays.arrays(np.float64, st.integers(2, 8), elements=st.integers(-5, 5).map(float)))
    def test_the_mean_equals_scipy(self, change: NDArray[np.float64]) -> None:
        theirs = stats.permutation_test(
            (change, np.zeros_like(change)),
            lambda a, b: abs(np.mean(a) - np.mean(b)),
            permutation_type="samples",
            alternative="greater",
        )
        swaps = Swaps.draw(np.random.default_rng(0), samples=change.size, swaps=2**8)
        assert mean_swap_p(change[np.newaxis], swaps)[0] == pytest.approx(theirs.pvalue)

    def test_undefined_observations_take_no_part(self) -> None:
        codes = np.array([[0, 1, 2, 3, -1, 4], [4, 4, 4, 4, 0, -1]])
        swaps = Swaps.draw(np.random.default_rng(0), samples=6, swaps=2**6)
        found = ks_swap_test(codes, BINS, swaps, reference=0, confidence=0.95)
        fewer = Swaps.draw(np.random.default_rng(0), samples=4, swaps=2**4)
        expected = ks_swap_test(codes[:, :4], BINS, fewer, reference=0, confidence=0.95)
        assert [own[1] for own in found] == [own[1] for own in expected]

    def test_a_type_without_pairs_has_no_test(self) -> None:
        codes = np.array([[0, 1], [-1, -1]])
        swaps = Swaps.draw(np.random.default_rng(0), samples=2, swaps=9)
        found = ks_swap_test(codes, BINS, swaps, reference=0, confidence=0.95)
        assert np.isnan([found.p[1], found.mean[1], found.upper[1]]).all()


class TestPooled:
    @settings(deadline=None)
    @given(SMALL, SMALL)
    @pytest.mark.slow
    def test_exact_with_ties_by_enumeration(self, first: NDArray[np.int_], second: NDArray[np.int_]) -> None:
        everything, observed = np.concatenate([first, second]), ks_distance(first, second)
        hits = []
        for chosen in combinations(range(everything.size), first.size):
            mask = np.isin(np.arange(everything.size), chosen)
            hits.append(ks_distance(everything[mask], everything[~mask]) >= observed - 1e-9)
        assert pooled(first, second) == pytest.approx(np.mean(hits))

    def test_equals_scipy_without_ties(self) -> None:
        order = np.random.default_rng(0).permutation(40)
        for size in (20, 13):
            first, second = order[:size], order[size:]
            ours = pooled_p(
                np.bincount(first, minlength=40),
                np.bincount(second, minlength=40),
                rng=np.random.default_rng(0),
                permutations=1,
            )
            assert ours == pytest.approx(stats.ks_2samp(first, second, method="exact").pvalue)

    def test_symmetric(self) -> None:
        first, second = np.array([0, 0, 1, 3]), np.array([1, 2, 4, 4, 4])
        assert pooled(first, second) == pytest.approx(pooled(second, first))

    def test_simulated_beyond_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(5)
        first, second = rng.integers(0, BINS, 60), rng.integers(0, BINS, 50)
        exact = pooled(first, second)
        monkeypatch.setattr(permutation, "EXACT_UP_TO", 100)
        assert pooled(first, second) == pytest.approx(exact, abs=0.03)

    def test_an_empty_sample_has_no_test(self) -> None:
        assert np.isnan(pooled(np.array([], dtype=np.int64), np.array([1])))


def test_sizes_under_ties_and_pairing() -> None:
    """At 5 % the paired test rejects about as often; the pooled one hardly ever when pairs agree closely."""
    rng = np.random.default_rng(0)
    rejected = np.zeros(2)
    trials = 200
    for _ in range(trials):
        common = rng.integers(0, BINS, 30)
        codes = np.where(rng.random((2, 30)) < 0.5, common, rng.integers(0, BINS, (2, 30)))
        swaps = Swaps.draw(rng, samples=30, swaps=99)
        paired = ks_swap_test(codes, BINS, swaps, reference=0, confidence=0.95).p[1]
        rejected += [paired <= 0.05, pooled(*codes) <= 0.05]
    assert 0.01 * trials <= rejected[0] <= 0.09 * trials
    assert rejected[1] <= rejected[0]


@pytest.mark.slow
def test_the_quantile_of_swaps_is_one_of_distances() -> None:
    """95 % of the distances of exchangeable types are at most as large, and hardly any of types 3.5 steps apart."""
    rng = np.random.default_rng(0)
    inside = np.zeros(2)
    for _ in range(300):
        real, other = np.round(rng.normal(50, 12, (2, 300))).astype(np.int_)
        codes = np.clip(np.stack([real, other, other + 4]), 0, 109)
        found = ks_swap_test(codes, 110, Swaps.draw(rng, samples=300, swaps=99), reference=0, confidence=0.95)
        inside += [ks_distance(real, kind) <= found.upper[place] + 1e-9 for place, kind in enumerate(codes[1:], 1)]
    assert 0.91 * 300 <= inside[0] <= 0.985 * 300
    assert inside[1] <= 0.15 * 300
