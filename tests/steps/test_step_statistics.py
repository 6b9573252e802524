import numpy as np
import pytest
from numpy.typing import NDArray

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.names import CONVENTIONS
from plateaulens.names import DEFAULT_STATISTICS as STATISTICS
from plateaulens.steps import authors, corrected
from plateaulens.steps.dataset import step_statistics

METRICS = ("l2", "kl", "js")
SETTINGS = AnalysisConfig(plateau_threshold={"l2": 30.0, "kl": 1.0})


@pytest.fixture
def curve() -> NDArray[np.float32]:
    """(metric, type, sample, step); one curve incomplete in every metric."""
    rng = np.random.default_rng(0)
    curve = rng.exponential(1.0, (3, 2, 4, 101)).cumsum(axis=-1).astype(np.float32)
    curve -= curve[..., :1]
    curve[:, 1, 2, 50] = np.nan
    return curve


def test_every_entry_is_the_statistic_with_the_metric_s_own_constants(curve: NDArray[np.float32]) -> None:
    path = np.full((2, 4), 30.2)
    value, censored = step_statistics(curve, path, METRICS, step_length=0.5, settings=SETTINGS)
    assert value.shape == censored.shape == (2, 4, 3, 2, 4)
    expected = {
        ("corrected", "max_slope", "kl"): corrected.max_slope(curve[1], 0.02),
        ("corrected", "max_slope", "js"): corrected.max_slope(curve[2], 0.0002),
        ("corrected", "first_nonlinearity", "js"): corrected.first_nonlinearity(curve[2], 0.2, 0.0002),
        ("corrected", "auc_ratio", "l2"): corrected.auc_ratio(curve[0], 0.02),
        ("corrected", "plateau_length", "l2"): corrected.plateau_length(curve[0], 30.0),
        ("corrected", "plateau_length", "kl"): corrected.plateau_length(curve[1], 1.0),
        ("authors", "max_slope", "l2"): authors.max_slope(curve[0], 60),
        ("authors", "first_nonlinearity", "kl"): authors.first_nonlinearity(curve[1]),
        ("authors", "auc_ratio", "kl"): authors.auc_ratio(curve[1], 60),
        ("authors", "plateau_length", "l2"): authors.plateau_length(curve[0]),
    }
    for (convention, statistic, metric), (step, beyond) in expected.items():
        index = CONVENTIONS.index(convention), list(STATISTICS).index(statistic), METRICS.index(metric)
        np.testing.assert_array_equal(value[index], step)
        np.testing.assert_array_equal(censored[index], beyond)


def test_metrics_without_a_threshold_have_no_plateau_length(curve: NDArray[np.float32]) -> None:
    value, censored = step_statistics(curve, np.ones((2, 4)), METRICS, step_length=None, settings=SETTINGS)
    plateau = list(STATISTICS).index("plateau_length")
    for convention, metric in (("corrected", "js"), ("authors", "kl"), ("authors", "js")):
        index = CONVENTIONS.index(convention), plateau, METRICS.index(metric)
        assert np.isnan(value[index]).all()
        assert not censored[index].any()


def test_an_incomplete_curve_is_undefined_everywhere(curve: NDArray[np.float32]) -> None:
    value, censored = step_statistics(curve, np.full((2, 4), 30.0), METRICS, step_length=0.5, settings=SETTINGS)
    assert np.isnan(value[..., 1, 2]).all()
    assert not censored[..., 1, 2].any()


def test_a_metric_that_only_the_run_knows_is_refused(curve: NDArray[np.float32]) -> None:
    with pytest.raises(UsageError, match="'mine' has no minimum slope"):
        step_statistics(curve, np.ones((2, 4)), ["l2", "kl", "mine"], step_length=None, settings=AnalysisConfig())


def test_thresholds_that_are_not_given_are_the_metrics_own() -> None:
    assert AnalysisConfig(minimum_slope={"l2": 0.5}).minimum_slope["js"] == AnalysisConfig().minimum_slope["js"]
