"""Tests of plateaulens.compare.confounds: differences at equal geometry, and what the adjustment changes."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from plateaulens.compare.confounds import (
    CALIPER,
    NOT_ADJUSTED,
    Adjusted,
    Estimate,
    adjusted_difference,
    matched,
    matched_difference,
    overlap,
    pooled_sd,
)


def planted(rng: np.random.Generator, n: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Differences that grow by 2 per unit of a covariate which itself differs by 1 on average."""
    covariate = rng.normal(1.0, 2.0, (n, 1))
    return effect + 2 * covariate[:, 0] + rng.normal(0, 1 + np.abs(covariate[:, 0]), n), covariate


class TestAdjusted:
    """The intercept of the regression of paired differences on the covariates' paired differences."""

    def test_exact_on_a_line(self) -> None:
        covariate = np.linspace(-2, 3, 40)[:, np.newaxis]
        found = adjusted_difference(3 + 2 * covariate[:, 0], covariate, 0.95)
        assert found.difference == pytest.approx((3.0, 3.0, 3.0, 0.0), abs=1e-9)
        assert found.change.value == pytest.approx(1.0), "the mean covariate, 0.5, moves the mean by 1"

    def test_without_covariates_the_mean(self) -> None:
        change = np.random.default_rng(0).normal(3, 2, 50)
        found, changed = adjusted_difference(change, np.empty((50, 0)), 0.95)
        assert changed[:3] == pytest.approx((0, 0, 0), abs=1e-12), "nothing is adjusted for"
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
        found, _ = adjusted_difference(step[1] - step[0], (covariate[1] - covariate[0])[:, np.newaxis], 0.95)
        assert found.value == pytest.approx(expected)

    def test_covers_the_planted_effect(self) -> None:
        rng = np.random.default_rng(2)
        found = [adjusted_difference(*planted(rng, 100, effect=1.0), 0.95).difference for _ in range(300)]
        assert 0.91 <= np.mean([each.lower <= 1.0 <= each.upper for each in found]) <= 0.99
        none = np.empty((100, 0))
        raw = [adjusted_difference(planted(rng, 100, effect=1.0)[0], none, 0.95).difference for _ in range(20)]
        assert np.mean([each.lower <= 1.0 <= each.upper for each in raw]) < 0.1

    @given(st.floats(-50, 50), st.floats(0.1, 10))
    def test_shift_and_scale(self, shift: float, scale: float) -> None:
        change, covariate = planted(np.random.default_rng(3), 30, effect=1.0)
        before = np.array(adjusted_difference(change, covariate, 0.95))
        after = np.array(adjusted_difference(shift + scale * change, covariate * 7, 0.95))
        np.testing.assert_allclose(after[0, :3], shift + scale * before[0, :3], atol=1e-8)
        np.testing.assert_allclose(after[1, :3], scale * before[1, :3], atol=1e-8)
        np.testing.assert_allclose(after[1, 3], before[1, 3], atol=1e-8)

    def test_incomplete_rows_are_left_out(self) -> None:
        change, covariate = planted(np.random.default_rng(3), 30, effect=1.0)
        expected = adjusted_difference(change[2:], covariate[2:], 0.95)
        change[0], covariate[1] = np.nan, np.nan
        np.testing.assert_allclose(adjusted_difference(change, covariate, 0.95), expected)

    def test_degenerate(self) -> None:
        none = np.zeros((30, 2))
        unchanged = Estimate(0, 0, 0, 1)
        assert adjusted_difference(np.zeros(30), none, 0.95) == Adjusted(unchanged, unchanged)
        assert adjusted_difference(np.full(30, 2.0), none, 0.95) == Adjusted(Estimate(2, 2, 2, 0), unchanged)
        assert np.isnan(adjusted_difference(np.ones(1), np.ones((1, 1)), 0.95)).all()
        assert np.isnan(adjusted_difference(np.empty(0), np.empty((0, 1)), 0.95)).all()

    def test_one_group_may_not_decide_what_a_covariate_does(self) -> None:
        covariate = np.zeros((100, 1))
        covariate[:4, 0] = [-1, 1, -1, 1]
        change = np.random.default_rng(0).normal(size=100)
        groups = np.maximum(np.arange(100) - 3, 0)
        assert adjusted_difference(change, covariate, 0.95, groups) == NOT_ADJUSTED
        assert np.isfinite(adjusted_difference(change, covariate, 0.95)).all()


class TestErrors:
    """CR3: HC3 where every base prompt is a group of its own."""

    def test_without_groups_those_of_statsmodels(self) -> None:
        change, covariate = planted(np.random.default_rng(4), 60, effect=1.0)
        fit = sm.OLS(change, sm.add_constant(covariate)).fit(cov_type="HC3", use_t=True)
        found, _ = adjusted_difference(change, covariate, 0.95)
        assert found == pytest.approx((fit.params[0], *fit.conf_int()[0], fit.pvalues[0]))

    def test_the_change_is_that_of_two_regressions_of_the_same_rows(self) -> None:
        """By the influence functions of both intercepts, each residual divided by 1 - its leverage."""
        change, covariate = planted(np.random.default_rng(5), 60, effect=1.0)
        parts = []
        for design in (np.ones((60, 1)), sm.add_constant(covariate)):
            inverse = np.linalg.inv(design.T @ design)
            leverage = ((design @ inverse) * design).sum(axis=1)
            residual = change - design @ (inverse @ design.T @ change)
            parts.append((design @ inverse)[:, 0] * residual / (1 - leverage))
        error = np.sqrt(((parts[0] - parts[1]) ** 2).sum())
        found = adjusted_difference(change, covariate, 0.95).change
        assert found.value == pytest.approx(change.mean() - sm.OLS(change, sm.add_constant(covariate)).fit().params[0])
        assert found.upper - found.value == pytest.approx(stats.t.ppf(0.975, 60 // 2 - 1) * error)

    def test_of_groups_the_jackknife_that_leaves_out_one_at_a_time(self) -> None:
        change, covariate = planted(np.random.default_rng(6), 60, effect=1.0)
        groups = np.random.default_rng(7).integers(30, size=60)
        own = np.unique(groups)
        left = [sm.OLS(change[groups != g], sm.add_constant(covariate[groups != g])).fit().params[0] for g in own]
        found, _ = adjusted_difference(change, covariate, 0.95, groups)
        error = np.sqrt(((np.array(left) - found.value) ** 2).sum())
        assert (found.upper - found.lower) / 2 == pytest.approx(stats.t.ppf(0.975, len(own) - 2) * error)
        near, _ = matched_difference(change, covariate[:, 0] < 2, 0.95, groups)
        kept = covariate[:, 0] < 2
        left = [change[kept & (groups != g)].mean() for g in own]
        error = np.sqrt(((np.array(left) - near.difference.value) ** 2).sum())
        count = len(np.unique(groups[kept]))
        assert near.difference.upper - near.difference.value == pytest.approx(stats.t.ppf(0.975, count - 1) * error)

    def test_repeating_every_base_prompt_is_no_more_data(self) -> None:
        change, covariate = planted(np.random.default_rng(8), 60, effect=1.0)
        groups = np.tile(np.arange(60), 3)
        once = adjusted_difference(change, covariate, 0.95)
        thrice = adjusted_difference(np.tile(change, 3), np.tile(covariate, (3, 1)), 0.95, groups)
        np.testing.assert_allclose(thrice, once)


def shared(rng: np.random.Generator, groups: np.ndarray, share: float = 0.6) -> np.ndarray:
    """Standard normal values of which groups have a share of the variance in common."""
    common = rng.standard_normal(groups.max() + 1)[groups]
    values: np.ndarray = np.sqrt(share) * common + np.sqrt(1 - share) * rng.standard_normal(len(groups))
    return values


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 200])
def test_coverage_where_groups_share_most_of_the_variance(n: int) -> None:
    """60 % of it, in groups of 1 to 6; HC3 covers 78 % there in the trials."""
    rng = np.random.default_rng(n)
    inside: dict[str, list[bool]] = {"regression": [], "HC3": [], "matched": []}
    for _ in range(1000):
        groups = np.repeat(np.arange(n), rng.integers(1, 7, size=n))[:n]
        real, other = shared(rng, groups), 0.5 + shared(rng, groups)
        change = 3 + 4 * (other - real) + 8 * shared(rng, groups)
        covariate = (other - real)[:, np.newaxis]
        found = {
            "regression": adjusted_difference(change, covariate, 0.95, groups),
            "HC3": adjusted_difference(change, covariate, 0.95),
            "matched": matched_difference(change, matched(other, real), 0.95, groups).estimate,
        }
        for name, (estimate, _) in found.items():
            if np.isfinite(estimate.value):
                inside[name].append(estimate.lower <= 3 <= estimate.upper)
    covered = {name: np.mean(each) for name, each in inside.items()}
    assert covered["regression"] >= 0.93
    assert covered["matched"] >= 0.93
    assert covered["HC3"] < 0.9


@pytest.mark.slow
class TestClaims:
    """A change is claimed where there is one, and hardly more often than the level says where there is none."""

    def claimed(self, slope: float, n: int, seed: int) -> dict[str, float]:
        """How often a change is claimed of a type that is 2 steps later, and whose covariate is .5 sd larger."""
        rng = np.random.default_rng(seed)
        found: dict[str, list[bool]] = {"regression": [], "matching": []}
        for _ in range(400):
            real = rng.standard_normal(n)
            other = 0.5 * real + np.sqrt(0.75) * rng.standard_normal(n) + 0.5
            change = np.round(2 + slope * (other - real) + 6 * rng.standard_normal(n))
            regressed = adjusted_difference(change, (other - real)[:, np.newaxis], 0.95)
            near = matched_difference(change, matched(other, real), 0.95).estimate
            for name, (_, moved) in (("regression", regressed), ("matching", near)):
                if np.isfinite(moved.value):
                    found[name].append(moved.lower > 0 or moved.upper < 0)
        return {name: float(np.mean(each)) for name, each in found.items()}

    @pytest.mark.parametrize("n", [60, 300])
    def test_an_irrelevant_covariate(self, n: int) -> None:
        """5 %, and two Monte Carlo standard errors of 1.1 %."""
        for share in self.claimed(slope=0.0, n=n, seed=n).values():
            assert share <= 0.072

    def test_a_true_confounder(self) -> None:
        found = self.claimed(slope=4.0, n=1000, seed=2)
        assert found["regression"] == 1
        assert found["matching"] > 0.9


class TestOverlap:
    def test_a_covariate_that_is_always_larger(self) -> None:
        covariate = np.random.default_rng(0).uniform(1, 2, (100, 1))
        assert not overlap(covariate)
        assert np.isnan(adjusted_difference(np.ones(100), covariate, 0.95)).all()

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
        (found, moved), number = matched_difference(change, kept, 0.95)
        assert (found.value, moved.value, number) == (3.0, 1.5, 7)
        # the t interval of a mean, with residuals divided by 1 - 1/n as HC3 has them
        error = change[kept].std(ddof=1) / np.sqrt(7) * np.sqrt(7 / 6)
        assert found.upper - found.value == pytest.approx(stats.t.ppf(0.975, 6) * error)

    def test_removes_the_confounding(self) -> None:
        rng = np.random.default_rng(0)
        real, other = rng.normal(0, 1, 3000), rng.normal(1, 1, 3000)
        change = 5 * (other - real) + rng.normal(0, 1, 3000)
        assert change.mean() > 4
        near, _ = matched_difference(change, matched(other, real), 0.95)
        assert abs(near.difference.value) < 0.5
        assert near.change.value == pytest.approx(change.mean() - near.difference.value)

    def test_too_few(self) -> None:
        found, number = matched_difference(np.ones(8), np.arange(8) < 5, 0.95)
        assert number == 5
        assert np.isnan(found).all()
        found, number = matched_difference(np.ones(8), np.arange(8) < 7, 0.95, np.arange(8) // 2)
        assert number == 7
        assert np.isnan(found).all(), "of four groups"
        assert pooled_sd(np.array([np.nan]), np.array([1.0])) == 0
