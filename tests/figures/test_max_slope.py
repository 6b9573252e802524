"""Tests of plateaulens.figures.distributions: what is drawn are the summary's numbers."""

import numpy as np
import pytest
import xarray as xr
from tests.figures.checks import data, legend_labels, lines

from plateaulens import figures, names
from plateaulens.figures.positions import cumulative


def test_max_slope_cdf_draws_the_distribution_of_every_type(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.max_slope_cdf(sensitivity)
    types = [str(name) for name in sensitivity["activation_type"].values]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["L2", "KL"]
    assert legend_labels(figure) == [names.label(name) for name in types]
    for ax, metric in zip(figure.axes, ("l2", "kl"), strict=True):
        drawn = lines(ax)
        for name in types:
            x, y = cumulative(sensitivity, "max_slope", metric, name)
            np.testing.assert_array_equal(data(drawn[names.label(name)]), [x, y])


def test_max_slope_cdf_of_fixed_steps_is_in_activation_units(summary: xr.DataTree) -> None:
    absolute = summary["sensitivity_absolute"].to_dataset()
    ax = figures.max_slope_cdf(absolute).axes[0]
    assert ax.get_xlabel() == "path length (activation units)"
    assert ax.get_xlim() == pytest.approx((0, 1.015 * float(absolute["length"][-1])))
