"""Tests of plateaulens.figures.experiment: the drawing is of a real curve, and marks what the summary stores."""

import numpy as np
import pytest
import xarray as xr
from tests.figures.checks import check_readable, data

from plateaulens import figures


@pytest.fixture
def sensitivity(summary: xr.DataTree) -> xr.Dataset:
    return summary["sensitivity"].to_dataset()


def steps_of(group: xr.Dataset) -> xr.DataArray:
    """The max-slope steps of the example prompts towards real targets on L2."""
    chosen = {"convention": "corrected", "statistic": "max_slope", "metric": "l2", "activation_type": "real"}
    return group["step_value"].sel(chosen).isel(sample=group["example_sample"].to_numpy())


def words(group: xr.Dataset) -> list[str]:
    """What stands in the two panels."""
    return [text.get_text() for ax in figures.experiment_drawing(group).axes for text in ax.texts]


def test_the_curve_is_the_first_example_towards_real(sensitivity: xr.Dataset) -> None:
    _, curve = figures.experiment_drawing(sensitivity).axes
    expected = sensitivity["example_curve"].sel(activation_type="real", metric="l2").isel(example=0)
    np.testing.assert_allclose(data(curve.get_lines()[0])[1], expected)


def test_its_parts_are_named(sensitivity: xr.Dataset) -> None:
    step = float(steps_of(sensitivity)[0])
    said = words(sensitivity)
    assert {"base A", "target T", "below a fifth of its height", "blow-up", f"max-slope step {step:g}"} <= set(said)


def test_an_example_without_a_step_is_passed_over(sensitivity: xr.Dataset) -> None:
    group = sensitivity.copy(deep=True)
    first = int(group["example_sample"][0])
    group["step_value"].loc[{"activation_type": "real"}] = (
        group["step_value"]
        .sel(activation_type="real")
        .where(
            group["sample"] != first
            if "sample" in group.coords
            else xr.DataArray(np.arange(group.sizes["sample"]) != first, dims="sample")
        )
    )
    assert f"max-slope step {float(steps_of(group)[1]):g}" in words(group)


def test_without_any_step_there_is_no_mark(sensitivity: xr.Dataset) -> None:
    group = sensitivity.copy(deep=True)
    group["step_value"][:] = np.nan
    assert not [text for text in words(group) if "step" in text and "by step" not in text]
    check_readable(figures.experiment_drawing(group))


@pytest.mark.parametrize("step", [1.0, 30.0, 60.0, 80.0, 100.0])
def test_it_is_readable_wherever_the_step_lies(sensitivity: xr.Dataset, step: float) -> None:
    group = sensitivity.copy(deep=True)
    group["step_value"][:] = step
    check_readable(figures.experiment_drawing(group))


def test_absolute_steps_need_not_reach_the_target(summary: xr.DataTree) -> None:
    assert "towards T" in words(summary["sensitivity_absolute"].to_dataset())
