"""Tests of plateaulens.figures.curves: what is drawn are the summary's numbers."""

import numpy as np
import pytest
import xarray as xr
from tests.figures.checks import data, lines

from plateaulens import figures, names
from plateaulens.names import MAIN_TYPES


def test_example_curves_shows_the_stored_curves_and_dots(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.example_curves(sensitivity)
    examples = sensitivity.sizes["example"]
    assert len(figure.axes) == 2 * (examples + 1)
    for row, metric in enumerate(("l2", "kl")):
        for example in range(examples):
            ax = figure.axes[row * (examples + 1) + example]
            sample = int(sensitivity["example_sample"][example])
            for name in MAIN_TYPES:
                curve = sensitivity["example_curve"].isel(example=example).sel(metric=metric, activation_type=name)
                line = lines(ax)[names.label(name)]
                np.testing.assert_array_equal(data(line)[1], curve)
                step = sensitivity["step_value"].sel(
                    convention="corrected", statistic="max_slope", metric=metric, activation_type=name, sample=sample
                )
                dots = [
                    dot for dot in ax.get_lines() if dot.get_marker() == "o" and dot.get_color() == line.get_color()
                ]
                assert len(dots) == int(np.isfinite(step))
                if dots:
                    np.testing.assert_allclose(data(dots[0]), [[step], [curve.sel(step=int(step))]])


def test_example_curves_ends_with_the_mean_and_its_band(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.example_curves(sensitivity)
    ax = figure.axes[sensitivity.sizes["example"]]
    assert ax.get_title(loc="left") == f"mean of {sensitivity.sizes['sample']}"
    for name, band in zip(MAIN_TYPES, ax.collections, strict=True):
        values = sensitivity.sel(metric="l2", activation_type=name)
        np.testing.assert_array_equal(data(lines(ax)[names.label(name)])[1], values["curve_mean"])
        heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
        assert heights.max() == pytest.approx(float(values["curve_interval"].max()))


def test_no_example_curve_is_cut_off(summary: xr.DataTree) -> None:
    figure = figures.example_curves(summary["sensitivity"].to_dataset())
    for ax in figure.axes:
        top = max(float(data(line)[1].max()) for line in ax.get_lines())
        assert ax.get_ylim()[1] >= top
