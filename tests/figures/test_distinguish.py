"""Tests of plateaulens.figures.differences: how well targets are told from real ones."""

import numpy as np
import xarray as xr
from tests.figures.checks import data

from plateaulens import figures
from plateaulens.figures.differences import MARKERS


def test_what_is_drawn_are_the_areas(summary: xr.DataTree) -> None:
    group = summary["distinguish"].to_dataset()
    (ax,) = figures.distinguishability(group).axes
    for classifier, marker in MARKERS.items():
        own = group.sel(classifier=classifier).drop_sel(activation_type="real")
        drawn = [data(line)[0][0] for line in ax.get_lines() if line.get_marker() == marker]
        np.testing.assert_allclose(drawn, own["auc"])
    grey = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    upper = group["auc_null_upper"].drop_sel(activation_type="real").transpose("activation_type", "classifier")
    np.testing.assert_allclose([box.x1 for box in grey], np.maximum(upper.to_numpy(), 0.5).ravel())
    np.testing.assert_allclose([box.x0 for box in grey], 0.5)
