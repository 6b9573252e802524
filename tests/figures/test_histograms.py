"""Tests of plateaulens.figures.distributions: what is drawn are the summary's numbers."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import StepPatch
from tests.figures.checks import data

from plateaulens import figures, names
from plateaulens.names import MAIN_TYPES


def test_histogram_bars_are_fractions_of_all_prompts(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.max_slope_histograms(sensitivity)
    panels = np.reshape(np.array(figure.axes, dtype=object), (len(MAIN_TYPES) + 1, 2))
    for column, metric in enumerate(("l2", "kl")):
        for row, name in enumerate(MAIN_TYPES):
            bars, *outline = [patch for patch in panels[row, column].patches if isinstance(patch, StepPatch)]
            values = sensitivity.sel(convention="corrected", statistic="max_slope", metric=metric, activation_type=name)
            assert np.sum(bars.get_data()[0]) == pytest.approx(1 - float(values["censored"].mean()))
            assert data(panels[row, column].get_lines()[0])[0][0] == pytest.approx(float(values["mean"]))
            assert len(outline) == int(name != "real")
    assert [ax.get_ylabel() for ax in panels[:-1, 0]] == [names.label(name) for name in MAIN_TYPES]
