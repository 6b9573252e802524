"""What `plateaulens.summary.analyze` puts together, in a whole analysis."""

import numpy as np
import pytest
import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.store.reading import open_run
from plateaulens.summary import distinguish as distinguish_dataset
from plateaulens.summary.analyze import summarize
from plateaulens.summary.constants import STORED
from plateaulens.testing import generate_run, synthetic_spec

SETTINGS = AnalysisConfig(resamples=100)
TYPES = ("real", "random", "baseline", "structured")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path = tmp_path_factory.mktemp("robustness") / "run.zarr"
    generate_run(path, synthetic_spec(20, activation_types=TYPES))
    return open_run(path)


@pytest.fixture(scope="module")
def summary(run: xr.DataTree) -> xr.DataTree:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinguish_dataset, "PERMUTATIONS", 49)
        return summarize(run, SETTINGS)


@pytest.mark.slow
def test_the_paths_of_the_confounds(summary: xr.DataTree) -> None:
    expected = ["sensitivity", "sensitivity_absolute", "sensitivity_absolute_to_target", "plateau"]
    assert summary["confounds"].to_dataset()["path"].values.tolist() == expected


def test_nothing_moved_is_what_the_report_says(summary: xr.DataTree) -> None:
    """For every experiment, type, pair of types and metric, estimates and words alike."""
    constants = summary["constants"].to_dataset()
    unmoved = np.flatnonzero(constants.is_default.to_numpy())
    assert len(unmoved) == 8
    for case in unmoved:
        own = constants.isel(case=case)
        there = summary[str(own.experiment.item())].to_dataset().sel(convention="corrected")
        there = there.sel(statistic=str(own.statistic.item()))
        for name in STORED:
            np.testing.assert_array_equal(own[name], there[name].transpose(*own[name].dims))


def test_survival_curves_end_at_the_censored_share(summary: xr.DataTree) -> None:
    survival = summary["sensitivity"].to_dataset()["survival"].sel(statistic="max_slope", metric="l2")
    censored = (
        summary["sensitivity"]
        .to_dataset()["censored_fraction"]
        .sel(convention="corrected", statistic="max_slope", metric="l2")
    )
    np.testing.assert_allclose(survival.isel(step=-1), censored)
    assert survival.isel(step=0).sel(activation_type="real") == 1
