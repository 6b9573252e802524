"""The power that a summary prints beside a verdict is that of the very verdict."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

from plateaulens.config import AnalysisConfig
from plateaulens.summary.power import power_dataset


def power_of(step: np.ndarray, unit: np.ndarray | None = None) -> float:
    """That of `equivalent`, of a type whose steps (sample,) are real's; NaN is censored."""
    dims = ("convention", "statistic", "metric", "activation_type")
    value = np.stack([step, step])[np.newaxis, np.newaxis, np.newaxis]
    comparison = xr.Dataset(
        {
            "step_value": ((*dims, "sample"), value),
            "censored": ((*dims, "sample"), np.isnan(value)),
            "ks_p": (dims, np.array([np.nan, 1.0]).reshape(1, 1, 1, 2)),
        },
        coords={
            "convention": ["corrected"],
            "statistic": ["max_slope"],
            "metric": ["l2"],
            "activation_type": ["real", "random"],
            "is_control": ("activation_type", [False, False]),
        },
    )
    found = power_dataset(comparison, "sensitivity", AnalysisConfig(resamples=99), unit)
    return float(found["power_equivalent"].sel(metric="l2", activation_type="random"))


@pytest.mark.parametrize(("prompts", "events"), [(200, 4), (80, 20), (200, 30), (200, 60)])
def test_equivalence_takes_events(prompts: int, events: int) -> None:
    """Distances between equal types are 0: a binomial says in how many runs the curves have events enough."""
    step = np.where(np.arange(prompts) < events, np.arange(prompts) % 7, np.nan)
    expected = binom.sf(max(20, np.ceil(0.15 * prompts)) - 1, prompts, events / prompts)
    assert power_of(step) == pytest.approx(expected, abs=0.07)


def test_events_are_those_of_whole_units() -> None:
    """Of 100 units of two prompts that are drawn together, 15 have events: 30 events are 15 units."""
    step = np.where(np.arange(200) < 34, np.arange(200) % 7, np.nan)
    expected = binom.sf(14, 100, 0.17)
    assert power_of(step, np.arange(200) // 2) == pytest.approx(expected, abs=0.07)
    assert abs(expected - binom.sf(29, 200, 0.17)) > 0.03
