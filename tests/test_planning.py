import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from plateaulens.compare.distances import distance_interval, distribution_functions
from plateaulens.compare.power import Pairs
from plateaulens.compare.resampling import Resampling
from plateaulens.planning import (
    MAXIMUM_PROMPTS,
    ks_equivalence_power,
    ks_power,
    ks_width,
    least_prompts,
    mean_power,
    mean_width,
)


def pilot(rng: np.random.Generator, samples: int, shift: int) -> np.ndarray:
    """Correlated pairs (samples, 2) of integer steps, the first later by `shift`."""
    common, own = rng.standard_normal((samples, 1)), rng.standard_normal((samples, 2))
    return np.rint(50 + 7 * (common + own) + [shift, 0]).astype(np.int_)


class TestMean:
    def test_the_width_is_what_intervals_have(self) -> None:
        rng = np.random.default_rng(0)
        n = 40
        widths = []
        for change in rng.normal(0, 6, (2000, n)):
            low, high = stats.t.interval(0.95, n - 1, change.mean(), change.std(ddof=1) / np.sqrt(n))
            widths.append(high - low)
        assert np.mean(widths) == pytest.approx(mean_width(6.0, n, 0.95), rel=0.02)

    def test_the_power_is_how_often_the_test_rejects(self) -> None:
        change = np.random.default_rng(1).normal(2, 6, (4000, 60))
        rejected = np.mean(stats.ttest_1samp(change, 0, axis=1).pvalue < 0.05)
        assert mean_power(2.0, 6.0, 60, 0.95) == pytest.approx(rejected, abs=0.02)
        assert mean_power(-2.0, 6.0, 60, 0.95) == mean_power(2.0, 6.0, 60, 0.95)

    def test_no_effect_no_power(self) -> None:
        assert mean_power(0.0, 6.0, 60, 0.95) == pytest.approx(0.05, abs=1e-6)

    def test_constant_differences(self) -> None:
        assert mean_width(0.0, 10, 0.95) == 0
        assert mean_power(1.0, 0.0, 10, 0.95) == 1
        assert mean_power(0.0, 0.0, 10, 0.95) == pytest.approx(0.05)

    def test_textbook(self) -> None:
        """Effect of half a standard deviation, power 0.8, level 0.05: 34 pairs (Cohen 1988)."""
        assert least_prompts(lambda n: mean_power(0.5, 1.0, n, 0.95) >= 0.8) == 34


class TestDistance:
    def test_the_width_is_that_of_the_interval_at_the_pilot_s_own_size(self) -> None:
        rng = np.random.default_rng(0)
        codes = pilot(rng, 300, 4)
        histograms = Resampling.draw(rng, samples=300, resamples=2000).histograms(codes, int(codes.max()) + 1)
        functions = distribution_functions(histograms)
        low, high = distance_interval(functions[:, 0] - functions[:, 1], 0.95)
        assert ks_width(Pairs.of(codes), 300, 0.95, rng) == pytest.approx(high - low, rel=0.08)

    def test_it_falls_with_the_root_of_the_prompts(self) -> None:
        pairs = Pairs.of(pilot(np.random.default_rng(0), 400, 4))
        widths = [ks_width(pairs, n, 0.95, np.random.default_rng(0)) for n in (200, 800, 3200)]
        np.testing.assert_allclose(np.array(widths[:-1]) / widths[1:], 2, rtol=0.1)

    def test_equal_distributions_are_found_different_no_more_often_than_the_level_allows(self) -> None:
        codes = np.tile(np.arange(50)[:, np.newaxis], (1, 2))
        assert power(codes, 0.0, 100) == 0
        assert ks_width(Pairs.of(codes), 100, 0.95, np.random.default_rng(0)) == 0
        assert power(pilot(np.random.default_rng(1), 200, 0), 0.0, 100) == pytest.approx(0.05, abs=0.012)
        assert power(pilot(np.random.default_rng(1), 200, 9), 0.0, 100) == pytest.approx(0.05, abs=0.012)

    def test_an_effect_is_the_stated_one_whatever_the_pilot_has(self) -> None:
        powers = [power(pilot(np.random.default_rng(2), 300, shift), 0.15, 120) for shift in (2, 4, 8)]
        assert np.ptp(powers) < 0.12
        assert min(powers) > 0.4
        assert power(pilot(np.random.default_rng(2), 300, 4), 0.9, 120) == 0

    def test_more_types_and_fewer_swaps_take_power_away(self) -> None:
        codes = pilot(np.random.default_rng(2), 300, 4)
        assert power(codes, 0.15, 120) > power(codes, 0.15, 120, level=0.05 / 7) > 0
        assert power(codes, 0.15, 120, level=0.05 / 7, resamples=138) == 0
        assert power(codes, 0.15, 120, level=0.05 / 7, resamples=139) > 0

    def test_equivalence_takes_more_with_a_tighter_margin(self) -> None:
        pairs = Pairs.of(pilot(np.random.default_rng(2), 300, 4))
        found = [
            ks_equivalence_power(pairs, 250, np.random.default_rng(0), margin=margin, level=0.05)
            for margin in (0.1, 0.15, 0.2)
        ]
        assert found[0] < found[1] < found[2]
        assert ks_equivalence_power(pairs, 40, np.random.default_rng(0), margin=0.1, level=0.05) == 0


def power(codes: np.ndarray, effect: float, prompts: int, *, level: float = 0.05, resamples: int = 1999) -> float:
    return ks_power(Pairs.of(codes), effect, prompts, np.random.default_rng(0), level=level, resamples=resamples)


class TestLeastPrompts:
    @given(st.integers(10, MAXIMUM_PROMPTS))
    def test_finds_where_it_turns(self, turn: int) -> None:
        assert least_prompts(lambda n: n >= turn) == turn

    @given(st.integers(10, MAXIMUM_PROMPTS))
    def test_finds_about_where_it_turns(self, turn: int) -> None:
        found = least_prompts(lambda n: n >= turn, 0.01)
        assert found is not None
        assert turn <= found <= 1.0102 * turn + 1

    def test_never(self) -> None:
        assert least_prompts(lambda _: False) is None

    def test_at_least_ten(self) -> None:
        assert least_prompts(lambda _: True) == 10
