"""Tests of plateaulens.figures.curves: what is drawn are the summary's numbers."""

import numpy as np
import pytest
import xarray as xr
from tests.figures.checks import data, lines

from plateaulens import figures, names
from plateaulens.names import MAIN_TYPES


def test_example_curves_shows_the_stored_curves_and_dots(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.example_curves(sensitivity)
    examples = sensitivity.sizes["example"]
    assert len(figure.axes) == 2 * (examples + 1)
    for row, metric in enumerate(("l2", "kl")):
        for example in range(examples):
            ax = figure.axes[row * (examples + 1) + example]
            sample = int(sensitivity["example_sample"][example])
            for name in MAIN_TYPES:
                curve = sensitivity["example_curve"].isel(example=example).sel(metric=metric, activation_type=name)
                line = lines(ax)[names.label(name)]
                np.testing.assert_array_equal(data(line)[1], curve)
                step = sensitivity["step_value"].sel(
                    convention="corrected", statistic="max_slope", metric=metric, activation_type=name, sample=sample
                )
                dots = [
                    dot for dot in ax.get_lines() if dot.get_marker() == "o" and dot.get_color() == line.get_color()
                ]
                assert len(dots) == int(np.isfinite(step))
                if dots:
                    np.testing.assert_allclose(data(dots[0]), [[step], [curve.sel(step=int(step))]])


def test_example_curves_ends_with_the_mean_and_its_band(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.example_curves(sensitivity)
    ax = figure.axes[sensitivity.sizes["example"]]
    assert ax.get_title(loc="left") == f"mean of {sensitivity.sizes['sample']}"
    for name, band in zip(MAIN_TYPES, ax.collections, strict=True):
        values = sensitivity.sel(metric="l2", activation_type=name)
        np.testing.assert_array_equal(data(lines(ax)[names.label(name)])[1], values["curve_mean"])
        heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
        assert heights.max() == pytest.approx(float(values["curve_interval"].max()))


def test_no_example_curve_is_cut_off(summary: xr.DataTree) -> None:
    figure = figures.example_curves(summary["sensitivity"].to_dataset())
    for ax in figure.axes:
        top = max(float(data(line)[1].max()) for line in ax.get_lines())
        assert ax.get_ylim()[1] >= top


PEAKED = {"metric": "l2", "activation_type": "baseline"}


def with_peak(summary: xr.DataTree, height: float) -> xr.Dataset:
    """One curve of the first example rises to so many times the largest value of all, for three steps."""
    group = summary["sensitivity"].to_dataset().copy(deep=True)
    curve = group["example_curve"]
    where = {name: group[name].values.tolist().index(value) for name, value in PEAKED.items()}
    top = float(curve.sel(metric="l2", activation_type=list(MAIN_TYPES)).max())
    curve[{**where, "example": 0, "step": slice(50, 53)}] = height * top
    return group


def test_a_peak_of_a_few_steps_does_not_set_the_scale(summary: xr.DataTree) -> None:
    group = with_peak(summary, 5.0)
    first, *others = figures.example_curves(group).axes[: group.sizes["example"] + 1]
    peak = float(group["example_curve"].sel(metric="l2").max())
    assert first.get_ylim()[1] < peak / 3
    assert first.get_ylim() == others[0].get_ylim() == others[-1].get_ylim()
    for ax in (first, *others):
        cut = [
            line for line in ax.get_lines() if line.get_marker() == "None" and data(line)[1].max() > ax.get_ylim()[1]
        ]
        marks = [line for line in ax.get_lines() if line.get_marker() == "^"]
        assert [mark.get_color() for mark in marks] == [line.get_color() for line in cut]
        assert [text.get_text() for text in ax.texts] == ([f"to {peak:,.0f}"] if ax is first else [])
        assert len(marks) == (ax is first)


@pytest.mark.parametrize("height", [0.5, 1.2])
def test_what_others_come_near_is_not_cut_off(summary: xr.DataTree, height: float) -> None:
    for ax in figures.example_curves(with_peak(summary, height)).axes:
        assert not [line for line in ax.get_lines() if line.get_marker() == "^"]
        assert ax.get_ylim()[1] >= max(float(data(line)[1].max()) for line in ax.get_lines())
