"""Statistics on anybody's arrays: the numbers of an analysis, held against SciPy, statsmodels and plain loops."""

import inspect
import itertools
import warnings
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from numpy.typing import NDArray
from scipy.special import ndtr
from statsmodels.stats.multitest import multipletests

import plateaulens as pl
from plateaulens import stats
from plateaulens.compare.resampling import Resampling
from plateaulens.errors import UsageError

INF, NAN = float("inf"), float("nan")
DRAWS = "clusters=None, confidence=0.95, resamples=2000, rng=0"
FUNCTIONS = {
    "bootstrap": "(statistic, *samples, clusters=None, method='bca', confidence=0.95, resamples=2000, rng=0)",
    "mean": f"(values, *, {DRAWS}, dim='sample')",
    "paired_difference": f"(values, reference, *, {DRAWS}, dim='sample')",
    "ks_distance": f"(values, reference, *, {DRAWS}, dim='sample')",
    "ks_swap_test": "(values, reference, *, clusters=None, confidence=0.95, swaps=2000, rng=0, dim='sample')",
    "ks_equivalence": f"(values, reference, *, margin, {DRAWS}, dim='sample')",
    "ks_difference": f"(first, second, reference, *, {DRAWS}, dim='sample')",
    "holm": "(p)",
    "benjamini_hochberg": "(p)",
    "kaplan_meier": "(time, event, *, steps, confidence=0.95, dim='sample')",
    "restricted_mean": f"(time, event, *, last, {DRAWS}, dim='sample')",
}
RESULTS = {
    "Estimate": ("estimate", "interval", "n"),
    "Difference": ("estimate", "interval", "p", "n"),
    "Distance": ("estimate", "interval", "upper_bound", "n"),
    "SwapTest": ("statistic", "p", "null_mean", "null_upper", "n"),
    "Equivalence": ("estimate", "p", "upper_bound", "margin", "n"),
    "Survival": ("step", "probability", "band", "n"),
}
step = st.one_of(st.integers(0, 8).map(float), st.just(INF))
pair = st.tuples(step, step)
probability = st.floats(0, 1)


def bare(function: Any) -> str:
    signature = inspect.signature(function)
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def columns(pairs: list[tuple[float, float]]) -> NDArray[np.float64]:
    return np.array(pairs, dtype=float).T


def largest_gap(first: NDArray[Any], second: NDArray[Any]) -> float:
    """sup |F - G|, place by place; infinity is the last place."""
    places = np.unique(np.concatenate([first, second]))
    return max(abs(float((first <= x).mean() - (second <= x).mean())) for x in places)


class TestNames:
    def test_nothing_more_and_nothing_less(self) -> None:
        assert stats.__all__ == sorted({*FUNCTIONS, *RESULTS}, key=lambda name: (name[0].islower(), name))
        assert pl.stats is stats

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_signatures_stay(self, name: str) -> None:
        assert bare(getattr(stats, name)) == FUNCTIONS[name]

    @pytest.mark.parametrize("name", RESULTS)
    def test_results_stay_and_are_frozen(self, name: str) -> None:
        found: Any = getattr(stats, name)
        assert is_dataclass(found)
        assert tuple(field.name for field in fields(found)) == RESULTS[name]
        make: Any = found
        made = make(**dict.fromkeys(RESULTS[name]))
        with pytest.raises(AttributeError):
            setattr(made, RESULTS[name][0], 1)


class TestBootstrap:
    def test_positions_are_drawn_together(self) -> None:
        rng = np.random.default_rng(3)
        x = rng.normal(size=25)
        y = x + rng.normal(size=25)
        found = stats.bootstrap(
            lambda a, b: (a * b).sum() / (a * a).sum(), x, y, method="percentile", resamples=300, rng=5
        )
        rows = np.random.default_rng(5)
        drawn = [rows.integers(25, size=25) for _ in range(300)]
        draws = [(x[own] * y[own]).sum() / (x[own] ** 2).sum() for own in drawn]
        np.testing.assert_allclose(found.interval, np.percentile(draws, [2.5, 97.5]))
        assert found.estimate == pytest.approx((x * y).sum() / (x * x).sum())
        assert found.n == 25

    def test_bca_is_scipys(self) -> None:
        values = np.random.default_rng(0).exponential(size=80)
        found = stats.bootstrap(np.mean, values, resamples=4000)
        other = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, rng=1).confidence_interval
        np.testing.assert_allclose(found.interval, other, atol=0.06 * (other[1] - other[0]))

    def test_clusters_are_drawn_whole(self) -> None:
        labels = ["a", "a", "b", "b", "b", "c"]
        seen: set[tuple[int, ...]] = set()

        def count(positions: NDArray[np.int_]) -> float:
            seen.add(tuple(np.bincount(positions, minlength=6).tolist()))
            return 0.0

        stats.bootstrap(count, np.arange(6), clusters=labels, method="percentile", resamples=50)
        assert len(seen) > 5
        assert all(a == b and c == d == e and a + c + f == 3 for a, b, c, d, e, f in seen)

    def test_a_statistic_that_is_none_has_no_interval(self) -> None:
        found = stats.bootstrap(lambda _: NAN, [1.0, 2.0], method="percentile", resamples=20)
        assert np.isnan(found.interval).all()


class TestMean:
    @given(st.lists(st.integers(0, 50).map(float), min_size=3, max_size=15, unique=True), st.integers(0, 99))
    @settings(max_examples=30)
    def test_it_is_the_bootstrap_t_interval_and_at_least_students(self, values: list[float], seed: int) -> None:
        array = np.array(values)
        n, resamples = len(array), 60
        found = stats.mean(array, resamples=resamples, rng=seed)
        rows = np.random.default_rng(seed)
        scores = []
        for _ in range(resamples):
            drawn = array[rows.integers(n, size=n)]
            change, error = drawn.mean() - array.mean(), drawn.std(ddof=1) / np.sqrt(n)
            scores.append(change / error if error > 1e-12 else np.copysign(INF, change) if change else 0.0)
        ordered = np.sort(scores)
        low, high = ordered[int(0.025 * 59)], ordered[int(np.ceil(0.975 * 59))]
        error = array.std(ddof=1) / np.sqrt(n)
        if np.isfinite([low, high]).all():
            own = array.mean() - np.array([high, low]) * error
            students = scipy.stats.ttest_1samp(array, 0).confidence_interval(0.95)
            ends = [min(own[0], students.low), max(own[1], students.high)]
            np.testing.assert_allclose(found.interval, ends, rtol=1e-6, atol=1e-9)
        assert found.estimate == pytest.approx(array.mean())

    def test_repeating_everything_in_clusters_says_no_more(self) -> None:
        values = np.random.default_rng(1).normal(size=60)
        once = stats.mean(values)
        repeated = stats.mean(np.repeat(values, 4), clusters=np.repeat(np.arange(60), 4))
        alone = stats.mean(np.repeat(values, 4))
        np.testing.assert_allclose(repeated.interval, once.interval, rtol=0, atol=0.02 * np.ptp(once.interval))
        assert np.ptp(alone.interval) < 0.6 * np.ptp(repeated.interval)

    def test_what_is_not_there_is_left_out(self) -> None:
        found = stats.mean([[1.0, NAN, 3.0, INF], [NAN] * 4], resamples=50)
        np.testing.assert_array_equal(found.estimate, [2.0, NAN])
        assert found.n.tolist() == [2, 0]
        assert np.isnan(found.interval[1]).all()


class TestPairedDifference:
    @given(st.lists(pair, min_size=2, max_size=7))
    def test_the_mean_and_all_the_signs(self, pairs: list[tuple[float, float]]) -> None:
        own, base = columns(pairs)
        found = stats.paired_difference(own, base, resamples=2**7)
        both = np.isfinite(own) & np.isfinite(base)
        assert found.n == both.sum()
        if not both.any():
            assert np.isnan([found.estimate, found.p, *found.interval]).all()
            return
        change = (own - np.where(both, base, 0))[both]
        assert found.estimate == pytest.approx(change.mean())
        signs = np.array(list(itertools.product([1, -1], repeat=len(change))))
        assert found.p == pytest.approx((np.abs(signs @ change) >= abs(change.sum()) - 1e-9).mean())

    def test_scipy_says_the_same(self) -> None:
        rng = np.random.default_rng(2)
        own, base = rng.integers(0, 20, (2, 10)).astype(float)
        found = stats.paired_difference(own, base, resamples=1024)
        other = scipy.stats.permutation_test(
            (own, base), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=1024
        )
        assert found.p == pytest.approx(other.pvalue)

    def test_it_covers(self) -> None:
        rng = np.random.default_rng(4)
        values = rng.integers(0, 30, (60, 40)) + 2.0
        found = stats.paired_difference(values, values - 2 + rng.integers(-3, 4, (60, 40)), resamples=200)
        inside = (found.interval[:, 0] <= 2) & (found.interval[:, 1] >= 2)
        assert inside.mean() > 0.88


def scipys_ks(one: NDArray[Any], other: NDArray[Any]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its p-value, which nobody asks for
        return float(scipy.stats.ks_2samp(one, other).statistic)


class TestDistance:
    @given(st.lists(pair, min_size=1, max_size=25), st.integers(0, 5))
    @settings(max_examples=60)
    def test_it_is_scipys(self, pairs: list[tuple[float, float]], missing: int) -> None:
        own, base = columns(pairs)
        own[:missing] = NAN
        found = stats.ks_distance(own, base, resamples=20)
        assert found.n == (~np.isnan(own)).sum()
        if np.isnan(own).all():
            assert np.isnan([found.estimate, found.upper_bound, *found.interval]).all()
            return
        finite = [np.where(np.isinf(each), 1e6, each)[~np.isnan(each)] for each in (own, base)]
        assert found.estimate == pytest.approx(scipys_ks(*finite))
        low, high = found.interval
        if found.n < 10:
            assert np.isnan([low, high]).all()
        else:
            assert 0 <= low <= found.estimate + 1e-12
            assert found.estimate <= high + 1e-12
        assert found.estimate <= found.upper_bound + 1e-12

    def test_the_band_is_the_error_of_the_functions(self) -> None:
        rng = np.random.default_rng(6)
        own, base = rng.integers(0, 40, 60), rng.integers(10, 50, 60)
        found = stats.ks_distance(own, base, resamples=199, rng=8)
        rows = np.random.default_rng(8)
        places = np.arange(50)
        change = [
            (own[i][:, None] <= places).mean(0) - (base[i][:, None] <= places).mean(0) for i in np.arange(60)[None]
        ]
        errors = []
        for _ in range(199):
            drawn = rows.integers(60, size=60)
            again = (own[drawn][:, None] <= places).mean(0) - (base[drawn][:, None] <= places).mean(0)
            errors.append(np.abs(again - change).max())
        reach = np.quantile(errors, 0.95)
        np.testing.assert_allclose(found.interval, found.estimate + np.array([-reach, reach]))

    @given(st.lists(pair, min_size=1, max_size=6))
    @settings(max_examples=40)
    def test_swaps_are_all_there_are(self, pairs: list[tuple[float, float]]) -> None:
        own, base = columns(pairs)
        found = stats.ks_swap_test(own, base, swaps=2**6)
        gaps = []
        for swapped in itertools.product([False, True], repeat=len(own)):
            first, second = np.where(swapped, base, own), np.where(swapped, own, base)
            gaps.append(largest_gap(first, second))
        assert found.statistic == pytest.approx(gaps[0])
        assert found.p == pytest.approx((np.array(gaps) >= gaps[0] - 1e-9).mean())
        assert found.null_mean == pytest.approx(np.mean(gaps))
        assert found.null_upper == pytest.approx(np.quantile(gaps, 0.95, method="inverted_cdf"))

    def test_a_pair_without_one_is_left_out_of_swaps(self) -> None:
        found = stats.ks_swap_test([1, 2, NAN, 9], [1, 2, 0, NAN])
        assert (found.statistic, found.p, found.n) == (0.0, 1.0, 2)


class TestEquivalence:
    @given(st.lists(pair, min_size=8, max_size=40), st.sampled_from([0.1, 0.3, 0.6]))
    @settings(max_examples=40)
    def test_every_place_has_to_reject(self, pairs: list[tuple[float, float]], margin: float) -> None:
        own, base = columns(pairs)
        n = len(own)
        found = stats.ks_equivalence(own, base, margin=margin, resamples=50, rng=1)
        rows = np.random.default_rng(1)
        places = np.unique(np.concatenate([own, base]))
        drawn = [np.arange(n), *(rows.integers(n, size=n) for _ in range(50))]
        gaps = np.array([[(own[i] <= x).mean() - (base[i] <= x).mean() for x in places] for i in drawn])
        error = np.maximum(gaps[1:].std(axis=0, ddof=1), np.sqrt(margin * (1 - margin) / n))
        assert found.p == pytest.approx(ndtr((np.abs(gaps[0]) - margin) / error).max(), abs=1e-6)
        assert (found.p < 0.05) == (found.upper_bound < margin)
        assert found.margin == margin

    def test_the_same_sample_is_equivalent_to_itself_and_a_shifted_one_is_not(self) -> None:
        steps = np.arange(120) % 30
        assert stats.ks_equivalence(steps, steps, margin=0.1).p < 0.01
        assert stats.ks_equivalence(steps, steps + 15, margin=0.1).p > 0.99


class TestNearness:
    @given(st.integers(0, 10_000))
    @settings(max_examples=20)
    def test_two_distances(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        base = rng.integers(0, 20, 50).astype(float)
        one, other = base + rng.integers(-2, 9, 50), base + rng.integers(-1, 4, 50)
        found, back = (stats.ks_difference(*each, base, resamples=80) for each in ((one, other), (other, one)))
        first, second = (scipys_ks(each, base) for each in (one, other))
        assert found.estimate == pytest.approx(first - second)
        np.testing.assert_allclose([back.estimate, *back.interval], [-found.estimate, *-found.interval[::-1]])
        assert found.p == pytest.approx(back.p)
        if found.estimate != 0:
            assert (found.p < 0.05) == bool(found.interval[0] > 0 or found.interval[1] < 0)

    def test_few_are_not_enough(self) -> None:
        steps = np.arange(39.0)
        found = stats.ks_difference(steps + 1, steps + 9, steps, resamples=50)
        assert np.isnan([found.p, *found.interval]).all()
        assert found.n == 39


class TestManyTests:
    @given(st.lists(st.one_of(probability, st.just(NAN)), min_size=1, max_size=12))
    def test_they_are_what_is_defined(self, p: list[float]) -> None:
        tests = sorted(each for each in p if each == each)
        m = len(tests)
        for found, one, many in zip(p, stats.holm(p), stats.benjamini_hochberg(p), strict=True):
            if np.isnan(found):
                assert np.isnan([one, many]).all()
                continue
            place = tests.index(found)
            last = m - tests[::-1].index(found)
            assert one == pytest.approx(min(1, max((m - i) * tests[i] for i in range(last))))
            assert many == pytest.approx(min(1, *(m / (i + 1) * tests[i] for i in range(place, m))))

    def test_they_are_statsmodels(self) -> None:
        p = np.random.default_rng(0).random(50) ** 4
        np.testing.assert_allclose(stats.holm(p), multipletests(p, method="holm")[1])
        np.testing.assert_allclose(stats.benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])

    def test_a_dataarray_stays_one(self) -> None:
        p = xr.DataArray([[0.01, NAN], [0.02, 0.5]], dims=("a", "b"), coords={"a": [1, 2]})
        assert stats.holm(p).identical(p.copy(data=[[0.03, NAN], [0.04, 0.5]]))


class TestSurvival:
    @given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=20))
    def test_it_is_the_product(self, observed: list[tuple[int, bool]]) -> None:
        time, event = np.array(observed).T
        found = stats.kaplan_meier(time, event, steps=12)
        alive = 1.0
        for k in range(12):
            at_risk, dying = (time >= k).sum(), ((time == k) & (event == 1)).sum()
            alive *= 1 - dying / at_risk if at_risk else 1
            assert found.probability[k] == pytest.approx(alive, abs=1e-9)
        assert (found.band[:, 0] <= found.probability + 1e-12).all()
        assert (found.band[:, 1] >= found.probability - 1e-12).all()
        assert (found.n, found.step.tolist()) == (len(time), list(range(12)))

    def test_the_band_is_hall_and_wellners(self) -> None:
        time = np.arange(100) % 20
        found = stats.kaplan_meier(time, np.ones(100, bool), steps=19)
        survival = np.array([(time > k).mean() for k in range(19)])
        variance = (1 - survival) / (100 * survival)  # Greenwood's, without censoring
        reach = scipy.stats.kstwobign.ppf(0.95) / 10 * survival * (1 + 100 * variance)
        np.testing.assert_allclose(found.band[:, 1], np.minimum(survival + reach, 1))

    @given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=2, max_size=20), st.integers(5, 40))
    @settings(max_examples=40)
    def test_the_restricted_mean_is_the_area_below_it(self, observed: list[tuple[int, bool]], last: int) -> None:
        time, event = np.array(observed).T
        found = stats.restricted_mean(time, event, last=last, resamples=20)
        seen = np.where(event == 1, np.minimum(time, last), last)
        curve = stats.kaplan_meier(seen, (event == 1) & (time <= last), steps=last)
        assert found.estimate == pytest.approx(curve.probability.sum())
        assert found.n == len(time)


class TestArrays:
    def test_a_summary_says_the_same(self, synthetic_summary: xr.DataTree) -> None:
        own = synthetic_summary["sensitivity"].to_dataset().sel(convention="corrected", statistic="max_slope")
        steps = own.step_value.where(~own.censored, INF)
        real = steps.sel(activation_type="real", drop=True)
        distance = stats.ks_distance(steps, real, resamples=20).estimate
        xr.testing.assert_allclose(
            distance.transpose(*own.ks.dims).drop_vars(own.ks.coords), own.ks.drop_vars(own.ks.coords)
        )
        difference = stats.paired_difference(steps, real, resamples=20)
        np.testing.assert_allclose(difference.estimate.transpose(*own.ks.dims), own.mean_difference)
        np.testing.assert_array_equal(difference.n.transpose(*own.ks.dims), own.n_pairs)
        assert difference.interval.dims[-1] == "bound"
        assert difference.interval.bound.values.tolist() == ["lower", "upper"]
        event = own.step_value.notnull()
        mean = stats.restricted_mean(own.step_value, event, last=100, resamples=20).estimate
        np.testing.assert_allclose(mean.transpose(*own.restricted_mean.dims), own.restricted_mean)

    def test_several_sets_are_one_after_the_other(self) -> None:
        rng = np.random.default_rng(0)
        own, base = rng.integers(0, 9, (2, 3, 12)).astype(float), rng.integers(0, 9, 12).astype(float)
        together = stats.ks_equivalence(own, base, margin=0.4, resamples=40)
        assert together.p.shape == (2, 3)
        for place in np.ndindex(2, 3):
            alone = stats.ks_equivalence(own[place], base, margin=0.4, resamples=40)
            assert isinstance(alone.p, float)
            assert together.p[place] == alone.p

    def test_the_dimension_is_named(self) -> None:
        values = xr.DataArray(np.arange(12.0).reshape(4, 3), dims=("prompt", "layer"), coords={"layer": [2, 5, 7]})
        found = stats.mean(values, dim="prompt", resamples=20)
        assert found.estimate.identical(xr.DataArray([4.5, 5.5, 6.5], dims="layer", coords={"layer": [2, 5, 7]}))
        assert found.interval.dims == ("layer", "bound")

    def test_a_seed_settles_everything(self) -> None:
        own, base = np.random.default_rng(0).integers(0, 99, (2, 30))
        one, same, other = (
            stats.ks_distance(own, base, resamples=50, rng=rng) for rng in (1, np.random.default_rng(1), 2)
        )
        np.testing.assert_array_equal(one.interval, same.interval)
        assert not np.array_equal(one.interval, other.interval)

    def test_singletons_are_no_clusters(self) -> None:
        own, base = np.random.default_rng(0).integers(0, 99, (2, 30))
        alone = stats.paired_difference(own, base, resamples=50)
        named = stats.paired_difference(own, base, resamples=50, clusters=[f"{i:02}" for i in range(30)])
        np.testing.assert_array_equal(alone.interval, named.interval)

    def test_what_clusters_are_called_does_not_matter(self) -> None:
        own, base = np.random.default_rng(0).integers(0, 99, (2, 30))
        numbers = [number % 5 for number in range(30)]
        named: list[list[Any]] = [
            [(number, "a") for number in numbers],
            [f"{9 - number}" for number in numbers],
            [0.5 * number for number in numbers],
        ]
        plain = stats.paired_difference(own, base, resamples=50, clusters=np.array(numbers))
        for labels in named:
            found = stats.paired_difference(own, base, resamples=50, clusters=labels)
            np.testing.assert_array_equal(found.interval, plain.interval)

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            ([0] * 4, "clusters are one, of all that is observed"),
            (np.zeros(4), "clusters are one, of all that is observed"),
            ([0, 0, 0, 1], "clusters are one, of all that is observed"),
            ([np.nan, 1, 1, 2], "clusters lack a label"),
            (np.array([np.nan, 1, 1, 2]), "clusters lack a label"),
            ([None, "a", "a", "b"], "clusters lack a label"),
            ([[0], [1], [2], [3]], r"clusters are no labels \(unhashable type"),
            (7, "clusters are no labels"),
            ([0, 1, 2], r"clusters have shape \(3,\)"),
        ],
    )
    def test_labels_that_would_give_certainty_are_refused(self, labels: Any, said: str) -> None:
        values = np.array([0.0, 1, 2, np.nan])
        several, whole = np.array([[0.0, 1, 2, 3], values]), np.arange(4.0)
        calls: list[Callable[[], Any]] = [
            lambda: stats.mean(values, clusters=labels),
            lambda: stats.mean(several, clusters=labels),
            lambda: stats.restricted_mean(values, np.ones(4), last=9, clusters=labels),
            lambda: stats.ks_equivalence(values, whole, margin=0.3, clusters=labels),
            lambda: stats.ks_swap_test(whole, values, clusters=labels),
        ]
        if len(set(map(str, np.ravel(labels)))) < 2:  # the statistic itself takes what is not there
            calls.append(lambda: stats.bootstrap(np.nanmean, values, clusters=labels))
        for call in calls:
            with pytest.raises(UsageError, match=said):
                call()

    def test_a_resample_is_of_clusters(self) -> None:
        labels = np.arange(30) % 3
        rows = Resampling.draw(np.random.default_rng(0), samples=30, resamples=1, clusters=labels).of_prompts[1]
        weights = np.repeat(np.arange(30.0), rows)
        found = stats.bootstrap(np.mean, np.arange(30.0), clusters=labels, method="percentile", resamples=1)
        np.testing.assert_allclose(found.interval, [weights.mean()] * 2)


LABELLED = xr.DataArray(np.zeros((2, 3)), dims=("layer", "prompt"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: stats.ks_distance(np.zeros((3, 4)), np.zeros(5)),
            "values, reference have shapes (3, 4) and (5,): the",
        ),
        (lambda: stats.ks_distance(np.zeros(5), np.zeros(1)), "have shapes (5,) and (1,): the last axis"),
        (lambda: stats.mean(3.0), "values have shape (): the last axis is the observations"),
        (lambda: stats.mean([]), "values have shape (0,): the last axis is the observations, one or more"),
        (lambda: stats.mean(["a"]), "values is ['a']: give numbers"),
        (lambda: stats.mean([1.0, -INF]), "values has negative infinity"),
        (lambda: stats.mean(LABELLED), "values has the dimensions ('layer', 'prompt'), and not 'sample'"),
        (
            lambda: stats.mean([1.0, 2.0], clusters=[1]),
            "clusters have shape (1,): give one label for each observation, (2,)",
        ),
        (lambda: stats.mean([1.0], confidence=1.0), "confidence 1.0 is no probability"),
        (lambda: stats.mean([1.0], resamples=0), "resamples 0 is no number of them"),
        (lambda: stats.ks_swap_test([1.0], [1.0], swaps=2.5), "swaps 2.5 is no number of them"),  # type: ignore[arg-type]
        (lambda: stats.ks_equivalence([1.0], [1.0], margin=1.5), "margin 1.5 is no distance"),
        (lambda: stats.mean([1.0], rng=-1), "rng -1 is no seed: give a whole number from 0 on"),
        (lambda: stats.holm([0.5, 1.5]), "p has 1.5, which is no probability"),
        (lambda: stats.kaplan_meier([-1], [True], steps=3), "time has -1: give steps from 0 on"),
        (lambda: stats.restricted_mean([1], [True], last=0), "last 0 is no end of a window"),
        (
            lambda: stats.bootstrap(np.mean, np.zeros((2, 2))),
            "samples have shape (2, 2): give one or more of one shape",
        ),
        (lambda: stats.bootstrap(np.mean, []), "samples have shape (0,): give one or more of one shape (n,)"),
        (lambda: stats.bootstrap(np.mean, [1.0], method="t"), "method 't' is none"),  # type: ignore[arg-type]
        (
            lambda: stats.ks_distance(np.random.default_rng(0).normal(size=9000), np.zeros(9000)),
            "9001 distinct values with 2000 resamples are too many to hold: round the values, or take at most 1387",
        ),
    ],
)
def test_errors_name_what_came_and_what_is_wanted(call: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_mistakes_name_the_function() -> None:
    with pytest.raises(UsageError, match=r"^benjamini_hochberg: p has 2"):
        stats.benjamini_hochberg([2.0])

    class WithGradient:
        def __array__(self, *_: object, **__: object) -> None:
            raise RuntimeError("requires grad")

    given: Any = WithGradient()
    with pytest.raises(UsageError, match=r"^mean: values is .*give numbers"):
        stats.mean(given)
    nothing: Any = lambda sample: None if len(sample) else 0.0  # noqa: E731
    for statistic in (nothing, lambda sample: sample):
        with pytest.raises(UsageError, match=r"^bootstrap: the statistic gave .*return one number"):
            stats.bootstrap(statistic, np.arange(5.0))
