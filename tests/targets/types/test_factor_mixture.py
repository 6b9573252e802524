"""A mixture of factor analysers finds planted components, and EM makes it no less likely."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from plateaulens.errors import UsageError
from plateaulens.targets.base import TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.fitting import Corpus, Fitting
from plateaulens.targets.randomness import generator
from plateaulens.targets.types import factor_mixture
from plateaulens.targets.types.factor_mixture import FactorAnalysers, FactorMixture

WIDTH = 8


@pytest.fixture(scope="module")
def planted() -> FactorAnalysers:
    """Three components with two factors each, far from each other, in dimensions of very different size."""
    rng = np.random.default_rng(5)
    size = np.geomspace(0.01, 100, WIDTH)
    return FactorAnalysers(
        weight=np.array([0.5, 0.3, 0.2]),
        mean=4 * rng.standard_normal((3, WIDTH)) * size,
        loading=rng.standard_normal((3, WIDTH, 2)) * size[:, np.newaxis],
        noise=rng.uniform(0.1, 0.5, (3, WIDTH)) * np.square(size),
        likelihood=np.zeros(0),
        held_out=np.array(0.0),
        held_out_gaussian=np.array(0.0),
    )


def drawn(mixture: FactorAnalysers, count: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.array([mixture.draw(rng) for _ in range(count)])


def covariance(mixture: FactorAnalysers, component: int) -> NDArray[np.float64]:
    loading = mixture.loading[component]
    return np.asarray(loading @ loading.T + np.diag(mixture.noise[component]))


def log_density(mixture: FactorAnalysers, values: NDArray[np.float64]) -> float:
    """Of each row on average, by SciPy."""
    parts = [
        np.log(weight) + multivariate_normal(mixture.mean[own], covariance(mixture, own)).logpdf(values)
        for own, weight in enumerate(mixture.weight)
    ]
    return float(np.logaddexp.reduce(parts).mean())


@pytest.fixture(scope="module")
def fitted(planted: FactorAnalysers) -> FactorAnalysers:
    values, judged = drawn(planted, 4000, 1), drawn(planted, 1000, 2)
    return FactorAnalysers.of(values, judged, np.random.default_rng(3), components=3, factors=2)


def test_planted_moments_are_recovered(planted: FactorAnalysers, fitted: FactorAnalysers) -> None:
    size = np.geomspace(0.01, 100, WIDTH)
    order = [int(np.abs((fitted.mean - mean) / size).sum(axis=1).argmin()) for mean in planted.mean]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(fitted.weight[order], planted.weight, atol=0.03)
    for own, found in enumerate(order):
        np.testing.assert_allclose(fitted.mean[found] / size, planted.mean[own] / size, atol=0.2)
        scaled = np.outer(size, size)
        np.testing.assert_allclose(covariance(fitted, found) / scaled, covariance(planted, own) / scaled, atol=0.6)


def test_likelihoods_are_those_of_the_density(planted: FactorAnalysers, fitted: FactorAnalysers) -> None:
    values, judged = drawn(planted, 4000, 1), drawn(planted, 1000, 2)
    assert fitted.likelihood[-1] == pytest.approx(log_density(fitted, values), abs=1e-6)
    assert fitted.held_out == pytest.approx(log_density(fitted, judged), abs=1e-6)
    gaussian = multivariate_normal(values.mean(axis=0), np.cov(values, rowvar=False, bias=True))
    assert fitted.held_out_gaussian == pytest.approx(gaussian.logpdf(judged).mean(), abs=1e-6)
    # nothing is likelier than what the activations were drawn from, but for chance
    assert fitted.held_out_gaussian + 1 < fitted.held_out < log_density(planted, judged) + 0.05


@pytest.mark.parametrize("components", [1, 2, 5])
def test_the_likelihood_never_falls(planted: FactorAnalysers, components: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factor_mixture, "TOLERANCE", -1.0)
    values = drawn(planted, 700, 4)
    found = FactorAnalysers.of(values[:600], values[600:], np.random.default_rng(0), components=components, factors=2)
    assert len(found.likelihood) == factor_mixture.MOST_ROUNDS + 1
    assert np.diff(found.likelihood).min() > -1e-9
    assert found.likelihood[-1] > found.likelihood[0]


def test_it_stops_at_the_tolerance(fitted: FactorAnalysers) -> None:
    rises = np.diff(fitted.likelihood)
    assert rises[-1] < factor_mixture.TOLERANCE
    assert (rises[:-1] >= factor_mixture.TOLERANCE).all()


def test_a_dimension_that_is_always_the_same_stays_so_and_few_activations_have_few_components() -> None:
    values = np.random.default_rng(0).standard_normal((250, 5))
    values[:, 2] = 7.0
    found = FactorAnalysers.of(values, values[:9], np.random.default_rng(0))
    assert found.loading.shape == (2, 5, 3), "a hundred activations for each component, fewer factors than dimensions"
    assert set(found.noise[:, 2]) == {0.0}
    np.testing.assert_array_equal(drawn(found, 3, 0)[:, 2], 7.0)


def test_no_variance_is_below_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factor_mixture, "FLOOR", 0.3)
    monkeypatch.setattr(factor_mixture, "TOLERANCE", -1.0)
    values = np.random.default_rng(0).standard_normal((300, 4)) * [1.0, 2.0, 3.0, 4.0]
    values[:, 3] = values[:, 0] + 0.01 * values[:, 1]
    found = FactorAnalysers.of(values, values[:9], np.random.default_rng(0), components=2, factors=2)
    least = 0.3 * values.var(axis=0)
    assert (found.noise >= 0.999 * least).all()
    np.testing.assert_allclose(found.noise[:, [0, 3]], np.tile(least[[0, 3]], (2, 1)))
    assert np.diff(found.likelihood).min() > -1e-9, "held back by the floor, it rises nevertheless"


def test_few_different_activations_make_no_empty_cluster() -> None:
    values = np.repeat(np.eye(3), 200, axis=0)
    found = FactorAnalysers.of(values, values[:3], np.random.default_rng(0), components=6, factors=1)
    assert np.isfinite(found.likelihood).all()
    assert np.isfinite(drawn(found, 20, 0)).all()


def test_activations_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(UsageError, match="all the same"):
        FactorAnalysers.of(np.ones((20, 3)), np.ones((2, 3)), np.random.default_rng(0))


def test_the_type_draws_what_was_fitted_to_the_corpus(
    planted: FactorAnalysers, context_of: Callable[..., TargetContext]
) -> None:
    activation = torch.from_numpy(drawn(planted, 900, 1)).float()
    corpus = Corpus(activation, np.zeros(900, dtype=np.int64), activation)
    context = context_of(activation[:3], seed=4)
    object.__setattr__(context, "fitting", Fitting(lambda: corpus, None, 4))
    found = draw(FactorMixture(), context.bases(activation[:3], [0, 1, 2], [0, 1, 2]), context).activation
    learned = context.learned(FactorAnalysers)
    expected = [learned.draw(generator(4, sample, "factor_mixture")) for sample in range(3)]
    np.testing.assert_array_equal(found.numpy(), np.array(expected, dtype=np.float32))
    again = FactorAnalysers.fit(Fitting(lambda: corpus, None, 4))
    np.testing.assert_array_equal(again.mean, learned.mean)
    assert float(learned.held_out) > float(learned.held_out_gaussian) + 1
