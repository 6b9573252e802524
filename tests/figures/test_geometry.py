"""Tests of plateaulens.figures.geometry: what is drawn are the summary's numbers."""

import numpy as np
import xarray as xr
from tests.figures.checks import data

from plateaulens import figures, names
from plateaulens.figures.geometry import QUANTITIES


def test_geometry_shows_means_and_intervals_on_top_of_the_distributions(summary: xr.DataTree) -> None:
    values = summary["geometry"].to_dataset()
    figure = figures.target_geometry(values)
    types = [str(name) for name in values["activation_type"].values]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [names.label(name) for name in types]
    for ax, quantity in zip(figure.axes, QUANTITIES, strict=True):
        assert len(ax.collections) == len(types)
        means = [data(line)[0][0] for line in ax.get_lines() if line.get_marker() == "|"]
        np.testing.assert_allclose(means, values[f"{quantity}_mean"])


def test_geometry_of_targets_that_are_all_alike_has_no_shape(summary: xr.DataTree) -> None:
    values = summary["geometry"].to_dataset().copy(deep=True)
    values["target_norm"].loc[{"activation_type": "random"}] = 3.0
    panel = figures.target_geometry(values).axes[0]
    assert len(panel.collections) == values.sizes["activation_type"] - 1
