import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.dataset import compare_dataset
from plateaulens.compare.distributions import DIMS, compare_types
from plateaulens.compare.resampling import Resampling
from plateaulens.config import AnalysisConfig
from plateaulens.steps.dataset import step_dataset


@pytest.fixture
def steps(run: xr.DataTree) -> xr.Dataset:
    return step_dataset(run["sensitivity"].to_dataset(), AnalysisConfig())


def test_every_cell_is_the_comparison_of_its_values(steps: xr.Dataset, resampling: Resampling) -> None:
    found = compare_dataset(steps, resampling, confidence=0.8)
    cell = {"convention": "authors", "statistic": "auc_ratio", "metric": "kl"}
    values = steps.sel(cell)
    expected = compare_types(values.step_value.values, values.censored.values, resampling, reference=0, confidence=0.8)
    assert set(found.data_vars) == set(DIMS)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name].sel(cell), array)


def test_axes_are_named_in_order_and_described(steps: xr.Dataset, resampling: Resampling) -> None:
    found = compare_dataset(steps, resampling, confidence=0.8)
    for name, dims in DIMS.items():
        assert found[name].dims == ("convention", "statistic", "metric", *dims)
    for variable in found.variables.values():
        assert {"long_name", "units"} <= variable.attrs.keys()
    assert found.mean_interval.attrs == {
        "long_name": "80 % interval: mean step",
        "units": "step",
        "confidence": 0.8,
        "resamples": 200,
    }
    assert found.bound.values.tolist() == ["lower", "upper"]
    assert found.other_type.values.tolist() == found.activation_type.values.tolist()


def test_the_reference_is_real_wherever_it_stands(steps: xr.Dataset, resampling: Resampling) -> None:
    turned = steps.isel(activation_type=[2, 1, 0])
    found = compare_dataset(turned, resampling, confidence=0.8)
    xr.testing.assert_equal(
        found.ks, compare_dataset(steps, resampling, confidence=0.8).ks.isel(activation_type=[2, 1, 0])
    )
    assert (found.ks.sel(activation_type="real", statistic="max_slope") == 0).all()
