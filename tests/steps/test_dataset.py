from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import plateaulens.steps.dataset as module
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.steps.dataset import step_dataset, step_length
from plateaulens.store.reading import open_run, sample_ranges
from plateaulens.testing import generate_run, planted_steps, synthetic_spec

SPEC = synthetic_spec(20, activation_types=("real", "random", "isotropic"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path: Path = tmp_path_factory.mktemp("runs") / "synthetic.zarr"
    generate_run(path, SPEC)
    return open_run(path)


def test_the_planted_steps_are_found(run: xr.DataTree) -> None:
    """Of a synthetic curve's differences the largest is the one that arrives at the planted step rounded up."""
    found = step_dataset(run["plateau"].to_dataset(), AnalysisConfig())
    found = found.sel(convention="corrected", statistic="max_slope").transpose("activation_type", "sample", "metric")
    spans = SPEC.groups["plateau"].spans
    planted = np.concatenate([planted_steps(SPEC, "plateau", span, 0) for span in spans], axis=1)
    never = np.isinf(planted)
    assert never.any()
    np.testing.assert_array_equal(found.censored, never)
    # a curve that is steepest right at a step has equal rises on both sides of it
    clear = ~never & (np.abs(planted - np.round(np.where(never, 0, planted))) > 1e-3)
    assert clear.sum() > 140
    np.testing.assert_array_equal(found.step_value.values[clear], np.ceil(planted[clear]))


def test_axes_are_named_in_order_and_described(run: xr.DataTree) -> None:
    found = step_dataset(run["sensitivity"].to_dataset(), AnalysisConfig())
    dims = ("convention", "statistic", "metric", "activation_type", "sample")
    assert found.step_value.dims == found.censored.dims == dims
    assert found.convention.values.tolist() == ["corrected", "authors"]
    assert found.statistic.values.tolist() == ["max_slope", "first_nonlinearity", "auc_ratio", "plateau_length"]
    assert found.activation_type.values.tolist() == ["real", "random", "isotropic"]
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()


def test_the_step_length_is_the_coordinate_s(run: xr.DataTree) -> None:
    assert step_length(run["sensitivity"].to_dataset()) is None
    assert step_length(run["sensitivity_absolute"].to_dataset()) == 0.5


def test_their_window_follows_the_path_length(run: xr.DataTree) -> None:
    experiment = run["sensitivity_absolute"].to_dataset().load()
    experiment["path_length"] = xr.full_like(experiment["path_length"], 10.0)
    found = step_dataset(experiment, AnalysisConfig()).sel(convention="authors", statistic="max_slope", metric="l2")
    early = found.step_value < 20
    assert (early | found.censored).all()
    assert (found.step_value.where(found.censored, 99) == 99).all()


def test_reading_in_ranges_changes_nothing(run: xr.DataTree, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = run["sensitivity_absolute"].to_dataset()
    whole = step_dataset(experiment, AnalysisConfig())
    monkeypatch.setattr(module, "sample_ranges", lambda samples: sample_ranges(samples, size=7))
    xr.testing.assert_identical(step_dataset(experiment, AnalysisConfig()), whole)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    ("name", "said"), [("curve", "a point of the curve"), ("path_length", "the path length")], ids=["curve", "path"]
)
def test_what_is_not_finite_is_named(run: xr.DataTree, name: str, said: str, value: float) -> None:
    experiment = run["sensitivity_absolute"].to_dataset().load()
    experiment[name] = experiment[name].copy()
    experiment[name][{"activation_type": 1, "sample": 17}] = value
    with pytest.raises(UsageError, match=f"^experiment some, type random, sample 17: {said} is no finite number"):
        step_dataset(experiment, AnalysisConfig(), "some")


def test_what_is_not_measured_yet_is_nan_and_not_refused(run: xr.DataTree) -> None:
    experiment = run["sensitivity_absolute"].to_dataset().load()
    for name, empty in (("curve", np.nan), ("path_length", np.nan), ("completed", False)):
        experiment[name] = experiment[name].copy()
        experiment[name][{"sample": 17}] = empty
    found = step_dataset(experiment, AnalysisConfig())
    assert found.step_value.isel(sample=17).isnull().all()
    assert not found.censored.isel(sample=17).any()
