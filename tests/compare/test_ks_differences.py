import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from plateaulens.compare.distances import (
    FEWEST,
    distances,
    distribution_functions,
    ks_difference,
    ks_difference_interval,
    ks_difference_p,
)
from plateaulens.compare.distributions import Observations
from plateaulens.compare.resampling import Resampling


def differences_of(value: NDArray[np.float64], *, resamples: int = 400, seed: int = 0) -> NDArray[np.float64]:
    """F - G of every row to the first one, in the sample and its resamples."""
    observations = Observations(value, np.isinf(value), reference=0)
    resampling = Resampling.draw(np.random.default_rng(seed), samples=value.shape[1], resamples=resamples)
    functions = distribution_functions(resampling.histograms(observations.codes.T, len(observations.support)))
    return functions - functions[:, :1]


def judged(value: NDArray[np.float64], *, seed: int = 0, resamples: int = 300) -> tuple[float, NDArray[np.float64]]:
    """p-value and interval of the first row behind the reference against the second."""
    differences = differences_of(value, resamples=resamples, seed=seed)
    pairs = np.full(len(value), value.shape[1])
    return ks_difference_p(differences, pairs)[1, 2], ks_difference_interval(differences, pairs, 0.95)[1, 2]


PAIRS = np.full(4, 200)


@pytest.fixture
def differences() -> NDArray[np.float64]:
    """A reference, a type with its distribution, one 10 later and one 20 later, of 200 steps each."""
    rng = np.random.default_rng(1)
    common = rng.normal(size=200)
    return differences_of(np.rint(50 + 8 * (common + rng.normal(size=(4, 200))) + [[0], [0], [10], [20]]))


def test_one_row_is_the_other_with_its_sign_turned(differences: NDArray[np.float64]) -> None:
    interval, p = ks_difference_interval(differences, PAIRS, 0.95), ks_difference_p(differences, PAIRS)
    np.testing.assert_allclose(interval, -interval.transpose(1, 0, 2)[..., ::-1], atol=1e-12)
    np.testing.assert_allclose(p, p.T)
    np.testing.assert_array_equal(interval[np.arange(4), np.arange(4)], 0)
    np.testing.assert_array_equal(np.diag(p), 1)


def test_the_point_lies_inside_and_confidence_widens(differences: NDArray[np.float64]) -> None:
    point = ks_difference(distances(differences[0]))
    narrow, wide = (ks_difference_interval(differences, PAIRS, confidence) for confidence in (0.8, 0.95))
    assert ((narrow[..., 0] <= point) & (point <= narrow[..., 1])).all()
    assert ((wide[..., 0] <= narrow[..., 0]) & (narrow[..., 1] <= wide[..., 1])).all()


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
def test_p_is_small_exactly_when_the_interval_excludes_0(differences: NDArray[np.float64], alpha: float) -> None:
    interval, p = ks_difference_interval(differences, PAIRS, 1 - alpha), ks_difference_p(differences, PAIRS)
    excluded = (interval[..., 0] > 0) | (interval[..., 1] < 0)
    np.testing.assert_array_equal(p < alpha, excluded)


def test_what_is_plain_is_found(differences: NDArray[np.float64]) -> None:
    p = ks_difference_p(differences, PAIRS)
    assert p[1, 3] < 1e-6
    assert p[2, 3] < 1e-3


def test_away_from_0_the_error_is_that_of_the_difference_at_the_two_places() -> None:
    """By hand: two places, draws whose largest errors are equal for both types, and n = 100 for the score."""
    rows = np.array([[0.2, 0.0], [-0.5, 0.1]])
    wobble = np.array([[[0.1, 0.0], [0.1, 0.0]], [[-0.1, 0.0], [-0.1, 0.0]]])
    found = np.concatenate([rows[np.newaxis], rows + wobble])
    # the draws of the difference are 0.3 - 0.4, 0.1 - 0.6 around -0.3
    error = np.sqrt(0.2**2 + 0.3**2 / 100)
    assert ks_difference_p(found, np.full(2, 100))[0, 1] == pytest.approx(2 * ndtr(-0.3 / error))
    upper = ks_difference_interval(found, np.full(2, 100), 0.95)[0, 1, 1]
    assert upper == pytest.approx(-0.3 + ndtri(0.975) * error)


def test_a_single_prompt_is_nearer_to_nothing() -> None:
    """Structured as real and the baseline 20 later, in the only prompt: the bootstrap error is 0, and no proof."""
    p, interval = judged(np.array([[50.0], [50.0], [70.0]]))
    assert np.isnan(p)
    assert np.isnan(interval).all()


@pytest.mark.parametrize(("samples", "said"), [(FEWEST - 1, False), (FEWEST, True)])
def test_an_order_is_said_from_fewest_prompts_on(samples: int, said: bool) -> None:
    """All prompts alike: a bootstrap error of 0 at any number of them."""
    p, interval = judged(np.full((3, samples), [[50.0], [50.0], [70.0]]))
    assert np.isfinite(p) == said
    if said:
        assert p == pytest.approx(2 * ndtr(-np.sqrt(samples)))  # the score of n pairs that all say the same
        assert interval[1] < 0


def test_few_prompts_that_differ_are_no_order() -> None:
    """Of 200 prompts, 3 put the second type 20 later, and none the first: three coins may fall alike."""
    value = np.tile(np.arange(200.0) % 30, (3, 1))
    value[2, :3] += 20
    p, interval = judged(value)
    assert p > 0.05
    assert interval[0] < 0 < interval[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "design", ["copy and independent draw", "opposite sides", "far, opposite sides", "both independent draws"]
)
@pytest.mark.parametrize("samples", [40, 100])
def test_equal_distances_are_seldom_told_apart(design: str, samples: int) -> None:
    """At 5 % of level, of 300 data sets 24 (8 %) or more are rejected with probability 1.5 %."""
    wrong = 0
    for number in range(300):
        rng = np.random.default_rng([number, samples])
        real, first, second = np.rint(rng.normal(50, 10, (3, samples)))
        if design == "copy and independent draw":
            first = real
        elif design == "opposite sides":
            real, first, second = (rng.random((3, samples)) < [[0.5], [0.8], [0.2]]).astype(np.float64)
        elif design == "far, opposite sides":
            first, second = first + 40, second - 40
        wrong += judged(np.stack([real, first, second]), seed=number, resamples=199)[0] <= 0.05
    assert wrong < 24


def test_a_type_without_observations_is_undefined() -> None:
    value = np.vstack([np.arange(50.0), np.arange(50.0) + 1, np.full(50, np.nan)])
    observations = Observations(value, np.zeros(value.shape, dtype=np.bool_), reference=0)
    resampling = Resampling.draw(np.random.default_rng(0), samples=50, resamples=20)
    functions = distribution_functions(resampling.histograms(observations.codes.T, len(observations.support)))
    differences, pairs = functions - functions[:, :1], np.array([50, 50, 0])
    assert np.isnan(ks_difference_interval(differences, pairs, 0.95)[2]).all()
    assert np.isnan(ks_difference_p(differences, pairs)[:, 2]).all()
    assert np.isfinite(ks_difference_p(differences, pairs)[:2, :2]).all()


def test_equal_types_do_not_differ() -> None:
    value = np.vstack([np.arange(60.0), *[np.arange(60.0) + 3] * 2])
    p, interval = judged(value)
    assert p == 1
    assert interval[0] < 0 < interval[1]
