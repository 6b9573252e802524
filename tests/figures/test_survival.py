"""Tests of plateaulens.figures.curves: survival curves are the summary's."""

import numpy as np
import xarray as xr
from tests.figures.checks import data, lines

from plateaulens import figures, names


def test_curves_and_bands(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.survival_curves(sensitivity, metrics=("l2",))
    (ax,) = figure.axes
    for name in ("real", "structured"):
        x, y = data(lines(ax)[names.label(name)])
        np.testing.assert_array_equal(x, sensitivity["step"])
        np.testing.assert_allclose(
            y, sensitivity["survival"].sel(statistic="max_slope", metric="l2", activation_type=name)
        )
    assert len(ax.collections) == 4


def test_a_metric_without_the_statistic_has_no_panel(summary: xr.DataTree) -> None:
    plateau = summary["plateau"].to_dataset()
    assert len(figures.survival_curves(plateau, statistic="plateau_length").axes) == 1
    x, _ = data(figures.survival_curves(plateau, statistic="plateau_length").axes[0].get_lines()[0])
    assert x[-1] == plateau["length"][-1]
