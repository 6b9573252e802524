import numpy as np
import pytest
from scipy import stats
from tests.distance import ks_distance

from plateaulens.replication.comparison import BINS, PairedSample


def once(sample: PairedSample) -> dict[str, float]:
    return {name: float(value[0]) for name, value in sample.statistics(np.ones((1, len(sample)))).items()}


def test_statistics_of_the_sample_itself() -> None:
    rng = np.random.default_rng(0)
    values, other = rng.integers(20, 60, 301).astype(float), rng.integers(30, 90, 301).astype(float)
    found = once(PairedSample(values, other))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["sd"] == pytest.approx(values.std())
    assert found["median"] == np.median(values)
    assert found["ks"] == pytest.approx(ks_distance(values, other))


def test_counts_repeat_base_prompts() -> None:
    values, other = np.array([1.0, 5.0, 9.0]), np.array([2.0, 4.0, 8.0])
    counts = np.array([[2.0, 0.0, 1.0]])
    found = PairedSample(values, other).statistics(counts)
    expected = once(PairedSample(np.array([1.0, 1, 9]), np.array([2.0, 2, 8])))
    assert {name: value[0] for name, value in found.items()} == pytest.approx(expected)


def test_missing_values_are_left_out() -> None:
    values, other = np.array([1.0, np.nan, 9.0, 4.0]), np.array([2.0, 3.0, np.nan, 1.0])
    found = once(PairedSample(values, other))
    assert found["mean"] == pytest.approx(14 / 3)
    assert found["median"] == 4
    assert found["ks"] == pytest.approx(ks_distance(values, other))


def test_several_numbers_of_one_base_prompt_are_pooled() -> None:
    rng = np.random.default_rng(1)
    values, other = rng.normal(size=(40, 5)), rng.normal(0.3, size=(40, 5))
    found = once(PairedSample(values, other))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["ks"] == pytest.approx(ks_distance(values.ravel(), other.ravel()))


def test_more_values_than_bins_are_compared_at_quantiles() -> None:
    rng = np.random.default_rng(2)
    values, other = rng.normal(size=3 * BINS), rng.normal(0.5, size=3 * BINS)
    assert once(PairedSample(values, other))["ks"] == pytest.approx(ks_distance(values, other), abs=2e-3)


def test_no_value_at_all() -> None:
    found = once(PairedSample(np.full(3, np.nan), np.ones(3)))
    assert np.isnan([found["mean"], found["sd"], found["median"], found["ks"]]).all()


@pytest.mark.parametrize("size", [100, 1600])
def test_the_error_of_a_mean_is_that_of_two_samples(size: int) -> None:
    values = np.random.default_rng(3).normal(50, 8, 400)
    error = PairedSample(values).error(size, 2000, 0.95, np.random.default_rng(4))
    expected = 1.96 * values.std() * np.sqrt(1 / 400 + 1 / size)
    np.testing.assert_allclose(error["mean"], [-expected, expected], rtol=0.1)
    deviation = 1.96 * values.std() * np.sqrt((1 / 400 + 1 / size) / 2)
    np.testing.assert_allclose(error["sd"], [-deviation, deviation], rtol=0.25)
    assert set(error) == {"mean", "sd", "median"}


def test_drawn_in_parts_it_is_the_same_kind_of_error(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = PairedSample(np.random.default_rng(3).normal(50, 8, 200))
    whole = sample.error(200, 1000, 0.95, np.random.default_rng(4))["mean"]
    monkeypatch.setattr("plateaulens.replication.comparison._COUNTS_AT_ONCE", 1000)
    parts = sample.error(200, 1000, 0.95, np.random.default_rng(4))["mean"]
    np.testing.assert_allclose(parts, whole, rtol=0.2)


@pytest.mark.parametrize("shift", [0.0, 4.0])
def test_a_second_sample_lies_inside_as_often_as_claimed(shift: float) -> None:
    """Paired steps of two types; the same distributions sampled by us and, twice as often, by others."""
    rng = np.random.default_rng(5)
    names, trials = ("mean", "sd", "ks"), 60
    inside = dict.fromkeys(names, 0)

    def sampled(size: int) -> PairedSample:
        common = rng.normal(size=size)
        real, own = (np.round(50 + 6 * (common + rng.normal(size=size))) for _ in range(2))
        return PairedSample(own + shift, real)

    for _ in range(trials):
        ours, theirs = sampled(100), sampled(200)
        error = ours.error(200, 200, 0.9, rng)
        for name in names:
            lower, upper = error[name]
            inside[name] += lower <= once(theirs)[name] - once(ours)[name] <= upper
    low = stats.binom.ppf(0.001, trials, 0.9) / trials
    for name in names:
        assert inside[name] / trials >= low - (0.05 if name == "ks" else 0), name
