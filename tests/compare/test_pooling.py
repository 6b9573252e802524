"""Sites pooled: against statsmodels where it applies, and in repeated samples where it does not."""

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from plateaulens.compare.pooling import pooled


def changes(rng: np.random.Generator, sites: int, samples: int, *, tau: float, shared: float) -> np.ndarray:
    """(site, sample), mean 2; the sites' own means vary by tau, base prompts by `shared` and what is their own by 5."""
    site, prompt = tau * rng.standard_normal((sites, 1)), shared * rng.standard_normal(samples)
    return 2 + site + prompt + 5 * rng.standard_normal((sites, samples))


def test_it_is_hartung_and_knapp_s_interval_without_shared_prompts() -> None:
    """Sites of equal variance, whose base prompts are made to have nothing in common."""
    rng = np.random.default_rng(0)
    sites, samples = 6, 60
    noise = rng.standard_normal((samples, sites + 1))
    noise[:, 0] = 1
    own = np.linalg.qr(noise)[0][:, 1:].T * 4 * np.sqrt(samples)  # uncorrelated, of mean 0 and equal variance
    effect = 3 * rng.standard_normal(sites)
    found = pooled(own + effect[:, np.newaxis], 0.95)
    variance = np.full(sites, own[0].var(ddof=1) / samples)
    expected = combine_effects(effect, variance, method_re="iterated", use_t=True)
    assert found.mean == pytest.approx(expected.mean_effect_re)
    assert found.spread**2 == pytest.approx(expected.tau2, rel=1e-4)
    np.testing.assert_allclose(found.interval, expected.conf_int(use_t=True)[3], rtol=1e-6)


def test_what_prompts_share_moves_all_sites_alike() -> None:
    """It is no spread between sites, and no reason to be sure of their mean."""
    rng = np.random.default_rng(1)
    alone = changes(rng, 8, 200, tau=0.0, shared=0.0)
    common = 20 * rng.standard_normal(200)
    before, after = pooled(alone, 0.95), pooled(alone + common, 0.95)
    assert after.spread == pytest.approx(before.spread, abs=0.05)
    assert np.ptp(after.interval) > np.ptp(before.interval) + 2 * 20 / np.sqrt(200)


def test_missing_pairs_and_too_few_sites() -> None:
    rng = np.random.default_rng(2)
    change = changes(rng, 5, 100, tau=2.0, shared=3.0)
    holes = np.where(rng.random(change.shape) < 0.05, np.nan, change)
    whole, some = pooled(change, 0.95), pooled(holes, 0.95)
    assert some.mean == pytest.approx(whole.mean, abs=0.5)
    np.testing.assert_allclose(some.interval, whole.interval, atol=0.7)
    assert pooled(np.vstack([change, np.full((1, 100), np.nan)]), 0.95).sites == 5
    assert np.isnan(pooled(change[:2], 0.95).interval).all()
    same = pooled(np.tile(change[:1], (4, 1)), 0.95)
    assert same.spread == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("sites", [3, 4, 17])
@pytest.mark.parametrize(("tau", "shared"), [(0.0, 0.0), (0.0, 8.0), (1.0, 8.0), (3.0, 3.0)])
def test_intervals_cover_in_repeated_samples(sites: int, tau: float, shared: float) -> None:
    """The mean's at 93 % or more, a new site's at about its level."""
    rng = np.random.default_rng(3)
    trials, mean, new = 1000, 0, 0
    for _ in range(trials):
        found = pooled(changes(rng, sites, 100, tau=tau, shared=shared), 0.95)
        mean += found.interval[0] <= 2 <= found.interval[1]
        new += found.prediction[0] <= 2 + tau * rng.standard_normal() <= found.prediction[1]
    print(sites, tau, shared, mean / trials, new / trials)
    assert mean / trials > 0.93
    assert new / trials > 0.92
