"""Tests of plateaulens.figures.curves: what is drawn are the summary's numbers."""

import numpy as np
import pytest
import xarray as xr
from tests.figures.checks import data, lines

from plateaulens import figures, names


def test_plateaus_marks_the_threshold_and_the_censored(summary: xr.DataTree) -> None:
    plateau = summary["plateau"].to_dataset()
    left, right = figures.plateaus(plateau, threshold=17.5).axes
    assert any(np.array_equal(data(line)[1], [17.5, 17.5]) for line in left.get_lines())
    marks = [line for line in right.get_lines() if line.get_marker() == "+"]
    values = plateau.sel(convention="corrected", statistic="plateau_length", metric="l2")
    fractions = values["censored_fraction"].values
    np.testing.assert_allclose([data(mark)[1][0] for mark in marks], fractions[fractions > 0])
    for name in plateau["activation_type"].values:
        survival = data(lines(right)[names.label(str(name))])[1]
        assert survival[0] == 1
        assert survival[-1] == pytest.approx(float(values["censored_fraction"].sel(activation_type=name)))


def test_lengths_are_shown_as_far_as_there_are_plateaus(summary: xr.DataTree) -> None:
    plateau = summary["plateau"].to_dataset().copy(deep=True)
    where = {"convention": "corrected", "statistic": "plateau_length", "metric": "l2"}
    last = float(plateau["length"][-1])
    assert figures.plateaus(plateau, threshold=17.5).axes[1].get_xlim() == (0, last), "some are censored"
    plateau["censored"].loc[where] = False
    steps = plateau["step_value"].loc[where]
    plateau["step_value"].loc[where] = np.minimum(np.nan_to_num(steps, nan=20.0), 20.0)
    left, right = figures.plateaus(plateau, threshold=17.5).axes
    assert left.get_xlim() == (0, last)
    assert right.get_xlim() == pytest.approx((0, 1.1 * float(plateau["length"].sel(step=20))))
