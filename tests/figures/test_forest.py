"""Tests of plateaulens.figures.differences: what is drawn are the summary's numbers."""

import numpy as np
import xarray as xr
from tests.figures.checks import data

from plateaulens import figures, names
from plateaulens.names import CONTROL


def test_forest_shows_every_type_but_real_and_the_noise_floor(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.ks_forest(sensitivity)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["L2", "KL", "JS"]
    types = [str(name) for name in sensitivity["activation_type"].values if name != "real"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [names.label(name) for name in types]
    for ax, metric in zip(figure.axes, ("l2", "kl", "js"), strict=True):
        values = sensitivity.sel(convention="corrected", statistic="max_slope", metric=metric, activation_type=types)
        dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
        bars = [line for line in ax.get_lines() if line.get_marker() == "None"]
        np.testing.assert_allclose([data(dot)[0][0] for dot in dots], values["ks"])
        np.testing.assert_allclose([data(bar)[0] for bar in bars], values["ks_interval"].sel(bound=["lower", "upper"]))
        (floor,) = ax.patches
        np.testing.assert_allclose(
            floor.get_extents().transformed(ax.transData.inverted()).intervalx,
            values["ks_interval"].sel(activation_type=CONTROL),
            atol=1e-9,
        )


def test_forest_without_a_control_has_no_noise_floor(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset().sel(activation_type=["real", "random", "structured"])
    assert not any(ax.patches for ax in figures.ks_forest(sensitivity).axes)
