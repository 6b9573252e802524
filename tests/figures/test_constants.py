"""Tests of plateaulens.figures.differences: conclusions as constants are moved."""

import numpy as np
import xarray as xr
from tests.figures.checks import check_readable, data, lines

from plateaulens import figures


def test_a_panel_for_every_constant(summary: xr.DataTree) -> None:
    group = summary["constants"].to_dataset()
    figure = figures.constant_sensitivity(group)
    panels = {(ax.get_title(loc="left"), ax.get_xlabel()): ax for ax in figure.axes}
    assert len(panels) == 8
    ax = panels["relative, nonlinearity", "tolerance"]
    own = group.isel(case=np.flatnonzero(group["constant"].to_numpy() == "nonlinearity_tolerance"))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.05", "0.1", "0.2", "0.4"]
    _, y = data(lines(ax)["structured"])
    np.testing.assert_allclose(y, own["mean_difference"].sel(metric="l2", activation_type="structured"))


def test_the_other_conclusion(summary: xr.DataTree) -> None:
    group = summary["constants"].to_dataset()
    figure = figures.constant_sensitivity(group, conclusion="ks_difference")
    check_readable(figure)
    assert len(figure.axes) == 8
    assert len(figures.constant_sensitivity(group, metric="kl").axes) == 6  # no plateau length
