"""Tests of plateaulens.figures.differences: what is drawn are the summary's numbers."""

import numpy as np
import xarray as xr
from tests.figures.checks import data

from plateaulens import figures, names
from plateaulens.figures.style import APART, NEAR, OPEN


def test_forest_shows_every_type_but_real_and_what_chance_gives(summary: xr.DataTree) -> None:
    """In grey the quantile of the swap distribution of each type, and a dashed line at the margin."""
    sensitivity = summary["sensitivity"].to_dataset()
    figure = figures.ks_forest(sensitivity)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["L2", "KL", "JS"]
    types = [str(name) for name in sensitivity["activation_type"].values if name != "real"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [names.label(name) for name in types]
    for ax, metric in zip(figure.axes, ("l2", "kl", "js"), strict=True):
        values = sensitivity.sel(convention="corrected", statistic="max_slope", metric=metric, activation_type=types)
        dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
        ticks = [line for line in ax.get_lines() if line.get_marker() == "|"]
        margin, *bars = sorted(
            (line for line in ax.get_lines() if line.get_marker() == "None" and line.get_label() != "_rule"),
            key=lambda line: line.get_linestyle() == "-",
        )
        np.testing.assert_allclose([data(dot)[0][0] for dot in dots], values["ks"])
        np.testing.assert_allclose([data(bar)[0] for bar in bars], values["ks_interval"].sel(bound=["lower", "upper"]))
        np.testing.assert_allclose([data(tick)[0][0] for tick in ticks], values["ks_upper_bound"])
        assert [data(tick)[1][0] for tick in ticks] == list(range(len(types)))
        assert set(data(margin)[0]) == {0.15}
        boxes = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
        np.testing.assert_allclose([box.x1 for box in boxes], values["ks_null_upper"])
        assert [round((box.y0 + box.y1) / 2, 6) for box in boxes] == list(range(len(types)))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "noise floor: 95 % of distances by chance", "margin of equivalence, 0.15", "one-sided upper bound, 95 %"
    ]  # fmt: skip


def test_chance_is_drawn_without_a_control_too_and_the_margin_is_the_experiment_s(summary: xr.DataTree) -> None:
    absolute = summary["sensitivity_absolute"].to_dataset().sel(activation_type=["real", "random", "structured"])
    figure = figures.ks_forest(absolute)
    assert all(len(ax.patches) == 2 for ax in figure.axes)
    assert "margin of equivalence, 0.075" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_type_without_a_distance_has_nothing_grey(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset().copy(deep=True)
    sensitivity["ks_null_upper"].loc[{"activation_type": "bag", "metric": "l2"}] = np.nan
    place = [str(name) for name in sensitivity["activation_type"].values if name != "real"].index("bag")
    assert figures.ks_forest(sensitivity).axes[0].patches[place].get_extents().width == 0


def test_every_row_has_its_verdict_in_words_and_colour(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset().copy(deep=True)
    for kind, word in {"bag": "equivalent, later", "random": "undecided", "structured": "earlier"}.items():
        sensitivity["conclusion"].loc[{"activation_type": kind}] = word
    types = [str(name) for name in sensitivity["activation_type"].values if name != "real"]
    for ax in figures.ks_forest(sensitivity, metrics=["l2", "kl"]).axes:
        said = dict(zip(types, ax.texts, strict=True))
        words = {kind: text.get_text() for kind, text in said.items()}
        assert (words["bag"], words["random"], words["structured"]) == ("equivalent, later", "undecided", "earlier")
        assert [text.get_position()[1] for text in ax.texts] == list(range(len(types)))
        colors = {kind: text.get_color() for kind, text in said.items()}
        assert (colors["bag"], colors["random"], colors["structured"]) == (NEAR, OPEN, APART)


def test_equivalent_is_said_where_the_tick_lies_left_of_the_margin(summary: xr.DataTree) -> None:
    """The interval may reach beyond it: a row is not read by its bar."""
    sensitivity = summary["sensitivity"].to_dataset().copy(deep=True)
    cell = {"activation_type": "real_control", "metric": "l2"}
    for name, value in {"ks": 0.07, "ks_upper_bound": 0.13, "conclusion": "equivalent"}.items():
        sensitivity[name].loc[cell] = value
    sensitivity["ks_interval"].loc[cell] = [0.0, 0.167]
    (ax,) = figures.ks_forest(sensitivity, metrics=["l2"]).axes
    first = [line for line in ax.get_lines() if line.get_label() != "_rule" and set(data(line)[1]) == {0}]
    assert {line.get_marker(): data(line)[0].tolist() for line in first} == {
        "None": [0.0, 0.167], "o": [0.07], "|": [0.13]
    }  # fmt: skip
    assert ax.texts[0].get_text() == "equivalent"


def test_the_control_is_set_apart_from_the_synthetic_types(summary: xr.DataTree) -> None:
    sensitivity = summary["sensitivity"].to_dataset()

    def rules(group: xr.Dataset) -> list[float]:
        (ax,) = figures.ks_forest(group, metrics=["l2"]).axes
        return [float(data(line)[1][0]) for line in ax.get_lines() if line.get_label() == "_rule"]

    assert rules(sensitivity) == [0.5]
    assert rules(sensitivity.sel(activation_type=["real", "random", "real_control", "bag"])) == [0.5, 1.5]
    assert rules(sensitivity.sel(activation_type=["real", "random", "bag"])) == []
    words = figures.ks_forest(sensitivity).axes[0].get_yticklabels()
    assert [tick.get_text() for tick in words if tick.get_color() == OPEN] == [names.label("real_control")]
