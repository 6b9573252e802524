"""Tests of plateaulens.figures.differences: differences at equal geometry."""

import numpy as np
import xarray as xr
from matplotlib.lines import Line2D
from tests.figures.checks import data, legend_labels

from plateaulens import figures
from plateaulens.figures.differences import MARKS


def test_every_type_has_a_mark_for_each_adjustment(summary: xr.DataTree) -> None:
    group = summary["confounds"].to_dataset()
    group["overlap"][:] = True
    figure = figures.adjusted_differences(group)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "relative steps",
        "absolute steps",
        "absolute, to the target",
    ]
    own = group.sel(path="sensitivity", statistic="max_slope", metric="l2", adjustment="path_length")
    squares = [line for line in figure.axes[0].get_lines() if line.get_marker() == MARKS["path_length"][0]]
    np.testing.assert_allclose(
        [data(line)[0][0] for line in squares], own["adjusted_difference"].drop_sel(activation_type="real")
    )
    assert "no overlap" not in legend_labels(figure)


def test_what_is_adjusted_for_nothing_is_open_and_the_rest_filled(summary: xr.DataTree) -> None:
    """By the shape alone a circle and a square of this size look alike."""
    group = summary["confounds"].to_dataset()
    group["overlap"][:] = True
    figure = figures.adjusted_differences(group)
    drawn = figure.axes[0].get_lines()
    fillings = [
        {line.get_markerfacecolor() == "white" for line in drawn if line.get_marker() == marker}
        for marker, _ in MARKS.values()
    ]
    assert fillings == [{True}, {False}, {False}]
    keys = [line for line in figure.legends[0].legend_handles if isinstance(line, Line2D)]
    assert [line.get_label() for line in keys if line.get_markerfacecolor() == "white"] == ["as it is"]


def test_no_overlap_is_marked_and_not_drawn(summary: xr.DataTree) -> None:
    group = summary["confounds"].to_dataset().copy(deep=True)
    group["overlap"][:] = True
    group["overlap"].loc[{"activation_type": "bag", "adjustment": "all"}] = False
    figure = figures.adjusted_differences(group)
    crosses = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert len(crosses) == 1
    assert "no overlap" in legend_labels(figure)
