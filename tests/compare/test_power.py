"""Powers against the tests themselves, on fresh samples."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom

from plateaulens.compare.distances import distribution_functions, ks_equivalence_p
from plateaulens.compare.permutation import Swaps, ks_swap_test
from plateaulens.compare.power import (
    Pairs,
    draw,
    pair_codes,
    power_equivalent,
    shrunk_distance,
    with_distance,
)
from plateaulens.compare.resampling import Resampling
from plateaulens.planning import ks_equivalence_power, ks_power, least_prompts

BINS = 101
LEVEL = 0.05 / 3
SWAPS = 299


def sample(rng: np.random.Generator, samples: int, shift: float, correlation: float = 0.5) -> np.ndarray:
    """Pairs (samples, 2) of whole steps, the first later by `shift`; a tenth of all is censored, the last step."""
    common, own = rng.standard_normal((samples, 1)), rng.standard_normal((samples, 2))
    value = 50 + 10 * (np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own) + [shift, 0]
    return np.where(rng.random((samples, 2)) < 0.1, BINS - 1, np.rint(value).clip(0, BINS - 2)).astype(np.int_)


def distance_of(codes: np.ndarray) -> float:
    own, other = (np.bincount(column, minlength=BINS) for column in codes.T)
    return float(np.abs(np.cumsum(own - other)).max() / len(codes))


def shift_of(distance: float, correlation: float) -> float:
    """The shift in steps that gives `sample` this distance: all but a tenth of two normal distributions."""
    rng = np.random.default_rng(0)
    low, high = 0.0, 20.0
    for _ in range(10):
        middle = (low + high) / 2
        found = distance_of(sample(rng, 50_000, middle, correlation))
        low, high = (middle, high) if found < distance else (low, middle)
    return (low + high) / 2


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12),
    st.floats(0, 1),
    st.booleans(),
)
@example([(0, 5), (5, 0)], 1.0, False)  # no difference of its own, to be turned either way
def test_events_go_with_their_steps(pairs: list[tuple[int, int]], distance: float, grouped: bool) -> None:
    """Whoever is swapped: no event is lost, and F - G at the window's end is the difference of the shares of events."""
    placed = np.array(pairs, dtype=float).T
    own = Pairs.measured(placed, placed > 4, np.arange(len(pairs)) // 2 if grouped else None)
    assert own is not None
    population = with_distance(own, distance)
    if population is None:
        return
    number = population.share @ population.size
    events = population.share @ population.events / number
    np.testing.assert_allclose(events.sum(), (placed <= 4).mean(axis=1).sum(), atol=1e-9)
    steps = np.unique(placed[placed <= 4])
    difference = population.share @ population.rows / number
    np.testing.assert_allclose(events[0] - events[1], difference[len(steps) - 1] if len(steps) else 0, atol=1e-9)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12),
    st.floats(0, 1),
    st.booleans(),
)
def test_the_distance_is_the_one_asked_for(pairs: list[tuple[int, int]], distance: float, grouped: bool) -> None:
    codes = np.array(pairs)
    own = Pairs.of(codes, np.arange(len(codes)) // 2 if grouped else None)
    functions = [(codes[:, [member]] <= np.arange(codes.max() + 1)).mean(axis=0) for member in (0, 1)]
    np.testing.assert_allclose(own.difference, functions[0] - functions[1], atol=1e-12)
    population = with_distance(own, distance)
    if population is None:
        assert distance > own.distance
        return
    mean = population.share @ population.rows / (population.share @ population.size)
    assert population.share.sum() == pytest.approx(1)
    if own.distance or distance == 0:
        assert np.abs(mean).max() == pytest.approx(distance, abs=1e-9)


def test_swapping_shrinks_the_difference_everywhere_alike() -> None:
    pairs = Pairs.of(sample(np.random.default_rng(0), 200, 6))
    population = with_distance(pairs, pairs.distance / 4)
    assert population is not None
    np.testing.assert_allclose(population.share @ population.rows, pairs.difference / 4, atol=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_error_is_that_of_the_bootstrap(grouped: bool) -> None:
    """And so the p-value of equivalence is the analysis' own."""
    rng = np.random.default_rng(1)
    codes = sample(rng, 120, 2)
    unit = np.arange(120) // 2 if grouped else np.arange(120)
    pairs = Pairs.of(codes, unit)
    histograms = Resampling.draw(rng, samples=120, resamples=4000, clusters=unit).histograms(codes, BINS)
    functions = distribution_functions(histograms)
    differences = functions[:, 0] - functions[:, 1]
    errors = differences[1:].std(axis=0)[: pairs.difference.size]
    # one sample that is the pairs themselves: every kind of unit as often as there are units of it
    whole = _Whole(pairs)
    found = draw(pairs.population, pairs.number, whole, 1)
    np.testing.assert_allclose(found.difference[0], pairs.difference, atol=1e-12)
    np.testing.assert_allclose(found.error[0], errors, rtol=0.06, atol=1e-3)
    for margin in (0.05, 0.2, 0.4):
        p = float(ks_equivalence_p(differences, np.array(120), margin))
        if abs(p - LEVEL) > 0.01:
            assert power_equivalent(found, margin=margin, level=LEVEL) == (p <= LEVEL)


class _Whole(np.random.Generator):
    """Draws the sample itself."""

    def __init__(self, pairs: Pairs) -> None:
        super().__init__(np.random.PCG64(0))
        self._counts = np.rint(pairs.share * pairs.number)

    def multinomial(self, *_: object, **__: object) -> np.ndarray:
        return self._counts[np.newaxis]


@pytest.mark.parametrize("events", [8, 30, 40, 60])
def test_equivalence_takes_events(events: int) -> None:
    """Of two equal types the distance is 0 in every sample: the rule of events alone decides, as a binomial has it."""
    step = np.where(np.arange(200) < events, np.arange(200.0) % 9, np.nan)
    pairs = Pairs.measured(np.stack([step, step]), np.isnan([step, step]))
    assert pairs is not None
    for prompts in (60, 100, 150):
        found = ks_equivalence_power(pairs, prompts, np.random.default_rng(0), margin=0.15, level=LEVEL)
        least = max(20, int(np.ceil(0.15 * prompts - 1e-9)))
        assert found == pytest.approx(binom.sf(least - 1, prompts, events / 200), abs=0.05)


def test_a_distance_of_0_has_no_noise() -> None:
    same = Pairs.of(np.tile(np.arange(9)[:, np.newaxis], (1, 2)))
    assert shrunk_distance(same, np.random.default_rng(0)) == 0


@pytest.mark.slow
def test_a_distance_without_its_noise() -> None:
    rng = np.random.default_rng(3)
    shift = shift_of(0.12, 0.5)
    found = np.array(
        [
            (pairs.distance, shrunk_distance(pairs, rng))
            for pairs in (Pairs.of(sample(rng, 60, shift)) for _ in range(40))
        ]
    )
    assert found[:, 0].mean() > 0.16
    assert found[:, 1].mean() == pytest.approx(0.13, abs=0.02)


def rejected(rng: np.random.Generator, samples: int, shift: float, correlation: float, trials: int) -> float:
    """How often the analysis' own test rejects at `LEVEL`."""
    count = 0
    for _ in range(trials):
        codes = sample(rng, samples, shift, correlation).T
        swaps = Swaps.draw(rng, samples=samples, swaps=SWAPS)
        count += ks_swap_test(codes, BINS, swaps, reference=1, confidence=0.95).p[0] <= LEVEL
    return count / trials


def equivalent(rng: np.random.Generator, samples: int, correlation: float, margin: float, trials: int) -> float:
    """How often equal distributions are found equivalent at `LEVEL`."""
    count = 0
    for _ in range(trials):
        codes = sample(rng, samples, 0, correlation)
        functions = distribution_functions(Resampling.draw(rng, samples=samples, resamples=200).histograms(codes, BINS))
        p = ks_equivalence_p(functions[:, 0] - functions[:, 1], np.array(samples), margin)
        count += float(p) <= LEVEL
    return count / trials


def planned(codes: np.ndarray, distance: float, prompts: int) -> float:
    return ks_power(Pairs.of(codes), distance, prompts, np.random.default_rng(0), level=LEVEL, resamples=SWAPS)


def planned_equivalent(codes: np.ndarray, prompts: int) -> float:
    return ks_equivalence_power(Pairs.of(codes), prompts, np.random.default_rng(0), margin=0.15, level=LEVEL)


@pytest.mark.slow
def test_a_plan_holds_in_fresh_samples() -> None:
    """From a pilot of another distance, the power that is planned for is what runs of that size have."""
    rng = np.random.default_rng(3)
    codes = sample(rng, 1000, shift_of(0.2, 0.5))
    needed = least_prompts(lambda n: planned(codes, 0.15, n) >= 0.8, 0.02)
    assert needed is not None
    assert rejected(rng, needed, shift_of(0.15, 0.5), 0.5, 400) == pytest.approx(0.8, abs=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_a_plan_of_equivalence_holds_in_fresh_samples(correlation: float) -> None:
    """From a pilot that is hardly apart."""
    rng = np.random.default_rng(6)
    codes = sample(rng, 1000, shift_of(0.05, correlation), correlation)
    needed = least_prompts(lambda n: planned_equivalent(codes, n) >= 0.8, 0.02)
    assert needed is not None
    assert equivalent(rng, needed, correlation, 0.15, 400) == pytest.approx(0.8, abs=0.07)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("correlation", "distance", "prompts"), [(0.0, 0.15, 200), (0.8, 0.15, 70), (0.5, 0.3, 40), (0.5, 0.6, 12)]
)
def test_the_power_is_that_of_fresh_samples(correlation: float, distance: float, prompts: int) -> None:
    rng = np.random.default_rng(4)
    shift = shift_of(distance, correlation)
    expected = planned(sample(rng, 1000, shift, correlation), distance, prompts)
    assert 0.3 < expected < 0.95
    assert rejected(rng, prompts, shift, correlation, 400) == pytest.approx(expected, abs=0.07)


@pytest.mark.slow
def test_closely_paired_types_have_more_power_at_another_distance_than_their_pilot_promises() -> None:
    """Swapped pairs stay as far apart as they were: they have the noise of the pilot's distance at a smaller one."""
    rng = np.random.default_rng(4)
    codes = sample(rng, 1000, shift_of(0.3, 0.8), 0.8)
    assert planned(codes, 0.15, 70) < rejected(rng, 70, shift_of(0.15, 0.8), 0.8, 200)
    assert planned_equivalent(codes, 120) < equivalent(rng, 120, 0.8, 0.15, 200)


@pytest.mark.slow
def test_small_pilots_hold_on_average() -> None:
    """A pilot's own distance is freed of its noise: with 100 pairs, plans for .8 have about .8 on average."""
    rng = np.random.default_rng(5)
    shift = shift_of(0.2, 0.5)
    powers = []
    for _ in range(8):
        codes = sample(rng, 100, shift)
        needed = _needed(codes, shrunk_distance(Pairs.of(codes), rng))
        powers.append(rejected(rng, needed, shift, 0.5, 50))
    assert 0.6 < np.mean(powers) < 0.95


def _needed(codes: np.ndarray, effect: float) -> int:
    found = least_prompts(lambda n: planned(codes, effect, n) >= 0.8, 0.05)
    assert found is not None
    return found


def test_codes_put_censored_steps_last_and_leave_undefined_ones_out() -> None:
    pair = np.array([[3.0, np.nan, np.nan, 7.0], [9.0, 5.0, 5.0, np.nan]])
    censored = np.array([[False, True, False, False], [False, False, False, True]])
    np.testing.assert_array_equal(pair_codes(pair, censored), [[0, 3], [4, 1], [2, 4]])
