import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from plateaulens.compare.distinguish import (
    FOLDS,
    RIDGE,
    Distinction,
    areas,
    distinguish,
    gaussian_kernel,
    mmd,
    out_of_fold,
    standardised,
)


def tell_apart(real: NDArray[np.float64], other: NDArray[np.float64], seed: int = 0) -> Distinction:
    rng = np.random.default_rng(seed)
    return distinguish(real, other, np.arange(len(real)), rng, permutations=199, resamples=100, confidence=0.95)


class TestTests:
    def test_another_mean(self) -> None:
        rng = np.random.default_rng(0)
        found = tell_apart(rng.normal(size=(60, 10)), rng.normal(size=(60, 10)) + 0.8)
        assert (found.auc > 0.85).all()
        assert (found.accuracy > 0.75).all()
        assert found.classifier_p == pytest.approx(1 / 200)
        assert found.mmd > 0.02
        assert found.mmd_p == pytest.approx(1 / 200)

    def test_another_spread_is_seen_by_the_gaussian_kernel_alone(self) -> None:
        rng = np.random.default_rng(0)
        found = tell_apart(rng.normal(size=(100, 5)), 3 * rng.normal(size=(100, 5)))
        assert found.auc[0] < 0.65
        assert found.auc[1] > 0.85
        assert found.mmd_p == pytest.approx(1 / 200)

    def test_at_the_right_rate_under_the_hypothesis(self) -> None:
        """Pairs that share their base prompt, with heavy tails and correlated dimensions."""
        rng = np.random.default_rng(5)
        p = []
        for _ in range(80):
            prompt, mixing = rng.normal(size=(25, 1)), rng.normal(size=(8, 8))
            real, other = ((rng.standard_t(4, size=(25, 8)) + prompt) @ mixing for _ in range(2))
            found = distinguish(real, other, np.arange(25), rng, permutations=39, resamples=2, confidence=0.95)
            p.append([*found.classifier_p, found.mmd_p])
        rejected = (np.array(p) <= 0.05).mean(axis=0)
        assert (rejected <= 0.125).all()
        assert (rejected >= 0.01).all()

    def test_a_shared_activation_does_not_leak_between_folds(self) -> None:
        """Every real target serves two prompts, so a memory of it would give the test fold away."""
        rng = np.random.default_rng(1)
        real, other = np.repeat(rng.normal(size=(40, 60)), 2, axis=0), rng.normal(size=(80, 60))
        group = np.repeat(np.arange(40), 2)
        apart = distinguish(real, other, group, rng, permutations=99, resamples=50, confidence=0.95)
        assert (np.abs(apart.auc - 0.5) < 0.12).all()
        assert (apart.classifier_p > 0.01).all()
        leaking = distinguish(real, other, np.arange(80), rng, permutations=9, resamples=50, confidence=0.95)
        assert leaking.auc[1] > 0.7

    def test_the_same_seed_the_same_result(self) -> None:
        rng = np.random.default_rng(0)
        real, other = rng.normal(size=(2, 30, 4))
        for a, b in zip(tell_apart(real, other), tell_apart(real, other), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("samples", [0, 1, FOLDS - 1])
    def test_too_few(self, samples: int) -> None:
        found = tell_apart(np.zeros((samples, 3)), np.ones((samples, 3)))
        assert (found.auc == 0.5).all()
        assert (found.mmd, found.mmd_p) == (0, 1)
        assert (found.classifier_p == 1).all()

    def test_nothing_differs(self) -> None:
        real = np.random.default_rng(0).normal(size=(20, 3))
        assert (tell_apart(real, real).classifier_p == 1).all()

    def test_exchangeable_targets_seldom_exceed_what_swaps_give(self) -> None:
        """The area lies above the 95 % quantile of its swaps exactly when the p-value is about 5 % or less."""
        for shift in (0.0, 0.5, 2.0):
            rng = np.random.default_rng(4)
            real, other = rng.normal(size=(2, 60, 4))
            found = tell_apart(real, other + shift)
            beyond = found.auc > found.auc_null_upper
            np.testing.assert_array_equal(beyond[found.classifier_p <= 0.03], True)
            np.testing.assert_array_equal(beyond[found.classifier_p >= 0.07], False)
            assert (found.auc_null_upper > 0.5).all()

    def test_constant_activations_that_differ(self) -> None:
        found = tell_apart(np.zeros((20, 3)), np.ones((20, 3)))
        np.testing.assert_array_equal(found.auc, 1)
        np.testing.assert_array_equal(found.accuracy, 1)
        np.testing.assert_array_equal(found.auc_interval, 1)


class TestPieces:
    def test_predictions_are_those_of_a_ridge_that_never_saw_the_fold(self) -> None:
        rng = np.random.default_rng(0)
        points, labels = rng.normal(size=(20, 3)), rng.choice([-1.0, 1.0], 20)
        kernel, fold = points @ points.T, np.arange(20) % 4
        found = out_of_fold(kernel, fold) @ labels
        for own in range(4):
            train = fold != own
            weights = np.linalg.solve(
                points[train].T @ points[train] + RIDGE * np.eye(3), points[train].T @ labels[train]
            )
            np.testing.assert_allclose(found[~train], points[~train] @ weights, atol=1e-10)

    def test_labels_of_the_own_fold_do_not_count(self) -> None:
        points = np.random.default_rng(0).normal(size=(12, 2))
        fold = np.arange(12) % 3
        matrix = out_of_fold(gaussian_kernel(points), fold)
        assert (matrix[fold[:, np.newaxis] == fold] == 0).all()

    def test_areas_are_mann_whitney(self) -> None:
        rng = np.random.default_rng(0)
        scores, positive = rng.integers(0, 5, 30).astype(float), rng.random(30) < 0.4
        expected = mannwhitneyu(scores[positive], scores[~positive]).statistic / positive.sum() / (~positive).sum()
        assert areas(scores, positive) == pytest.approx(expected)

    def test_mmd_by_its_definition(self) -> None:
        rng = np.random.default_rng(0)
        kernel = gaussian_kernel(rng.normal(size=(8, 2)))
        x, y = range(4), range(4, 8)
        h = [
            kernel[x[i], x[j]] + kernel[y[i], y[j]] - kernel[x[i], y[j]] - kernel[y[i], x[j]]
            for i in range(4) for j in range(4) if i != j
        ]  # fmt: skip
        assert mmd(kernel, np.ones((1, 4)), np.arange(4)) == pytest.approx(np.mean(h))

    def test_a_sign_swaps_a_pair(self) -> None:
        points = np.random.default_rng(0).normal(size=(8, 2))
        swapped = points[[4, 1, 2, 7, 0, 5, 6, 3]]
        signs = np.array([[-1.0, 1, 1, -1]])
        found = mmd(gaussian_kernel(points), signs, np.arange(4))
        assert found == pytest.approx(mmd(gaussian_kernel(swapped), np.ones((1, 4)), np.arange(4)))

    def test_mmd_is_unbiased(self) -> None:
        rng = np.random.default_rng(0)
        found = [
            float(mmd(np.exp(-((p[:, None] - p) ** 2)), np.ones((1, 10)), np.arange(10))[0])
            for p in rng.normal(size=(800, 20))
        ]
        assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(800)

    def test_standardised_columns(self) -> None:
        points = np.random.default_rng(0).normal(3, 5, (50, 3))
        points[:, 1] = 0.1
        found = standardised(points)
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(found.std(axis=0), [1, 0, 1])

    def test_equal_points_have_a_kernel_of_ones(self) -> None:
        np.testing.assert_array_equal(gaussian_kernel(np.zeros((3, 2))), 1)
