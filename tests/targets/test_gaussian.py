import numpy as np
import pytest
import torch

from plateaulens.targets.gaussian import Gaussian


def test_moments_of_hand_computed_activations() -> None:
    gaussian = Gaussian.fit(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [4.0, 2.0]]))
    torch.testing.assert_close(gaussian.mean, torch.tensor([2.0, 1.0], dtype=torch.float64))
    # variances divided by n: 4 and 1
    torch.testing.assert_close(gaussian.root, torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64)))
    assert gaussian.deviation == pytest.approx(np.sqrt(2.5))


def test_root_is_symmetric_and_squares_to_the_covariance() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((40, 7)) @ rng.standard_normal((7, 7)) + 3
    gaussian = Gaussian.fit(torch.tensor(values))
    torch.testing.assert_close(gaussian.root, gaussian.root.T)
    torch.testing.assert_close(gaussian.root @ gaussian.root, torch.tensor(np.cov(values.T, bias=True)))


def test_directions_without_variance_stay_exactly_flat() -> None:
    """Centred activations (each sums to zero) of a large scale, fewer than dimensions: many null directions."""
    rng = np.random.default_rng(1)
    values = 1e4 * rng.standard_normal((20, 32))
    values -= values.mean(axis=1, keepdims=True)
    gaussian = Gaussian.fit(torch.tensor(values))
    draws = torch.stack([gaussian.draw(np.random.default_rng(seed)) for seed in range(50)]).numpy()
    assert np.abs(draws.sum(axis=1)).max() < 1e-5
    null = np.linalg.svd(values - values.mean(axis=0))[2][19:]
    assert np.abs((draws - gaussian.mean.numpy()) @ null.T).max() < 1e-5
    assert np.abs(draws - gaussian.mean.numpy()).max() > 1e3


def test_one_activation_has_no_variance() -> None:
    gaussian = Gaussian.fit(torch.tensor([[1.0, -2.0]]))
    assert gaussian.draw(np.random.default_rng(0)).tolist() == [1.0, -2.0]
    assert gaussian.draw_isotropic(np.random.default_rng(0)).tolist() == [1.0, -2.0]


def test_the_generator_alone_decides() -> None:
    gaussian = Gaussian.fit(torch.eye(3))
    first, again, other = (gaussian.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)
