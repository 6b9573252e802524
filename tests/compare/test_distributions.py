import numpy as np
import pytest
from numpy.typing import NDArray

from plateaulens.compare.distributions import DIMS, compare_types
from plateaulens.compare.kolmogorov import ks_distance
from plateaulens.compare.resampling import Resampling

Comparison = dict[str, NDArray[np.float64] | NDArray[np.int_]]


def compare(
    value: NDArray[np.float64],
    censored: NDArray[np.bool_] | None = None,
    *,
    resamples: int = 100,
    seed: int = 0,
    reference: int = 0,
) -> Comparison:
    resampling = Resampling.draw(np.random.default_rng(seed), samples=value.shape[1], resamples=resamples)
    if censored is None:
        censored = np.zeros(value.shape, dtype=np.bool_)
    return compare_types(value, censored, resampling, reference=reference, confidence=0.95)


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
    sizes = {"activation_type": 3, "other_type": 3, "bound": 2}
    assert {name: array.shape for name, array in found.items()} == {
        name: tuple(sizes[dim] for dim in dims) for name, dims in DIMS.items()
    }


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
    found = compare_types(value, censored, resampling, reference=0, confidence=0.9)
    draws: dict[str, list[NDArray[np.float64]]] = {"mean": [], "sd": [], "mean_difference": [], "ks": []}
    for counts in resampling.counts[1:]:
        chosen = np.repeat(np.arange(50), counts)
        drawn, beyond = value[:, chosen], censored[:, chosen]
        placed = np.where(beyond, np.inf, drawn)
        draws["mean"].append(np.nanmean(drawn, axis=1))
        draws["sd"].append(np.nanstd(drawn, axis=1))
        draws["mean_difference"].append(np.nanmean(drawn - drawn[0], axis=1))
        draws["ks"].append(np.array([ks_distance(row, placed[0]) for row in placed]))
    names = {"ks": "ks_percentile_interval"}
    for name, drawn_values in draws.items():
        expected = np.quantile(drawn_values, [0.05, 0.95], axis=0).T
        np.testing.assert_allclose(found[names.get(name, f"{name}_interval")], expected, atol=1e-9)
    ks = np.array(draws["ks"])
    expected = np.quantile(ks[:, 1] - ks[:, 2], [0.05, 0.95])
    np.testing.assert_allclose(found["ks_difference_interval"][1, 2], expected, atol=1e-9)


def test_the_reference_does_not_differ_from_itself(value: NDArray[np.float64]) -> None:
    found = compare(value, reference=1)
    for name in ("mean_difference_interval", "ks_interval", "ks_percentile_interval"):
        np.testing.assert_array_equal(found[name][1], [0, 0])


def test_the_difference_of_distances_is_antisymmetric(value: NDArray[np.float64]) -> None:
    found = compare(value)
    np.testing.assert_array_equal(found["ks_difference"], -found["ks_difference"].T)
    lower, upper = found["ks_difference_interval"][..., 0], found["ks_difference_interval"][..., 1]
    np.testing.assert_allclose(lower, -upper.T, atol=1e-12)


def test_pairing_narrows_the_difference() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(20, 80, 200).astype(np.float64)
    found = compare(np.stack([base, base + rng.integers(0, 3, 200)]), resamples=400)
    width = np.ptp(found["mean_difference_interval"][1])
    assert width < 0.1 * np.ptp(found["mean_interval"][1])


def test_the_same_generator_gives_the_same_bytes(value: NDArray[np.float64]) -> None:
    first, second, other = compare(value), compare(value), compare(value, seed=1)
    assert all(first[name].tobytes() == second[name].tobytes() for name in DIMS)
    assert first["mean_interval"].tobytes() != other["mean_interval"].tobytes()


def test_shifting_every_step_shifts_means_and_nothing_else(value: NDArray[np.float64]) -> None:
    found, shifted = compare(value), compare(value + 7)
    for name in DIMS:
        moved = 7.0 if name in {"mean", "mean_interval"} else 0.0
        np.testing.assert_allclose(shifted[name], found[name] + moved, atol=1e-9)


def test_a_sentinel_is_a_value_and_counts_as_censored() -> None:
    value = np.array([[10.0, 20, 99], [10.0, 99, 99]])
    found = compare(value, value == 99)
    assert found["n"].tolist() == [3, 3]
    np.testing.assert_allclose(found["mean"], [43, 208 / 3])
    np.testing.assert_allclose(found["censored_fraction"], [1 / 3, 2 / 3])
    np.testing.assert_allclose(found["ks"], [0, 1 / 3])


class TestDegenerate:
    """A point, or NaN only where the quantity does not exist, and never a warning (warnings are errors here)."""

    def test_constant_data(self) -> None:
        found = compare(np.array([[7.0] * 10, [9.0] * 10]))
        np.testing.assert_array_equal(found["mean_interval"], [[7, 7], [9, 9]])
        np.testing.assert_array_equal(found["sd_interval"], np.zeros((2, 2)))
        np.testing.assert_array_equal(found["mean_difference_interval"], [[0, 0], [2, 2]])
        np.testing.assert_array_equal(found["ks_interval"], [[0, 0], [1, 1]])

    def test_one_base_prompt(self) -> None:
        found = compare(np.array([[7.0], [9.0]]))
        np.testing.assert_array_equal(found["mean_interval"], [[7, 7], [9, 9]])
        np.testing.assert_array_equal(found["sd"], [0, 0])
        np.testing.assert_array_equal(found["ks_interval"][1], [1, 1])

    def test_everything_of_a_type_censored(self) -> None:
        value = np.array([[7.0, 8, 9], [np.nan] * 3])
        found = compare(value, np.isnan(value))
        for name in ("mean", "sd", "mean_difference"):
            assert np.isnan(found[name][1])
            assert np.isnan(found[f"{name}_interval"][1]).all()
        assert found["censored_fraction"][1] == 1
        np.testing.assert_array_equal(found["censored_fraction_interval"][1], [1, 1])
        assert found["ks"][1] == 1
        np.testing.assert_array_equal(found["ks_percentile_interval"][1], [1, 1])
        assert found["ks_interval"][1, 1] == 1

    def test_everything_censored(self) -> None:
        value = np.full((2, 3), np.nan)
        found = compare(value, np.isnan(value))
        np.testing.assert_array_equal(found["ks"], [0, 0])
        np.testing.assert_array_equal(found["n"], [0, 0])
        assert np.isnan(found["mean"]).all()

    def test_nothing_observed(self) -> None:
        found = compare(np.full((2, 3), np.nan))
        for name in DIMS.keys() - {"n", "n_pairs"}:
            assert np.isnan(found[name]).all(), name

    def test_resamples_without_the_only_value_are_set_aside(self) -> None:
        value = np.array([[1.0, 2, 3, 4], [np.nan, np.nan, np.nan, 6]])
        found = compare(value)
        np.testing.assert_array_equal(found["mean_interval"][1], [6, 6])
        np.testing.assert_array_equal(found["mean_difference_interval"][1], [2, 2])
        assert np.isfinite(found["ks_interval"]).all()
