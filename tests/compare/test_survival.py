import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from statsmodels.duration.survfunc import SurvfuncRight

from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.compare.survival import kaplan_meier, logrank, paired_scores, restricted
from plateaulens.summary.survival import DIMS, survival_dataset

STEPS = 11
TIMES = arrays.arrays(np.float64, st.integers(1, 30), elements=st.integers(0, STEPS - 1).map(float))


class TestKaplanMeier:
    """S(k) = P(event after step k), estimated by the product of 1 - events / at risk."""

    def test_hand_computed(self) -> None:
        # risk sets 5, 4, 2: S = 4/5 at 1, 4/5 * 3/4 at 2 (one of those at risk leaves censored), 0.6 * 1/2 at 4
        found = kaplan_meier([1, 2, 2, 4, 9], [True, True, False, True, False], steps=6, confidence=0.95)
        np.testing.assert_allclose(found.probability, [1, 0.8, 0.6, 0.6, 0.3, 0.3])

    @given(TIMES)
    def test_censored_at_the_end_it_is_the_empirical_function_and_the_band_is_that_of_kolmogorov(
        self, time: NDArray[np.float64]
    ) -> None:
        event = time < STEPS - 1
        found = kaplan_meier(time, event, STEPS, 0.95)
        share = [np.mean((time > k) | ~event) for k in range(STEPS)]
        np.testing.assert_allclose(found.probability, share, atol=1e-12)
        half = 1.3581 / np.sqrt(len(time))
        np.testing.assert_allclose(
            found.band, np.clip(np.stack([share, share], 1) + np.array([-half, half]), 0, 1), atol=2e-5
        )

    def test_the_area_is_the_restricted_mean(self) -> None:
        time, event = np.array([1.0, 3.0, 7.0, 10.0]), np.array([True, True, True, False])
        assert kaplan_meier(time, event, STEPS, 0.95).probability[:-1].sum() == pytest.approx(time.mean())

    def test_with_censoring_in_between_the_band_widens(self) -> None:
        rng = np.random.default_rng(0)
        time, event = rng.integers(1, 10, 200).astype(float), rng.random(200) < 0.5
        found = kaplan_meier(time, event, STEPS, 0.95)
        curve = SurvfuncRight(time, event.astype(int))
        place = np.flatnonzero(curve.surv_times == 5)[0]
        greenwood = (curve.surv_prob_se[place] / curve.surv_prob[place]) ** 2
        half = 1.35810 / np.sqrt(200) * curve.surv_prob[place] * (1 + 200 * greenwood)
        assert found.band[5, 1] - found.probability[5] == pytest.approx(half, rel=1e-4)
        assert half > 1.3581 / np.sqrt(200)

    def test_the_band_holds_the_whole_curve_as_often_as_it_claims(self) -> None:
        rng = np.random.default_rng(1)
        truth = 1 - np.arange(1, STEPS + 1) / (STEPS + 1)
        held = 0
        for _ in range(300):
            time = rng.integers(0, STEPS + 1, 80).astype(float)
            band = kaplan_meier(np.minimum(time, STEPS - 1), time < STEPS, STEPS, 0.9).band
            held += bool(((band[:, 0] <= truth) & (truth <= band[:, 1])).all())
        assert held >= 0.87 * 300

    def test_degenerate(self) -> None:
        never = kaplan_meier([9.0, 9.0], [False, False], STEPS, 0.95)
        np.testing.assert_array_equal(never.probability, 1)
        assert (never.band[:, 1] == 1).all()
        assert np.isnan(kaplan_meier([np.nan], [False], STEPS, 0.95).probability).all()
        one = kaplan_meier([3.0], [True], STEPS, 0.95)
        np.testing.assert_array_equal(one.probability, [1, 1, 1] + [0] * 8)
        assert np.isfinite(one.band).all()


class TestLogrank:
    def test_hand_computed(self) -> None:
        # group 0 fails at 1 and 2, group 1 at 3 and 4: O - E = 2 - (1/2 + 1/3), V = 1/4 + 2/9
        chi_square = (2 - 5 / 6) ** 2 / (1 / 4 + 2 / 9)
        from scipy import stats

        assert logrank([1, 2, 3, 4], [True] * 4, [0, 0, 1, 1]) == pytest.approx(stats.chi2.sf(chi_square, 1))

    def test_does_not_underflow_to_0_before_the_distribution_does(self) -> None:
        time = np.concatenate([np.full(300, 2.0), np.full(300, 8.0)])
        assert 0 < logrank(time, np.ones(600, dtype=bool), np.repeat([0, 1], 300)) < 1e-60

    def test_nothing_to_tell_apart(self) -> None:
        assert logrank([5, 5, 5, 5], [False] * 4, [0, 0, 1, 1]) == 1
        assert logrank([5, 5, np.nan], [True, True, False], [0, 0, 1]) == 1
        assert logrank([], [], []) == 1
        assert logrank([5, 5, 5, 5], [True] * 4, [0, 0, 1, 1]) == 1
        assert logrank([2, 2, 5, 5], [False, False, True, True], [0, 0, 1, 1]) == 1

    @given(st.integers(0, 2**32 - 1))
    def test_always_a_probability(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 7))
        p = logrank(rng.integers(0, 4, n).astype(float), rng.random(n) < 0.6, rng.integers(0, 2, n))
        assert 0 <= p <= 1


class TestPairedScores:
    """Sums of e - H(t) are observed minus expected events; swapping a pair changes the sign of its difference."""

    def test_the_sum_is_observed_minus_expected(self) -> None:
        time, event = np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones((2, 2), dtype=bool)
        # the two samples' sums are opposite: their difference is twice O - E of the first
        assert paired_scores(time, event).sum() == pytest.approx(2 * (2 - 5 / 6))

    @given(st.integers(0, 2**32 - 1))
    def test_swapping_changes_the_sign_alone(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        time, event = rng.integers(0, 6, (2, 9)).astype(float), rng.random((2, 9)) < 0.7
        swapped = rng.random(9) < 0.5
        before = paired_scores(time, event)
        after = paired_scores(np.where(swapped, time[::-1], time), np.where(swapped, event[::-1], event))
        np.testing.assert_allclose(after, np.where(swapped, -before, before), atol=1e-12)

    def test_more_power_than_the_unpaired_test_when_pairs_agree(self) -> None:
        rng = np.random.default_rng(0)
        prompt = rng.integers(10, 90, 60).astype(float)
        time, event = np.stack([prompt, prompt + rng.integers(0, 5, 60)]), np.ones((2, 60), dtype=bool)
        swaps = Swaps.draw(rng, samples=60, swaps=999)
        scores = paired_scores(time, event)
        paired = swaps.p_value(np.abs(swaps.sums(scores)), np.abs(scores.sum()))
        assert paired == pytest.approx(0.001)
        assert logrank(time.ravel(), event.ravel(), np.repeat([0, 1], 60)) > 0.3

    def test_at_the_right_rate_under_the_hypothesis(self) -> None:
        rng = np.random.default_rng(0)
        rejected, trials = 0, 300
        for _ in range(trials):
            prompt = rng.normal(50, 15, 40)
            time = np.rint(prompt + rng.normal(0, 8, (2, 40)))
            event = time < 70
            swaps = Swaps.draw(rng, samples=40, swaps=199)
            scores = paired_scores(np.minimum(time, 70), event)
            rejected += float(swaps.p_value(np.abs(swaps.sums(scores)), np.abs(scores.sum()))) <= 0.05
        assert 0.02 <= rejected / trials <= 0.085

    def test_unknown_pairs_and_no_events(self) -> None:
        time = np.array([[np.nan, 5.0], [3.0, 5.0]])
        np.testing.assert_array_equal(paired_scores(time, np.zeros((2, 2), dtype=bool)), 0)


def test_restricted_means_count_the_censored_at_the_end() -> None:
    value, censored = np.array([4.0, np.nan, np.nan]), np.array([False, True, False])
    np.testing.assert_array_equal(restricted(value, censored, 10), [4, 10, np.nan])


class TestDataset:
    @pytest.fixture
    def steps(self) -> xr.Dataset:
        rng = np.random.default_rng(0)
        value = rng.integers(2, 9, (2, 2, 1, 3, 20)).astype(float)
        value[:, :, :, 2] += 1
        censored = np.zeros(value.shape, dtype=bool)
        censored[..., 2, :4] = True
        value[censored] = np.nan
        value[0, 1] = np.nan  # undefined: no such statistic for the metric
        censored[0, 1] = False
        dims = ("convention", "statistic", "metric", "activation_type", "sample")
        return xr.Dataset(
            {"step_value": (dims, value), "censored": (dims, censored)},
            coords={
                "convention": ["corrected", "authors"],
                "statistic": ["max_slope", "plateau_length"],
                "metric": ["l2"],
                "activation_type": ["real", "real_control", "random"],
            },
        )

    def test_variables(self, steps: xr.Dataset) -> None:
        rng = np.random.default_rng(0)
        found = survival_dataset(
            steps, 10, Resampling.draw(rng, samples=20, resamples=50), Swaps.draw(rng, samples=20, swaps=99),
            reference="real", confidence=0.95,
        )  # fmt: skip
        assert {name: variable.dims for name, variable in found.data_vars.items()} == DIMS
        for variable in found.data_vars.values():
            assert {"long_name", "units"} <= variable.attrs.keys()
        cell = found.sel(statistic="max_slope", metric="l2")
        assert cell.survival.sel(activation_type="random", step=10) == pytest.approx(4 / 20)
        own = steps.step_value[0, 0, 0].to_numpy()
        expected = np.where(np.isnan(own[2]), 10, own[2])
        assert cell.restricted_mean.sel(activation_type="random") == pytest.approx(expected.mean())
        difference = cell.restricted_mean_difference.sel(activation_type="random")
        assert difference == pytest.approx((expected - own[0]).mean())
        assert (cell.paired_logrank_p > 0).all()
        assert cell.paired_logrank_p.sel(activation_type="real") == 1
        assert cell.logrank_p.sel(activation_type="real") == 1
        assert cell.paired_logrank_p.sel(activation_type="random") < 0.1

    def test_what_is_undefined(self, steps: xr.Dataset) -> None:
        rng = np.random.default_rng(0)
        found = survival_dataset(
            steps, 10, Resampling.draw(rng, samples=20, resamples=50), Swaps.draw(rng, samples=20, swaps=99),
            reference="real", confidence=0.95,
        ).sel(statistic="plateau_length")  # fmt: skip
        assert found.survival.isnull().all()
        assert found.restricted_mean.isnull().all()
        assert (found.paired_logrank_p == 1).all()
