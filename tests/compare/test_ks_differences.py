import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from plateaulens.compare.distances import (
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


@pytest.fixture
def differences() -> NDArray[np.float64]:
    """A reference, a type with its distribution, one 10 later and one 20 later, of 200 steps each."""
    rng = np.random.default_rng(1)
    common = rng.normal(size=200)
    return differences_of(np.rint(50 + 8 * (common + rng.normal(size=(4, 200))) + [[0], [0], [10], [20]]))


def test_one_row_is_the_other_with_its_sign_turned(differences: NDArray[np.float64]) -> None:
    interval, p = ks_difference_interval(differences, 0.95), ks_difference_p(differences)
    np.testing.assert_allclose(interval, -interval.transpose(1, 0, 2)[..., ::-1], atol=1e-12)
    np.testing.assert_allclose(p, p.T)
    np.testing.assert_array_equal(interval[np.arange(4), np.arange(4)], 0)
    np.testing.assert_array_equal(np.diag(p), 1)


def test_the_point_lies_inside_and_confidence_widens(differences: NDArray[np.float64]) -> None:
    point = ks_difference(distances(differences[0]))
    narrow, wide = (ks_difference_interval(differences, confidence) for confidence in (0.8, 0.95))
    assert ((narrow[..., 0] <= point) & (point <= narrow[..., 1])).all()
    assert ((wide[..., 0] <= narrow[..., 0]) & (narrow[..., 1] <= wide[..., 1])).all()


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
def test_p_is_small_exactly_when_the_interval_excludes_0(differences: NDArray[np.float64], alpha: float) -> None:
    interval, p = ks_difference_interval(differences, 1 - alpha), ks_difference_p(differences)
    excluded = (interval[..., 0] > 0) | (interval[..., 1] < 0)
    np.testing.assert_array_equal(p < alpha, excluded)


def test_what_is_plain_is_found(differences: NDArray[np.float64]) -> None:
    p = ks_difference_p(differences)
    assert p[1, 3] < 1e-6
    assert p[2, 3] < 1e-3


def test_the_error_is_that_of_the_difference_at_the_two_places() -> None:
    """By hand: two places, and draws whose distances have no bias."""
    rows = np.array([[0.2, 0.0], [-0.5, 0.1]])
    wobble = np.array(
        [[[0.1, 0.0], [0.0, 0.0]], [[-0.1, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.1, 0.0]], [[0.0, 0.0], [-0.1, 0.0]]]
    )
    interval = ks_difference_interval(np.concatenate([rows[np.newaxis], rows + wobble]), 0.95)
    # the draws of the difference are -0.2, -0.4, -0.2, -0.4 around -0.3
    np.testing.assert_allclose(interval[0, 1], -0.3 + ndtri(0.975) * 0.1 * np.array([-1, 1]))


def test_a_bias_extends_the_interval_on_its_own_side() -> None:
    """The first type's distance goes up by 0.1 in each resample, and moves at the place by nothing."""
    point = np.array([[0.2, 0.0], [0.5, 0.0]])
    draws = np.stack([point, point + np.array([[0.0, 0.3], [0.0, 0.0]])])
    interval = ks_difference_interval(np.stack([draws[0], draws[1], draws[1]]), 0.95)
    np.testing.assert_allclose(interval[0, 1], [-0.3 - 2 * 0.1, -0.3])


def test_a_type_without_observations_is_undefined() -> None:
    value = np.vstack([np.arange(10.0), np.arange(10.0) + 1, np.full(10, np.nan)])
    observations = Observations(value, np.zeros(value.shape, dtype=np.bool_), reference=0)
    resampling = Resampling.draw(np.random.default_rng(0), samples=10, resamples=20)
    functions = distribution_functions(resampling.histograms(observations.codes.T, len(observations.support)))
    differences = functions - functions[:, :1]
    assert np.isnan(ks_difference_interval(differences, 0.95)[2]).all()
    assert np.isnan(ks_difference_p(differences)[:, 2]).all()
    assert np.isfinite(ks_difference_p(differences)[:2, :2]).all()


def test_equal_types_do_not_differ() -> None:
    value = np.vstack([np.arange(30.0), *[np.arange(30.0) + 3] * 2])
    found = differences_of(value)
    np.testing.assert_array_equal(ks_difference_interval(found, 0.95)[1, 2], 0)
    assert ks_difference_p(found)[1, 2] == 1
