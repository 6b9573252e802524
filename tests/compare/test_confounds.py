import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.compare.confounds import CALIPER, adjusted_difference, matched, matched_difference, overlap, pooled_sd
from plateaulens.compare.resampling import Resampling


def planted(rng: np.random.Generator, n: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Differences that grow by 2 per unit of a covariate which itself differs by 1 on average."""
    covariate = rng.normal(1.0, 2.0, (n, 1))
    return effect + 2 * covariate[:, 0] + rng.normal(0, 1 + np.abs(covariate[:, 0]), n), covariate


class TestAdjusted:
    """The intercept of the regression of paired differences on the covariates' paired differences."""

    def test_exact_on_a_line(self) -> None:
        covariate = np.linspace(-2, 3, 40)[:, np.newaxis]
        found = adjusted_difference(3 + 2 * covariate[:, 0], covariate, 0.95)
        assert found == pytest.approx((3.0, 3.0, 3.0))

    def test_without_covariates_the_mean(self) -> None:
        change = np.random.default_rng(0).normal(3, 2, 50)
        found = adjusted_difference(change, np.empty((50, 0)), 0.95)
        assert found.value == pytest.approx(change.mean())
        # HC3 of a mean: residuals are divided by 1 - 1/n
        error = np.sqrt(((change - change.mean()) ** 2).sum()) / 49
        assert found.upper - found.value == pytest.approx(2.0096 * error, rel=1e-4)

    def test_is_the_dummy_regression_with_prompt_effects(self) -> None:
        """With two rows per prompt, a dummy per prompt and one for the type, least squares gives the same effect."""
        rng = np.random.default_rng(1)
        n = 20
        covariate, step = rng.normal(size=(2, n)), rng.normal(size=(2, n))
        step[1] += 2
        dummies = np.tile(np.eye(n), (2, 1))
        design = np.column_stack([np.repeat([0, 1], n), covariate.ravel(), dummies])
        expected = sm.OLS(step.ravel(), design).fit().params[0]
        found = adjusted_difference(step[1] - step[0], (covariate[1] - covariate[0])[:, np.newaxis], 0.95)
        assert found.value == pytest.approx(expected)

    def test_covers_the_planted_effect(self) -> None:
        rng = np.random.default_rng(2)
        found = [adjusted_difference(*planted(rng, 100, effect=1.0), 0.95) for _ in range(300)]
        assert 0.91 <= np.mean([each.lower <= 1.0 <= each.upper for each in found]) <= 0.99
        raw = [adjusted_difference(planted(rng, 100, effect=1.0)[0], np.empty((100, 0)), 0.95) for _ in range(20)]
        assert np.mean([each.lower <= 1.0 <= each.upper for each in raw]) < 0.1

    @given(st.floats(-50, 50), st.floats(0.1, 10))
    def test_shift_and_scale(self, shift: float, scale: float) -> None:
        change, covariate = planted(np.random.default_rng(3), 30, effect=1.0)
        before = np.array(adjusted_difference(change, covariate, 0.95))
        after = np.array(adjusted_difference(shift + scale * change, covariate * 7, 0.95))
        np.testing.assert_allclose(after, shift + scale * before, atol=1e-8)

    def test_incomplete_rows_are_left_out(self) -> None:
        change, covariate = planted(np.random.default_rng(3), 30, effect=1.0)
        expected = adjusted_difference(change[2:], covariate[2:], 0.95)
        change[0], covariate[1] = np.nan, np.nan
        assert adjusted_difference(change, covariate, 0.95) == pytest.approx(expected)

    def test_degenerate(self) -> None:
        none = np.zeros((30, 2))
        assert adjusted_difference(np.zeros(30), none, 0.95) == (0, 0, 0)
        assert adjusted_difference(np.full(30, 2.0), none, 0.95) == (2, 2, 2)
        assert all(np.isnan(adjusted_difference(np.ones(1), np.ones((1, 1)), 0.95)))
        assert all(np.isnan(adjusted_difference(np.empty(0), np.empty((0, 1)), 0.95)))


class TestOverlap:
    def test_a_covariate_that_is_always_larger(self) -> None:
        covariate = np.random.default_rng(0).uniform(1, 2, (100, 1))
        assert not overlap(covariate)
        assert all(np.isnan(adjusted_difference(np.ones(100), covariate, 0.95)))

    def test_either_side_must_have_a_fortieth(self) -> None:
        covariate = np.ones((100, 1))
        covariate[:2] = -1
        assert not overlap(covariate)
        covariate[:3] = -1
        assert overlap(covariate)

    def test_together_they_can_exclude_what_each_allows(self) -> None:
        along = np.linspace(-1, 1, 50)
        beside = along + 0.5 + 0.001 * np.cos(np.arange(50))
        assert overlap(along[:, np.newaxis])
        assert overlap(beside[:, np.newaxis])
        assert not overlap(np.stack([along, beside], axis=1))

    def test_no_covariates(self) -> None:
        assert overlap(np.empty((10, 0)))

    def test_no_prompts(self) -> None:
        assert not overlap(np.empty((0, 0)))
        assert not overlap(np.empty((0, 2)))


class TestMatching:
    def test_within_the_caliper(self) -> None:
        real = np.array([0.0, 10.0, 20.0, 30.0, np.nan])
        other = real + np.array([0, 1, 2, 3, 0])
        spread = pooled_sd(other, real)
        np.testing.assert_array_equal(matched(other, real), [*(np.array([0, 1, 2, 3]) <= CALIPER * spread), False])

    def test_the_mean_of_what_is_kept(self) -> None:
        change = np.arange(10.0)
        kept = change < 7
        found, number = matched_difference(
            change, kept, Resampling.draw(np.random.default_rng(0), samples=10, resamples=200), 0.95
        )
        assert (found.value, number) == (3.0, 7)
        assert 0 <= found.lower < 3 < found.upper <= 6

    def test_removes_the_confounding(self) -> None:
        rng = np.random.default_rng(0)
        real, other = rng.normal(0, 1, 3000), rng.normal(1, 1, 3000)
        change = 5 * (other - real) + rng.normal(0, 1, 3000)
        resampling = Resampling.draw(rng, samples=3000, resamples=200)
        assert change.mean() > 4
        assert abs(matched_difference(change, matched(other, real), resampling, 0.95)[0].value) < 0.5

    def test_too_few(self) -> None:
        resampling = Resampling.draw(np.random.default_rng(0), samples=8, resamples=20)
        found, number = matched_difference(np.ones(8), np.arange(8) < 5, resampling, 0.95)
        assert number == 5
        assert all(np.isnan(found))
        assert pooled_sd(np.array([np.nan]), np.array([1.0])) == 0
