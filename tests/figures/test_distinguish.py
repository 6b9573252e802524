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
    assert len(ax.patches) == 1
    kept = group.sel(activation_type=["real", "random"])
    assert not figures.distinguishability(kept).axes[0].patches
