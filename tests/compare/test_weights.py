import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from plateaulens.compare import resampling as module
from plateaulens.compare.distributions import Observations
from plateaulens.compare.permutation import Swaps, ks_swap_test
from plateaulens.compare.resampling import MAXIMUM_UNITS, Resampling, Weights, count_clusters, units_of

FLOATS = st.floats(-1e6, 1e6)
CLUSTERS = np.array([0, 1, 0, 2, 1, 3, 0])


@pytest.fixture(params=[None, CLUSTERS], ids=["prompts", "clusters"])
def weights(request: pytest.FixtureRequest) -> Weights:
    unit = units_of(7, request.param)
    return Weights(np.random.default_rng(0).integers(0, 4, (5, count_clusters(unit)), dtype=np.uint8), unit)


class TestUnits:
    def test_a_unit_is_a_base_prompt_or_a_cluster(self) -> None:
        assert units_of(3, None).tolist() == [0, 1, 2]
        assert units_of(7, CLUSTERS).tolist() == CLUSTERS.tolist()
        assert units_of(0, None).size == 0

    def test_grouped_prompts_are_worth_their_units(self) -> None:
        single, grouped = (
            Weights(np.ones((1, units), np.int8), units_of(7, own)) for units, own in ((7, None), (4, CLUSTERS))
        )
        assert (single.is_grouped, single.worth) == (False, 1.0)
        assert (grouped.is_grouped, grouped.worth) == (True, 4 / 7)

    def test_very_many_are_put_into_units_of_equal_size(self) -> None:
        sizes = np.bincount(units_of(3 * MAXIMUM_UNITS + 5, None))
        assert len(sizes) == MAXIMUM_UNITS
        assert set(sizes) == {3, 4}

    def test_clusters_stay_whole(self) -> None:
        clusters = np.random.default_rng(0).permutation(np.repeat(np.arange(2 * MAXIMUM_UNITS), 2))
        unit = units_of(len(clusters), clusters)
        assert len(np.unique(unit)) == MAXIMUM_UNITS
        assert len(np.unique(np.stack([unit, clusters]), axis=1).T) == 2 * MAXIMUM_UNITS


class TestSums:
    @given(arrays.arrays(np.float64, (7, 2, 3), elements=FLOATS))
    def test_a_sum_weighs_every_sample_with_its_weight(self, values: NDArray[np.float64]) -> None:
        for clusters in (None, CLUSTERS):
            resampling = Resampling.draw(np.random.default_rng(0), samples=7, resamples=4, clusters=clusters)
            expected = np.einsum("rs,s...->r...", resampling.of_prompts, values)
            np.testing.assert_allclose(resampling.sums(values), expected, atol=1e-6)
            np.testing.assert_allclose(resampling.sums(values)[0], values.sum(axis=0), atol=1e-6)

    def test_parts_add_up(self, weights: Weights) -> None:
        values = np.random.default_rng(1).normal(size=(7, 2))
        total = np.zeros((weights.units, 2))
        weights.add(values[:4], total, first=0)
        weights.add(values[4:], total, first=4)
        np.testing.assert_allclose(weights.weigh(total), weights.sums(values))

    @given(arrays.arrays(np.int64, (7, 2), elements=st.integers(-1, 3)))
    def test_a_histogram_counts_every_code_but_negative_ones(self, codes: NDArray[np.int64]) -> None:
        for clusters in (None, CLUSTERS):
            resampling = Resampling.draw(np.random.default_rng(0), samples=7, resamples=4, clusters=clusters)
            histograms = resampling.histograms(codes, bins=4)
            assert histograms.shape == (5, 2, 4)
            for row, weight in enumerate(resampling.of_prompts):
                for column in range(2):
                    there = codes[:, column] >= 0
                    expected = np.bincount(codes[there, column], weight[there], minlength=4)
                    np.testing.assert_array_equal(histograms[row, column], expected)


class TestManyPrompts:
    """More base prompts than units: what the rows are for comes out as with single prompts."""

    @pytest.fixture(autouse=True)
    def few_units(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAXIMUM_UNITS", 500)

    def test_the_standard_error_of_a_mean_is_that_of_its_formula(self) -> None:
        values = np.random.default_rng(0).exponential(size=6000)
        resampling = Resampling.draw(np.random.default_rng(1), samples=6000, resamples=2000)
        assert resampling.units == 500
        means = resampling.sums(values) / resampling.sums(np.ones(6000))
        assert means[0] == pytest.approx(values.mean())
        assert means[1:].std() == pytest.approx(values.std() / np.sqrt(6000), rel=0.12)

    def test_clusters_keep_their_correlation(self) -> None:
        """Pairs of equal values: the standard error of half as many."""
        values = np.repeat(np.random.default_rng(0).normal(size=3000), 2)
        clusters = np.repeat(np.arange(3000), 2)
        resampling = Resampling.draw(np.random.default_rng(1), samples=6000, resamples=2000, clusters=clusters)
        means = resampling.sums(values) / resampling.sums(np.ones(6000))
        assert means[1:].std() == pytest.approx(values.std() / np.sqrt(3000), rel=0.12)

    def test_swaps_of_units_reject_as_often_as_they_claim(self) -> None:
        rng = np.random.default_rng(3)
        rejected = 0
        for _ in range(200):
            codes = rng.integers(0, 30, (2, 1500))
            swaps = Swaps.draw(rng, samples=1500, swaps=99)
            assert swaps.units == 500
            rejected += ks_swap_test(codes, 30, swaps, reference=0, confidence=0.95).p[1] <= 0.05
        assert 2 <= rejected <= 20

    def test_the_jackknife_leaves_whole_units_out(self) -> None:
        jackknife = Resampling.draw(np.random.default_rng(0), samples=1500, resamples=1).jackknife
        assert jackknife.rows.shape == (501, 500)
        assert set(jackknife.of_prompts.sum(axis=1)) == {1497, 1500}

    def test_row_0_is_the_sample(self) -> None:
        rng = np.random.default_rng(0)
        value = rng.integers(0, 9, (2, 1501)).astype(float)
        observations = Observations(value, np.zeros(value.shape, dtype=bool), 0)
        weighted = observations.weigh(Resampling.draw(rng, samples=1501, resamples=2))
        for own, histogram in zip(value, weighted.histograms[0], strict=True):
            np.testing.assert_array_equal(histogram, np.bincount(own.astype(int), minlength=9))
