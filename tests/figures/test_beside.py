"""Tests of plateaulens.figures.models: both runs are drawn, each by its own numbers and look."""

import numpy as np
import pytest
import xarray as xr
from tests.figures.checks import check_readable, data, legend_labels

from plateaulens import figures

TYPES = ["real_control", "random", "isotropic"]


@pytest.fixture
def runs(summary: xr.DataTree) -> dict[str, xr.Dataset]:
    """The run beside itself with curves twice as high, steps three later, and without isotropic."""
    first = summary["sensitivity"].to_dataset()
    second = first.sel(activation_type=["real", "real_control", "random"]).copy(deep=True)
    second["mean_difference"] += 3
    second["mean_difference_interval"] += 3
    second["curve_mean"] *= 2
    return {"one": first, "two": second}


def test_it_is_readable(runs: dict[str, xr.Dataset]) -> None:
    figure = figures.beside(runs, types=TYPES)
    check_readable(figure)
    assert legend_labels(figure) == ["one", "two", "real", "random"]


def test_curves_end_at_1_and_have_each_run_s_line(runs: dict[str, xr.Dataset]) -> None:
    above = figures.beside(runs, types=TYPES).axes[:2]
    for ax, metric in zip(above, ("l2", "kl"), strict=True):
        solid = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
        dashed = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
        assert len(solid) == len(dashed) == 2
        for first, second in zip(solid, dashed, strict=True):
            np.testing.assert_allclose(data(first), data(second))
            assert data(first)[1][-1] == 1
        mean = runs["one"]["curve_mean"].sel(metric=metric, activation_type="real")
        np.testing.assert_allclose(data(solid[0])[1], mean / mean[-1])


def test_marks_are_the_mean_differences(runs: dict[str, xr.Dataset]) -> None:
    below = figures.beside(runs, types=TYPES).axes[2:]
    for ax, metric in zip(below, ("l2", "kl"), strict=True):
        marks = [line for line in ax.get_lines() if line.get_marker() == "o"]
        filled = [mark for mark in marks if mark.get_markerfacecolor() != "white"]
        opened = [mark for mark in marks if mark.get_markerfacecolor() == "white"]
        for run, drawn, types in zip(runs.values(), (filled, opened), (TYPES, TYPES[:2]), strict=True):
            expected = run["mean_difference"].sel(
                convention="corrected", statistic="max_slope", metric=metric, activation_type=types
            )
            np.testing.assert_allclose([data(mark)[0][0] for mark in drawn], expected)
