import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from plateaulens.compare.detectors import (
    COMPONENTS,
    Detection,
    Frame,
    cross_fitted,
    detect,
    expanded,
    resampled_areas,
)
from plateaulens.compare.distinguish import FOLDS
from plateaulens.compare.resampling import Resampling


def told(features: NDArray[np.float64], columns: NDArray[np.float64] | None = None, seed: int = 0) -> Detection:
    """Of features (draw, feature, n)."""
    columns = np.moveaxis(features, 1, 2) if columns is None else columns
    group = np.arange(features.shape[-1])
    rng = np.random.default_rng(seed)
    return detect(features, columns, group, rng, permutations=199, resamples=200, confidence=0.95)


class TestDetect:
    def test_a_feature_that_is_lower_lies_below_chance(self) -> None:
        features = np.random.default_rng(0).normal(size=(2, 1, 60))
        features[1] -= 2
        found = told(features)
        assert found.auc[0] < 0.15
        assert (found.auc[1:] > 0.85).all()  # a classifier turns it round
        assert found.p == pytest.approx(np.full(3, 1 / 200))

    def test_the_area_is_mann_whitney_s(self) -> None:
        features = np.random.default_rng(1).integers(0, 6, (2, 1, 40)).astype(float)
        expected = mannwhitneyu(features[1, 0], features[0, 0]).statistic / 40**2
        assert told(features).auc[0] == pytest.approx(expected)

    def test_products_see_what_no_feature_does(self) -> None:
        """Two features that are correlated in one draw and not in the other."""
        rng = np.random.default_rng(2)
        real, other = rng.normal(size=(2, 2, 150))
        other[1] = 0.9 * other[0] + np.sqrt(1 - 0.9**2) * other[1]
        found = told(np.stack([real, other]), columns=np.zeros((2, 150, 3)))
        assert (found.p[:2] > 0.01).all()
        assert found.p[2] == pytest.approx(1 / 200)
        assert found.auc[2] > 0.7
        assert np.isnan(found.auc[3])  # columns that say nothing have no classifier

    def test_at_the_right_rate_under_the_hypothesis(self) -> None:
        """Pairs that share their prompt, of which a tenth of the tests reject at 10 %."""
        rng = np.random.default_rng(3)
        p = []
        for _ in range(150):
            features = rng.standard_t(4, size=(2, 3, 25)) + rng.normal(size=(3, 25))
            group = np.repeat(np.arange(20), 2)[:25]  # some prompts share an activation
            columns = np.moveaxis(features, 1, 2)
            found = detect(features, columns, group, rng, permutations=39, resamples=1, confidence=0.95)
            p.append(found.p)
        rejected = (np.array(p) <= 0.1).mean(axis=0)
        assert (rejected <= 0.17).all()  # three standard errors
        assert (rejected >= 0.03).all()

    def test_several_draws_together(self) -> None:
        """The area is the mean of those of each other draw, and one draw among many does not pass for real."""
        rng = np.random.default_rng(4)
        features = rng.normal(size=(4, 1, 80))
        alone = [told(features[[0, place]]).auc[0] for place in (1, 2, 3)]
        assert told(features).auc[0] == pytest.approx(np.mean(alone))
        assert told(features).p.min() > 0.01
        features[0] += 1
        assert told(features).p == pytest.approx(np.full(3, 1 / 200))

    def test_a_feature_that_is_not_known_of_all_is_left_out(self) -> None:
        features = np.random.default_rng(5).normal(size=(2, 2, 30))
        whole = told(features[:, :1], columns=np.moveaxis(features, 1, 2))
        features[1, 1, 3] = np.nan
        found = told(features, columns=np.moveaxis(np.nan_to_num(features), 1, 2))
        assert np.isnan(found.auc[1])
        assert np.isnan(found.p[1])
        assert found.auc[[0, 2]] == pytest.approx(whole.auc[[0, 1]])

    def test_too_few_groups_say_nothing(self) -> None:
        found = told(np.ones((2, 1, FOLDS - 1)))
        assert np.isnan(found.auc).all()
        assert np.isnan(found.auc_interval).all()
        assert np.isnan(found.p).all()

    def test_equal_draws_are_chance(self) -> None:
        features = np.repeat(np.random.default_rng(6).normal(size=(1, 1, 30)), 2, axis=0)
        found = told(features)
        assert found.auc[0] == 0.5
        assert found.p[0] == 1

    def test_the_same_seed_the_same_result(self) -> None:
        features = np.random.default_rng(7).normal(size=(2, 3, 30))
        for one, other in zip(told(features), told(features), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_classifiers_have_no_interval(self) -> None:
        found = told(np.random.default_rng(8).normal(size=(2, 3, 30)))
        assert np.isfinite(found.auc).all()
        assert np.isfinite(found.auc_interval[:3]).all()
        assert np.isnan(found.auc_interval[3:]).all()


class TestPieces:
    def test_scores_are_those_of_a_fit_that_never_saw_the_fold(self) -> None:
        rng = np.random.default_rng(0)
        points, fold = rng.normal(size=(20, 3)), np.arange(20) % 4
        labels = rng.choice([-1.0, 1.0], (5, 20)).astype(np.float32)
        found = cross_fitted(points, labels, fold, ridge=2.0)
        for own in range(4):
            train = fold != own
            seen = points[train] - points[train].mean(axis=0)
            weight = np.linalg.solve(seen.T @ seen + 2.0 * np.eye(3), seen.T @ labels[:, train].T)
            expected = (points[~train] - points[train].mean(axis=0)) @ weight
            np.testing.assert_allclose(found[:, ~train], expected.T, atol=1e-5)

    def test_resampled_areas_by_repeating_prompts(self) -> None:
        rng = np.random.default_rng(1)
        real, other = rng.integers(0, 5, 12).astype(float), rng.integers(0, 5, (2, 12)).astype(float)
        counts = Resampling.draw(rng, samples=12, resamples=4).of_prompts
        for found, times in zip(resampled_areas(real, other, counts.T.astype(np.float32)), counts, strict=True):
            again = np.repeat(np.arange(12), times)
            above, level = (
                np.mean([compare(each[again][:, None], real[again]).mean() for each in other])
                for compare in (np.greater, np.equal)
            )
            assert found == pytest.approx(above + level / 2)

    def test_expanded_columns_are_standardised(self) -> None:
        found = expanded(np.random.default_rng(2).normal(size=(50, 3)))
        assert found.shape == (50, 9)
        np.testing.assert_allclose(found.std(axis=0), 1)


class TestFrame:
    def test_its_own_points_have_components_of_variance_one(self) -> None:
        points = np.random.default_rng(0).normal(size=(200, 6)) @ np.diag([1, 2, 3, 4, 5, 0.0]) + 7
        frame = Frame.fit(points)
        components = frame.components(points)
        assert components.shape == (200, 5)  # a constant dimension is none
        np.testing.assert_allclose(np.cov(components.T, ddof=0), np.eye(5), atol=1e-9)

    def test_lengths_are_in_beside_and_in_all_components(self) -> None:
        points = np.random.default_rng(1).normal(size=(300, COMPONENTS + 8))
        frame = Frame.fit(points)
        inside, beside, whole = np.exp(frame.lengths(points)).T
        components = frame.components(points)
        np.testing.assert_allclose(whole, (components**2).sum(axis=1))
        np.testing.assert_allclose(inside, (components[:, :COMPONENTS] ** 2).sum(axis=1))
        np.testing.assert_allclose(beside, ((components * frame.size)[:, COMPONENTS:] ** 2).sum(axis=1))
        np.testing.assert_allclose(np.median(frame.lengths(points), axis=0), frame.usual)

    def test_columns_do_not_depend_on_the_company(self) -> None:
        points = np.random.default_rng(2).normal(size=(40, 5))
        frame = Frame.fit(points[:20])
        np.testing.assert_allclose(frame.columns(points)[30], frame.columns(points[30]))

    @pytest.mark.parametrize("points", [np.zeros((3, 2)), np.ones((1, 4))])
    def test_points_that_do_not_differ_have_no_component(self, points: NDArray[np.float64]) -> None:
        frame = Frame.fit(points)
        assert frame.components(points).shape == (len(points), 0)
        assert np.isfinite(frame.columns(points)).all()

    def test_a_normal_cloud_of_the_same_covariance_is_told_from_heavier_tails(self) -> None:
        """By how far out points lie, which neither their mean nor their covariance says."""
        rng = np.random.default_rng(3)
        scale = rng.gamma(1.0, 1.0, size=(2, 400, 1))
        base, real = rng.normal(size=(2, 400, 20)) * scale
        other = rng.normal(size=(400, 20)) * real.std()
        columns = np.stack([Frame.fit(base).columns(each) for each in (real, other)])
        found = told(np.full((2, 1, 400), np.nan), columns)
        assert found.auc[-1] > 0.75
        assert found.p[-1] == pytest.approx(1 / 200)
