"""The forest plot: how far the max-slope steps of each type are from those of real targets.

The confounds figure: mean differences to real as they are, and at equal geometry.

The constants figure: whether the conclusions move when a constant does that nobody has justified.

The distinguishability figure: how well a classifier tells a type's targets from real ones.
"""

from collections.abc import Sequence
from math import ceil
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaulens.figures.style import (
    BASE_SIZE,
    GUIDE,
    INK,
    SMALL_SIZE,
    TypeStyle,
    canvas,
    dress,
    handle,
    legend,
    present,
    styles,
)
from plateaulens.names import metric_label

NOISE_FLOOR = "real_control"


def ks_forest(
    experiment: xr.Dataset, *, statistic: str = "max_slope", metrics: Sequence[str] = ("l2", "kl", "js")
) -> Figure:
    """One panel per metric: the Kolmogorov-Smirnov distance of every type to `real`, with its interval.

    When the run has `real_control`, a second draw of real targets, its interval is a grey band through all rows: the
    distance that sampling alone produces.
    """
    shown = present(experiment, "metric", metrics)
    rows = [name for name in present(experiment, "activation_type", None) if name != "real"]
    drawn = styles(rows)
    figure = canvas(0.9 + 0.3 * len(rows))
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for ax, metric in zip(panels, shown, strict=True):
        values = experiment.sel(convention="corrected", statistic=statistic, metric=metric)
        for row, (name, style) in enumerate(drawn.items()):
            estimate = values["ks"].sel(activation_type=name).item()
            interval = values["ks_interval"].sel(activation_type=name, bound=["lower", "upper"]).values
            ax.plot(interval, [row, row], color=style.color, linewidth=2.2, solid_capstyle="butt", zorder=3)
            ax.plot(
                [estimate],
                [row],
                marker="o",
                markersize=4.5,
                color=style.color,
                markeredgecolor="white",
                markeredgewidth=0.6,
                zorder=4,
            )
            if name == NOISE_FLOOR:
                ax.axvspan(*interval, color="#e4e4e4", linewidth=0, zorder=0)
        dress(ax, title=metric_label(metric), x="KS distance to real")
        ax.locator_params(axis="x", nbins=4)
    panels[0].set_xlim(left=0)  # once all is drawn: the panels share their limits, and setting one fixes both
    panels[0].set_yticks(range(len(rows)), [style.label for style in drawn.values()], fontsize=BASE_SIZE, color=INK)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure


PATHS = {
    "sensitivity": "relative steps",
    "sensitivity_absolute": "absolute steps",
    "sensitivity_absolute_to_target": "absolute, to the target",
}
MARKS = {"none": ("o", "as it is"), "path_length": ("s", "at equal path length"), "all": ("D", "at equal geometry")}
"""The adjustments that are drawn, each with its marker and its name."""

_SPREAD = 0.24


def adjusted_differences(
    group: xr.Dataset, *, statistic: str = "max_slope", metric: str = "l2", paths: Sequence[str] = tuple(PATHS)
) -> Figure:
    """One panel per kind of path, a row per type: the mean difference to real with its interval, three times.

    Not adjusted, adjusted for the path length, and for all covariates. A cross at the row's right end marks what the
    data cannot say: equality of the covariates lies outside them.
    """
    shown = present(group, "path", paths)
    rows = [name for name in present(group, "activation_type", None) if name != "real"]
    drawn = styles(rows)
    figure = canvas(1.2 + 0.36 * len(rows))
    cell = group.sel(statistic=statistic, metric=metric)
    for ax, path in zip(figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0], shown, strict=True):
        ax.axvline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for row, (name, style) in enumerate(drawn.items()):
            for offset, (adjustment, (marker, _)) in zip(np.linspace(-1, 1, len(MARKS)), MARKS.items(), strict=True):
                own = cell.sel(path=path, activation_type=name, adjustment=adjustment)
                y = row + _SPREAD * float(offset)
                if not own["overlap"]:
                    ax.plot(
                        [0.97], [y], transform=ax.get_yaxis_transform(), marker="x", markersize=4.5, color=style.color
                    )
                    continue
                interval = own["adjusted_difference_interval"].sel(bound=["lower", "upper"]).to_numpy()
                ax.plot(interval, [y, y], color=style.color, linewidth=1.6, solid_capstyle="butt", zorder=3)
                ax.plot([own["adjusted_difference"].item()], [y], marker=marker, markersize=4.0, color=style.color,
                        markeredgecolor="white", markeredgewidth=0.5, zorder=4)  # fmt: skip
        dress(ax, title=PATHS.get(path, path), x="difference to real (steps)")
    figure.axes[0].set_yticks(
        range(len(rows)), [style.label for style in drawn.values()], fontsize=BASE_SIZE, color=INK
    )
    figure.axes[0].set_ylim(len(rows) - 0.4, -0.6)
    marks = [
        Line2D([], [], linestyle="none", marker=m, markersize=5, color=GUIDE, label=name) for m, name in MARKS.values()
    ]
    if not cell["overlap"].sel(path=shown, activation_type=rows, adjustment=list(MARKS)).all():
        marks.append(Line2D([], [], linestyle="none", marker="x", markersize=5, color=GUIDE, label="no overlap"))
    legend(figure, marks, where="outside lower center")
    return figure


Conclusion = Literal["mean_difference", "ks_difference"]
COLUMNS = 3

_AXES = {"mean_difference": "difference to real (steps)", "ks_difference": "KS, structured - baseline"}
_EXPERIMENTS = {"sensitivity": "relative", "sensitivity_absolute": "absolute", "plateau": "plateau"}
_STATISTICS = {"max_slope": "max slope", "first_nonlinearity": "nonlinearity", "plateau_length": "length"}
_CONSTANTS = {
    "minimum_slope": "slope threshold, factor",
    "plateau_threshold": "plateau threshold, factor",
    "nonlinearity_tolerance": "tolerance",
    "step_size": "step size, stored steps",
}


def constant_sensitivity(
    group: xr.Dataset,
    *,
    metric: str = "l2",
    conclusion: Conclusion = "mean_difference",
    types: Sequence[str] = ("random", "baseline", "structured"),
) -> Figure:
    """A panel for every constant of every statistic: the estimate and its interval at each value of the constant.

    `conclusion` is the mean paired difference to real of the `types`, or the difference of the distances of structured
    and baseline. The dashed line marks the value in use. Constants of a metric without that statistic have no panel.
    """
    own = group.sel(metric=metric)
    keys = list(
        dict.fromkeys(zip(*(own[name].to_numpy() for name in ("experiment", "statistic", "constant")), strict=True))
    )
    panels = [(key, cases) for key in keys if (cases := _cases(own, key))[conclusion].notnull().any()]
    drawn = styles(present(group, "activation_type", types)) if conclusion == "mean_difference" else {}
    rows = max(1, ceil(len(panels) / COLUMNS))
    figure = canvas(0.6 + 1.75 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharey=conclusion == "ks_difference").ravel()
    for ax, ((experiment, statistic, constant), cases) in zip(grid, panels, strict=False):
        place = np.arange(cases.sizes["case"])
        ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for used in place[cases["is_default"].to_numpy()]:
            ax.axvline(used, color=GUIDE, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
        if conclusion == "ks_difference":
            _line(ax, place, cases, conclusion, TypeStyle("", "#222222"))
        for name, style in drawn.items():
            _line(ax, place, cases.sel(activation_type=name), conclusion, style)
        ax.set_xticks(place, [f"{value:g}" for value in cases["value"].to_numpy()], fontsize=SMALL_SIZE)
        title = f"{_EXPERIMENTS.get(str(experiment), experiment)}, {_STATISTICS.get(str(statistic), statistic)}"
        dress(ax, title=title, x=_CONSTANTS.get(str(constant), str(constant).replace("_", " ").replace(".", ": ")))
    for ax in grid[len(panels) :]:
        ax.remove()
    figure.supylabel(_AXES[conclusion], fontsize=SMALL_SIZE + 1)
    if drawn:
        legend(figure, [handle(style) for style in drawn.values()], where="outside lower center")
    return figure


def _cases(group: xr.Dataset, key: tuple[str, str, str]) -> xr.Dataset:
    """The cases of one panel in the order of the constant's values."""
    experiment, statistic, constant = key
    mine = (group["experiment"] == experiment) & (group["statistic"] == statistic) & (group["constant"] == constant)
    chosen = np.flatnonzero(mine.to_numpy())
    return group.isel(case=chosen[np.argsort(group["value"].to_numpy()[chosen], kind="stable")])


def _line(
    ax: Axes, place: np.ndarray[tuple[int], np.dtype[np.int_]], cases: xr.Dataset, name: str, style: TypeStyle
) -> None:
    interval = cases[f"{name}_interval"]
    ax.fill_between(
        place, interval.sel(bound="lower"), interval.sel(bound="upper"), color=style.color, alpha=0.15, linewidth=0
    )
    ax.plot(place, cases[name].to_numpy(), marker="o", markersize=3.5, **style.line)


MARKERS = {"linear": "o", "gaussian": "D"}
NAMES = {"linear": "linear", "gaussian": "Gaussian"}


def distinguishability(group: xr.Dataset) -> Figure:
    """A row per type: the area under the ROC curve of each classifier with its interval; 0.5 is chance.

    When the run has `real_control`, its widest interval is a grey band through all rows: what two sets of real targets
    give by chance.
    """
    rows = [name for name in present(group, "activation_type", None) if name != "real"]
    drawn = styles(rows)
    figure = canvas(1.2 + 0.32 * len(rows))
    ax = figure.subplots()
    ax.axvline(0.5, color=GUIDE, linewidth=1.0, zorder=1)
    for row, (name, style) in enumerate(drawn.items()):
        own = group.sel(activation_type=name)
        for offset, (classifier, marker) in zip((-0.16, 0.16), MARKERS.items(), strict=True):
            interval = own["auc_interval"].sel(classifier=classifier, bound=["lower", "upper"]).to_numpy()
            ax.plot(interval, [row + offset] * 2, color=style.color, linewidth=2.0, solid_capstyle="butt", zorder=3)
            ax.plot([own["auc"].sel(classifier=classifier).item()], [row + offset], marker=marker, markersize=4.5,
                    color=style.color, markeredgecolor="white", markeredgewidth=0.6, zorder=4)  # fmt: skip
        if name == NOISE_FLOOR:
            ends = own["auc_interval"]
            ax.axvspan(float(ends.min()), float(ends.max()), color="#e4e4e4", linewidth=0, zorder=0)
    dress(ax, x="area under the ROC curve, type against real (0.5: chance)")
    ax.set_yticks(range(len(rows)), [style.label for style in drawn.values()], fontsize=BASE_SIZE, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    handles = [
        Line2D([], [], linestyle="none", marker=marker, markersize=5, color=GUIDE, label=f"{NAMES[name]} classifier")
        for name, marker in MARKERS.items()
    ]
    legend(figure, handles)
    return figure
