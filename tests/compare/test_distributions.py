import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray
from tests.distance import ks_distance

from plateaulens.compare.distributions import BY_METHOD, DECILES, INTERVAL_METHODS, Comparison, compare_types
from plateaulens.compare.intervals import rare_reach
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.summary.comparison import ESTIMATES, VARIABLES

RETURNED = VARIABLES | {f"{name}_interval_by_method": ESTIMATES[name] for name in BY_METHOD}
"""What `compare_types` returns: what a summary stores, and the intervals by method, whose units are the quantity's."""


def compare(
    value: NDArray[np.float64],
    censored: NDArray[np.bool_] | None = None,
    *,
    resamples: int = 100,
    seed: int = 0,
    reference: int = 0,
    resampling: Resampling | None = None,
    confidence: float = 0.95,
) -> Comparison:
    rng = np.random.default_rng(seed)
    resampling = resampling or Resampling.draw(rng, samples=value.shape[1], resamples=resamples)
    return compare_types(
        value,
        np.zeros(value.shape, dtype=np.bool_) if censored is None else censored,
        resampling,
        Swaps.draw(rng, samples=value.shape[1], swaps=resamples),
        reference=reference,
        last_step=100,
        margin=0.15,
        settings=AnalysisConfig(resamples=resamples, confidence=confidence),
        rng=rng,
    )


@pytest.fixture
def value() -> NDArray[np.float64]:
    """Three types of 50 integer steps; some of the second and third are missing."""
    value = np.random.default_rng(0).integers(20, 80, (3, 50)).astype(np.float64)
    value[1, :5] = np.nan
    value[2, 3:12] = np.nan
    return value


@pytest.fixture
def censored(value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of the missing ones, those from sample 4 on are censored, the others undefined."""
    return np.isnan(value) & (np.arange(50) >= 4)


def test_the_variables_are_those_announced(value: NDArray[np.float64]) -> None:
    found = compare(value)
    sizes = {"activation_type": 3, "other_type": 3, "bound": 2, "quantile": len(DECILES)}
    stored = {name: tuple(sizes[dim] for dim in described.dims) for name, described in VARIABLES.items()}
    by_method = {f"{name}_interval_by_method": (3, len(INTERVAL_METHODS), 2) for name in BY_METHOD}
    assert {name: array.shape for name, array in found.items()} == stored | by_method


def test_the_stored_interval_is_the_studentised_one(value: NDArray[np.float64]) -> None:
    """Of a mean and of a mean difference the one that holds it and Student's, by SciPy."""
    found, place = compare(value), INTERVAL_METHODS.index("studentised")
    for name, values in (("mean", value), ("mean_difference", value - value[0])):
        for own, interval, studentised in zip(
            values[1:],
            found[f"{name}_interval"][1:],
            found[f"{name}_interval_by_method"][1:, place],
            strict=True,
        ):
            students = scipy.stats.ttest_1samp(own[np.isfinite(own)], 0).confidence_interval(0.95)
            np.testing.assert_allclose(interval[0], min(studentised[0], students.low))
            np.testing.assert_allclose(interval[1], max(studentised[1], students.high))


def test_a_distance_of_few_base_prompts_has_no_interval() -> None:
    """Of fewer than 10, and where groups are resampled of fewer than 10 groups: the distance itself stays."""
    rng = np.random.default_rng(4)
    for n, there in ((9, False), (10, True)):
        value = rng.integers(0, 30, (2, n)).astype(np.float64)
        found = compare(value)
        assert np.isfinite(found["ks"]).all()
        assert np.isfinite(found["ks_interval"]).all() == there
        assert np.isfinite(found["ks_upper_bound"]).all()
    incomplete = np.concatenate([np.ones((2, 9)), [[np.nan] * 4, [3.0] * 4]], axis=1)
    assert np.isnan(compare(incomplete)["ks_interval"][1]).all()
    pairs = Resampling.draw(rng, samples=16, resamples=100, clusters=np.arange(16) // 2)
    assert np.isnan(compare(rng.integers(0, 30, (2, 16)).astype(np.float64), resampling=pairs)["ks_interval"]).all()


def test_points_by_hand() -> None:
    nan = np.nan
    value = np.array([[10.0, 20, 30, 40], [12.0, 26, nan, nan]])
    censored = np.array([[False] * 4, [False, False, True, False]])
    found = compare(value, censored)
    assert found["n"].tolist() == [4, 2]
    assert found["n_pairs"].tolist() == [4, 2]
    np.testing.assert_allclose(found["mean"], [25, 19])
    np.testing.assert_allclose(found["sd"], [np.sqrt(125), 7])  # population sd
    np.testing.assert_allclose(found["censored_fraction"], [0, 1 / 3])  # the undefined one is no observation
    np.testing.assert_allclose(found["mean_difference"], [0, 4])  # of 12 - 10 and 26 - 20
    # the type is {12, 26, inf}: at 12, 1/3 against 1/4; at 40, 2/3 against 1
    np.testing.assert_allclose(found["ks"], [0, 1 / 3])
    np.testing.assert_allclose(found["ks_difference"], [[0, -1 / 3], [1 / 3, 0]])


def test_points_agree_with_plain_numpy(value: NDArray[np.float64], censored: NDArray[np.bool_]) -> None:
    found = compare(value, censored)
    np.testing.assert_allclose(found["mean"], np.nanmean(value, axis=1))
    np.testing.assert_allclose(found["sd"], np.nanstd(value, axis=1))
    np.testing.assert_allclose(found["mean_difference"], np.nanmean(value - value[0], axis=1))
    placed = np.where(censored, np.inf, value)
    np.testing.assert_allclose(found["ks"], [ks_distance(row, placed[0]) for row in placed])


def test_intervals_are_those_of_resampling_whole_base_prompts(
    value: NDArray[np.float64], censored: NDArray[np.bool_]
) -> None:
    """The same resampled base prompts for all types: one loop over resamples gives every draw."""
    resampling = Resampling.draw(np.random.default_rng(5), samples=50, resamples=60)
    found = compare(value, censored, resampling=resampling, confidence=0.9)
    draws: dict[str, list[NDArray[np.float64]]] = {"mean": [], "mean_difference": [], "ks": []}
    for counts in resampling.of_prompts[1:]:
        chosen = np.repeat(np.arange(50), counts)
        drawn, beyond = value[:, chosen], censored[:, chosen]
        placed = np.where(beyond, np.inf, drawn)
        draws["mean"].append(np.nanmean(drawn, axis=1))
        draws["mean_difference"].append(np.nanmean(drawn - drawn[0], axis=1))
        draws["ks"].append(np.array([ks_distance(row, placed[0]) for row in placed]))
    intervals = {
        "mean": found["mean_interval_by_method"][:, 0],
        "mean_difference": found["mean_difference_interval_by_method"][:, 0],
        "ks": found["ks_percentile_interval"],
    }
    for name, drawn_values in draws.items():
        expected = np.quantile(drawn_values, [0.05, 0.95], axis=0).T
        np.testing.assert_allclose(intervals[name], expected, atol=1e-9)


def test_the_reference_does_not_differ_from_itself(value: NDArray[np.float64]) -> None:
    found = compare(value, reference=1)
    for name in ("mean_difference_interval", "ks_interval", "ks_percentile_interval"):
        np.testing.assert_array_equal(found[name][1], [0, 0])


def test_the_difference_of_distances_is_antisymmetric(value: NDArray[np.float64]) -> None:
    found = compare(value)
    np.testing.assert_array_equal(found["ks_difference"], -found["ks_difference"].T)
    lower, upper = found["ks_difference_interval"][..., 0], found["ks_difference_interval"][..., 1]
    np.testing.assert_allclose(lower, -upper.T, atol=1e-12)


def test_an_interval_for_all_types_holds_that_of_a_single_one() -> None:
    """Max-t is about the point: where a few pairs lie far to one side, the studentised interval reaches beyond it."""
    rng = np.random.default_rng(0)
    base = rng.integers(40, 80, 60).astype(np.float64)
    few = base + rng.integers(-1, 2, 60)
    few[:4] -= 35
    found = compare(np.stack([base, few]), resamples=400)
    single, together = found["mean_difference_interval"][1], found["mean_difference_simultaneous"][1]
    assert together[0] == single[0]
    assert together[1] >= single[1]
    point = found["mean_difference"][1]
    assert point - together[0] > 1.1 * (together[1] - point), "max-t alone reaches as far on both sides"
    assert np.isnan(found["mean_difference_simultaneous"][0]).all()


def test_a_share_s_interval_for_all_types_ends_where_shares_do() -> None:
    """P(later) - P(earlier) is at most 1; a point of nearly 1 and its spread reach beyond that."""
    rng = np.random.default_rng(0)
    base = rng.integers(20, 60, 40).astype(np.float64)
    nearly = base + np.where(np.arange(40) < 1, -5, 20)
    found = compare(np.stack([base, nearly, base + rng.integers(-9, 10, 40)]), resamples=400)
    assert found["paired_delta"][1] == pytest.approx(0.95)
    assert found["paired_delta_simultaneous"][1, 1] == 1
    assert found["paired_delta_simultaneous"][1, 0] < 0.95


def test_pairing_narrows_the_difference() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(20, 80, 200).astype(np.float64)
    found = compare(np.stack([base, base + rng.integers(0, 3, 200)]), resamples=400)
    width = np.ptp(found["mean_difference_interval"][1])
    assert width < 0.1 * np.ptp(found["mean_interval"][1])


def test_the_same_generator_gives_the_same_bytes(value: NDArray[np.float64]) -> None:
    first, second, other = compare(value), compare(value), compare(value, seed=1)
    assert all(first[name].tobytes() == second[name].tobytes() for name in RETURNED)
    assert first["mean_interval"].tobytes() != other["mean_interval"].tobytes()


@pytest.mark.parametrize("shift", [0.0, 7.0])
def test_affine_maps_of_the_steps(value: NDArray[np.float64], shift: float) -> None:
    """Means and quantities in steps follow x -> 2 x + shift, the window with them; probabilities and tests do not."""
    found, mapped = compare(value), compare(2 * value + shift)
    for name, described in RETURNED.items():
        if name == "mean_equivalence_p":  # its margin is in steps
            continue
        scale = 2.0 if described.units == "step" else 1.0
        moved = shift if name in {"mean", "mean_interval", "mean_interval_by_method", "prediction"} else 0.0
        np.testing.assert_allclose(mapped[name], scale * found[name] + moved, atol=1e-9, err_msg=name)


def test_a_monotone_map_changes_no_rank_statistic(value: NDArray[np.float64], censored: NDArray[np.bool_]) -> None:
    found, mapped = compare(value, censored), compare(np.exp(value / 10), censored)
    for name in RETURNED:
        if name.startswith(("ks", "cliffs_delta", "censored")):
            np.testing.assert_allclose(mapped[name], found[name], atol=1e-9, err_msg=name)


def test_exchanging_type_and_reference(value: NDArray[np.float64], censored: NDArray[np.bool_]) -> None:
    """Distances are symmetric, with their intervals and tests; differences and deltas turn their sign."""
    forth, back = compare(value, censored), compare(value, censored, reference=1)
    for name in ("ks", "ks_interval", "ks_upper_bound", "ks_p", "ks_p_pooled", "wasserstein_interval"):
        np.testing.assert_allclose(forth[name][1], back[name][0], atol=1e-9, err_msg=name)
    for name in ("mean_difference", "median_difference", "cliffs_delta", "paired_delta", "quantile_shift"):
        np.testing.assert_allclose(forth[name][1], np.negative(back[name][0]), atol=1e-9, err_msg=name)
        turned = np.negative(back[f"{name}_interval"][0][..., ::-1])
        np.testing.assert_allclose(forth[f"{name}_interval"][1], turned, atol=1e-9, err_msg=name)


def test_a_later_type_is_later_by_every_measure(value: NDArray[np.float64]) -> None:
    later = np.stack([value[0], value[0] + 5])
    found = compare(later)
    for name in ("mean_difference", "median_difference", "wasserstein"):
        assert found[name][1] == pytest.approx(5)
    np.testing.assert_allclose(found["quantile_shift"][1], 5)
    assert found["paired_delta"][1] == 1
    assert 0 < found["cliffs_delta"][1] < 1
    assert found["mean_difference_p"][1] == 1 / 101
    assert found["difference_degenerate"].tolist() == [True, False]
    assert found["degenerate"].tolist() == [False, False]


def test_the_control_is_within_the_margin_and_a_far_type_is_not() -> None:
    rng = np.random.default_rng(3)
    real, control = rng.integers(20, 80, (2, 1000)).astype(np.float64)
    found = compare(np.stack([real, control, control + 12]), resamples=400)
    assert found["ks_upper_bound"][0] == 0
    assert found["ks_upper_bound"][1] < 0.15 < found["ks_upper_bound"][2]
    assert found["ks_equivalence_p"][1] < 0.05 < found["ks_equivalence_p"][2]
    assert found["ks_p"][1] > 0.05 > found["ks_p"][2]
    assert found["ks_difference_p"][1, 2] < 0.05
    assert found["ks_null"][1] == pytest.approx(found["ks_null"][2], rel=0.2)


def test_a_sentinel_is_a_value_and_counts_as_censored() -> None:
    value = np.array([[10.0, 20, 99], [10.0, 99, 99]])
    found = compare(value, value == 99)
    assert found["n"].tolist() == [3, 3]
    np.testing.assert_allclose(found["mean"], [43, 208 / 3])
    np.testing.assert_allclose(found["censored_fraction"], [1 / 3, 2 / 3])
    np.testing.assert_allclose(found["ks"], [0, 1 / 3])


def test_the_difference_of_two_near_copies_may_be_what_the_sample_did_not_show() -> None:
    """A copy, and a type that would differ in few prompts but does in none: their distances may differ by so much."""
    real = np.arange(60.0)
    found = compare(np.stack([real, real, real]))
    reach = float(rare_reach(np.array(0), np.array(60), 0.95))
    np.testing.assert_allclose(found["ks_difference_interval"][1, 2], [-reach, reach])
    assert found["ks_difference_p"][1, 2] == 1


DESIGNS = ("copies", "far")


@pytest.mark.slow
@pytest.mark.parametrize("samples", [40, 100])
@pytest.mark.parametrize("design", DESIGNS)
def test_rare_differences_are_covered(design: str, samples: int) -> None:
    """Types that differ from real in 2 % of prompts, and types that nearly always come later.

    Of 300 intervals that cover 93 % of the time, 266 or fewer do with probability 0.3 %.
    """
    quantities = ("ks", "wasserstein", "cliffs_delta", "paired_delta", "mean_difference")
    truths, held = _planted(design, samples=400_000, seed=0), dict.fromkeys(quantities, 0)
    for number in range(300):
        rng = np.random.default_rng([number, samples])
        found = compare(_planted(design, samples=samples, seed=number + 1), resamples=199, seed=int(rng.integers(99)))
        for name in quantities:
            lower, upper = found[f"{name}_interval"][1]
            held[name] += int(lower - 1e-9 <= _truth(truths, name) <= upper + 1e-9)
    assert {name: count for name, count in held.items() if count < 267} == {}


def _planted(design: str, *, samples: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    real = np.rint(rng.normal(50, 12, samples)).clip(1, 100)
    if design == "far":
        return np.stack([real, np.rint(rng.normal(88, 4, samples)).clip(1, 100)])
    other = np.where(rng.random(samples) < 0.02, np.rint(rng.normal(70, 10, samples)).clip(1, 100), real)
    return np.stack([real, other])


def _truth(value: NDArray[np.float64], name: str) -> float:
    """What is true of a type, from very many draws of it."""
    real, other = value
    if name == "mean_difference":
        return float((other - real).mean())
    if name == "paired_delta":
        return float(np.sign(other - real).mean())
    steps = np.arange(102)
    first, second = (np.searchsorted(np.sort(row), steps, side="right") / len(row) for row in (other, real))
    if name == "cliffs_delta":
        share = np.diff(first, prepend=0.0)
        return float(share @ (np.append(0.0, second[:-1]) + second - 1))
    return float(np.abs(first - second).max() if name == "ks" else np.abs(first - second).sum())


class TestDegenerate:
    """A point, or NaN only where the quantity does not exist, and never a warning (warnings are errors here)."""

    def test_constant_data(self) -> None:
        found = compare(np.array([[7.0] * 10, [9.0] * 10]))
        assert found["degenerate"].all()
        assert found["difference_degenerate"].all()
        np.testing.assert_array_equal(found["mean_interval"], [[7, 7], [9, 9]])
        # none of 10 differences is another one than 2, and one that is would be no larger than the range of the steps
        reach = 2 * float(rare_reach(np.array(0), np.array(10), 0.95))
        expected = np.array([[0, 0], [2 - reach, 2 + reach]])
        np.testing.assert_allclose(found["mean_difference_interval"], expected)
        np.testing.assert_array_equal(found["ks_interval"], [[0, 0], [1, 1]])

    def test_one_base_prompt(self) -> None:
        found = compare(np.array([[7.0], [9.0]]))
        np.testing.assert_array_equal(found["mean_interval"], [[7, 7], [9, 9]])
        np.testing.assert_array_equal(found["sd"], [0, 0])
        assert np.isnan(found["ks_interval"]).all()

    def test_everything_of_a_type_censored(self) -> None:
        value = np.array([[7.0, 8, 9], [np.nan] * 3])
        found = compare(value, np.isnan(value))
        for name in ("mean", "mean_difference"):
            assert np.isnan(found[name][1])
            assert np.isnan(found[f"{name}_interval"][1]).all()
        assert np.isnan(found["sd"][1])
        assert found["censored_fraction"][1] == 1
        assert found["censored_fraction_interval"][1, 1] == 1
        assert 0 < found["censored_fraction_interval"][1, 0] < 1
        assert found["ks"][1] == 1
        np.testing.assert_array_equal(found["ks_percentile_interval"][1], [1, 1])
        assert found["median_difference"][1] == np.inf
        np.testing.assert_array_equal(found["median_difference_interval"][1], [np.inf, np.inf])
        np.testing.assert_array_equal(found["quantile_shift"][1], np.inf)
        assert found["cliffs_delta"][1] == found["paired_delta"][1] == 1
        assert found["wasserstein"][1] == 92  # from 7, 8, 9 to the end of the window

    def test_everything_censored(self) -> None:
        value = np.full((2, 3), np.nan)
        found = compare(value, np.isnan(value))
        np.testing.assert_array_equal(found["ks"], [0, 0])
        np.testing.assert_array_equal(found["n"], [0, 0])
        assert np.isnan(found["mean"]).all()
        np.testing.assert_array_equal(found["ks_p"], [np.nan, 1])
        assert np.isnan(found["mean_difference_p"]).all()

    def test_an_existing_quantity_has_an_interval(self) -> None:
        """Whatever the data: a point that is a number has bounds that are."""
        rng = np.random.default_rng(0)
        for n in (1, 2, 3, 8):
            value = rng.integers(0, 3, (3, n)).astype(np.float64)
            value[rng.random((3, n)) < 0.3] = np.nan
            found = compare(value, np.isnan(value) & (rng.random((3, n)) < 0.5))
            for name in VARIABLES:
                # these take 40 and 10 base prompts
                if f"{name}_interval" in VARIABLES and name not in {"ks_difference", "ks"}:
                    there = ~np.isnan(found[name])
                    assert not np.isnan(found[f"{name}_interval"][there]).any(), name

    def test_nothing_observed(self) -> None:
        found = compare(np.full((2, 3), np.nan))
        assert found["degenerate"].all()
        for name in RETURNED.keys() - {"n", "n_pairs", "degenerate", "difference_degenerate"}:
            assert np.isnan(found[name]).all(), name

    def test_resamples_without_the_only_value_are_set_aside(self) -> None:
        value = np.array([[1.0, 2, 3, 4], [np.nan, np.nan, np.nan, 6]])
        found = compare(value)
        np.testing.assert_array_equal(found["mean_interval"][1], [6, 6])
        assert found["mean_difference"][1] == 2
        assert np.mean(found["mean_difference_interval"][1]) == pytest.approx(2)
        assert found["difference_degenerate"][1]
