"""The same curves on the authors' grid of 100 points and on another one: their statistics are the same numbers."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit

from plateaulens.config import AnalysisConfig
from plateaulens.replication.comparison import STEP_LENGTH, steps_scale, their_moments, their_steps
from plateaulens.steps.dataset import step_dataset

SAMPLES = 400
STATISTICS = ("max_slope", "first_nonlinearity", "auc_ratio", "plateau_length")


def sampled(points: int, length: float | None) -> xr.Dataset:
    """400 curves that rise where they like, one in twenty never; at `points` parts of a path or that far apart.

    As functions of the path they are the same whatever the grid; where steps have a length, paths are 50 units long.
    """
    rng = np.random.default_rng(0)
    at = np.clip(rng.normal(0.55, 0.12, (1, SAMPLES, 1)), 0.2, 0.85)
    height = np.where(rng.random((1, SAMPLES, 1)) < 0.05, 0.001, rng.uniform(40, 80, (1, SAMPLES, 1)))
    place = np.linspace(0, 1, points) if length is None else np.arange(points) * length / 50
    curve = height * (expit((place - at) / 0.06) - expit(-at / 0.06) + 0.2 * place)
    coords = {"step": np.arange(points), "activation_type": ["real"], "metric": ["l2"]}
    group = xr.Dataset(
        {
            "curve": (("activation_type", "sample", "step", "metric"), curve[..., np.newaxis]),
            "path_length": (("activation_type", "sample"), np.full((1, SAMPLES), 50.0)),
        },
        coords=coords,
    )
    return group if length is None else group.assign_coords(length=("step", np.arange(points) * length))


def steps(group: xr.Dataset) -> xr.Dataset:
    return step_dataset(group, AnalysisConfig()).sel(convention="authors", metric="l2", activation_type="real")


def rescaled(group: xr.Dataset, statistic: str) -> np.ndarray:
    own = steps(group).sel(statistic=statistic)
    return their_steps(own["step_value"].to_numpy(), own["censored"].to_numpy(), statistic, steps_scale(group))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("points", "length", "theirs"),
    [(101, None, None), (51, None, None), (101, 0.5, STEP_LENGTH), (201, 0.25, STEP_LENGTH)],
)
def test_the_same_curves_agree(statistic: str, points: int, length: float | None, theirs: float | None) -> None:
    """To half a step in mean and spread, and to the coarser grid's step each; what does not happen stays the same."""
    own, there = rescaled(sampled(points, length), statistic), rescaled(sampled(100, theirs), statistic)
    if points == 101:
        assert abs(own.mean() - there.mean()) < 0.5
        assert abs(own.std() - there.std()) < 0.5
        assert np.median(np.abs(own - there)) < 0.5 + 0.5
    if statistic in {"max_slope", "plateau_length"}:
        assert np.abs(own - there).max() < 100 / (min(points, 100) - 1) + 1.02
        never = {"max_slope": 99.0, "plateau_length": 100.0}[statistic]
        np.testing.assert_array_equal(own == never, there == never)
        assert 5 < (own == never).sum() < 40


def test_the_trial_s_numbers() -> None:
    """The same curves gave 52.11 and 52.56 steps; on one grid they give one number."""
    counted = steps(sampled(101, None)).sel(statistic="max_slope")
    own = counted["step_value"].to_numpy()[~counted["censored"].to_numpy()]
    there = rescaled(sampled(100, None), "max_slope")
    there = there[there < 99]
    assert 0.3 < own.mean() - there.mean() < 0.8, "as they are counted"
    assert abs(own.mean() * 0.99 - there.mean()) < 0.05


def test_on_their_own_grid_nothing_is_rescaled() -> None:
    for length in (None, STEP_LENGTH):
        group = sampled(100, length)
        assert steps_scale(group) == pytest.approx(1)
        for statistic in STATISTICS:
            found = rescaled(group, statistic)
            np.testing.assert_allclose(found, steps(group)["step_value"].sel(statistic=statistic))


def test_what_their_grid_is() -> None:
    """`linspace(0, 1, 100)` of the path, or `linspace(0, 100, 100) * 0.5` along it."""
    ends = np.linspace(0, 100, 100) * 0.5
    assert np.diff(ends) == pytest.approx(STEP_LENGTH)
    assert ends[-1] == 50
    assert steps_scale(sampled(101, None)) == pytest.approx(0.99)
    assert steps_scale(sampled(101, 0.5)) == pytest.approx(0.99)


def test_an_undefined_step_stays_undefined() -> None:
    found = their_steps(np.array([np.nan, np.nan, 50.0]), np.array([False, True, False]), "auc_ratio", 0.99)
    np.testing.assert_array_equal(found, [np.nan, np.nan, 49.5])


def test_moments_of_a_summary() -> None:
    group = sampled(101, None)
    summary = xr.merge([group, step_dataset(group, AnalysisConfig())])
    mean, sd = their_moments(summary, "max_slope", "l2", "real")
    found = rescaled(group, "max_slope")
    assert (mean, sd) == pytest.approx((found.mean(), found.std()))
    none = summary.assign(step_value=summary["step_value"] * np.nan)
    assert np.isnan(their_moments(none, "max_slope", "l2", "real")).all()
