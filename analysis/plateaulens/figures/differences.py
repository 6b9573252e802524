"""How far the types are from real, a row or a line for each: as they are, at equal geometry, with constants moved."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from textwrap import fill
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaulens import names
from plateaulens.figures.style import (
    BAND,
    COLUMNS,
    GUIDE,
    INK,
    OPEN,
    SMALL_SIZE,
    Page,
    TypeStyle,
    canvas,
    dress,
    figure_of,
    grid,
    handle,
    legend,
    name_rows,
    panels,
    present,
    styles,
    verdict_color,
)
from plateaulens.names import CLAIMS, CONTROL, CUT, MAIN_METRICS, MAIN_TYPES, REFERENCE, label, metric_label, path_label

TYPES = tuple(name for name in MAIN_TYPES if name != REFERENCE)
"""The types whose differences are followed as constants are moved."""
MARKS = {"none": ("o", "as it is"), "path_length": ("s", "at equal path length"), "all": ("D", "at equal geometry")}
"""The adjustments that are drawn, each with its marker and its name; what is adjusted for nothing is drawn open."""
MARKERS = {"linear": "o", "gaussian": "D"}
"""The classifiers that are drawn, each with its marker."""

Conclusion = Literal["mean_difference", "ks_difference"]

_STEPS = f"difference to {label(REFERENCE)} (steps)"
_BOUND = "one-sided upper bound"
_SPREAD = 0.24
_DASHES = (0, (3, 2))
_TITLE_LENGTH = 28
"""Letters that fit above a panel of three."""
_CONSTANTS = {
    "minimum_slope": "slope threshold, factor",
    "plateau_threshold": "plateau threshold, factor",
    "nonlinearity_tolerance": "tolerance",
    "step_size": "step size, stored steps",
}
_CLASSIFIERS = {"linear": "linear", "gaussian": "Gaussian"}


def ks_forest(
    experiment: xr.Dataset,
    *,
    statistic: str = "max_slope",
    metrics: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One panel per metric: the Kolmogorov-Smirnov distance of every type to `real`, with its interval and its verdict.

    The grey part of a row is what chance gives: where the distance lies if the type and `real` are exchangeable within
    base prompts, with the probability that the analysis' confidence is (`ks_null_upper`). The dashed line is the margin
    of equivalence, and the tick of a row its one-sided upper bound: that, not the interval, has to lie left of the
    margin for a verdict of equivalence. Right of a row stands its verdict, the summary's `conclusion`. The control is
    no synthetic type: a rule sets its row apart. Metrics without the statistic have no panel.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    statistic
        The step whose distributions are compared.
    metrics
        The metrics to draw, of those that there are; None for all.
    ax
        Axes to draw the panel of a single metric on; a new figure unless given.

    Returns
    -------
    Figure
        What it is drawn in.

    Raises
    ------
    ValueError
        If there is an `ax` and not exactly one metric with the statistic.
    """
    compared = experiment.sel(convention="corrected", statistic=statistic)
    shown = [name for name in present(experiment, "metric", metrics) if compared["ks"].sel(metric=name).notnull().any()]
    drawn = styles(_compared(experiment))
    margin = experiment["verdict"].attrs["margin"]
    on, axes = panels(0.9 + 0.21 * len(drawn), ax, shown, sharex=True)
    for panel, metric in zip(axes, shown, strict=True):
        values = compared.sel(metric=metric)
        for row, (name, style) in enumerate(drawn.items()):
            estimate = values["ks"].sel(activation_type=name).item()
            interval = values["ks_interval"].sel(activation_type=name, bound=["lower", "upper"]).values
            panel.plot(interval, [row, row], color=style.color, linewidth=2.2, solid_capstyle="butt", zorder=3)
            panel.plot(
                [estimate],
                [row],
                marker="o",
                markersize=4.5,
                color=style.color,
                markeredgecolor="white",
                markeredgewidth=0.6,
                zorder=4,
            )
            bound = values["ks_upper_bound"].sel(activation_type=name).item()
            panel.plot([bound], [row], marker="|", markersize=9, markeredgewidth=1.5, color=style.color, zorder=4,
                       label=_BOUND)  # fmt: skip
            word = str(values["conclusion"].sel(activation_type=name).item())
            panel.text(1.02, row, word, transform=panel.get_yaxis_transform(), va="center", fontsize=SMALL_SIZE,
                       fontweight="bold", color=verdict_color(word))  # fmt: skip
        upper = np.nan_to_num(values["ks_null_upper"].sel(activation_type=list(drawn)).to_numpy())
        panel.barh(range(len(drawn)), upper, height=1.0, color=BAND, linewidth=0, zorder=0)
        panel.axvline(margin, color=GUIDE, linewidth=1.0, linestyle=_DASHES, zorder=1)
        _set_apart(panel, list(drawn))
        dress(panel, title=metric_label(metric), x=f"KS distance to {label(REFERENCE)}")
        panel.locator_params(axis="x", nbins=4)
    axes[0].set_xlim(left=0)  # once all is drawn: the panels share their limits, and setting one fixes both
    name_rows(axes[0], drawn)
    for name, tick in zip(drawn, axes[0].get_yticklabels(), strict=True):
        tick.set_color(OPEN if name == CONTROL else INK)
    share = 100 * compared["ks_null_upper"].attrs["confidence"]
    level = 100 * compared["ks_upper_bound"].attrs["confidence"]
    marks = [
        Line2D([], [], color=BAND, linewidth=8, label=f"noise floor: {share:g} % of distances by chance"),
        Line2D([], [], color=GUIDE, linewidth=1.0, linestyle=_DASHES, label=f"margin of equivalence, {margin:g}"),
        Line2D([], [], color=INK, linestyle="none", marker="|", markersize=9, markeredgewidth=1.5,
               label=f"{_BOUND}, {level:g} %"),
    ]  # fmt: skip
    legend(on, marks, where="outside lower center")
    return figure_of(on)


def _set_apart(panel: Axes, rows: Sequence[str]) -> None:
    """Rules between the row of the control and those of the synthetic types."""
    for row, (above, below) in enumerate(pairwise(rows)):
        if CONTROL in (above, below):
            panel.axhline(row + 0.5, color=GUIDE, linewidth=0.8, zorder=2, label="_rule")


def adjusted_differences(
    group: xr.Dataset,
    *,
    statistic: str = "max_slope",
    metric: str = MAIN_METRICS[0],
    paths: Sequence[str] | None = None,
    figure: Page | None = None,
) -> Figure:
    """One panel per kind of path, a row per type: the mean difference to real with its interval, three times.

    Not adjusted, adjusted for the path length, and for all covariates. A cross at the row's right end marks what the
    data cannot say: equality of the covariates lies outside them.

    Parameters
    ----------
    group
        The `confounds` group of a summary.
    statistic, metric
        The step that is compared, and the metric whose curves it is of.
    paths
        The kinds of path to draw, of those that there are; None for those of the experiments whose verdicts are about
        the statistic.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    shown = present(group, "path", paths)
    if paths is None:
        shown = [name for name in shown if names.experiment(name.removesuffix(CUT)).statistic == statistic] or shown
    drawn = styles(_compared(group))
    page = canvas(ceil(len(shown) / COLUMNS) * (0.7 + 0.4 * len(drawn)) + 0.5, figure)
    cell = group.sel(statistic=statistic, metric=metric)
    axes = grid(page, len(shown), columns=min(len(shown), COLUMNS), sharex=True, sharey=True)
    for ax, path in zip(axes, shown, strict=True):
        ax.axvline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for row, (name, style) in enumerate(drawn.items()):
            for offset, adjustment in zip(np.linspace(-1, 1, len(MARKS)), MARKS, strict=True):
                own = cell.sel(path=path, activation_type=name, adjustment=adjustment)
                y = row + _SPREAD * float(offset)
                if not own["overlap"]:
                    ax.plot(
                        [0.97], [y], transform=ax.get_yaxis_transform(), marker="x", markersize=4.5, color=style.color
                    )
                    continue
                interval = own["adjusted_difference_interval"].sel(bound=["lower", "upper"]).to_numpy()
                ax.plot(interval, [y, y], color=style.color, linewidth=1.6, solid_capstyle="butt", zorder=3)
                ax.plot([own["adjusted_difference"].item()], [y], zorder=4, **_mark(adjustment, style.color))
        dress(ax, title=fill(path_label(path), _TITLE_LENGTH), x=_STEPS)
        ax.tick_params(labelbottom=True)
    name_rows(axes[0], drawn)
    marks = [
        Line2D([], [], linestyle="none", label=name, **_mark(adjustment, INK))
        for adjustment, (_, name) in MARKS.items()
    ]
    if not cell["overlap"].sel(path=shown, activation_type=list(drawn), adjustment=list(MARKS)).all():
        marks.append(Line2D([], [], linestyle="none", marker="x", markersize=5, color=GUIDE, label="no overlap"))
    legend(page, marks, where="outside lower center")
    return figure_of(page)


def _mark(adjustment: str, color: str) -> dict[str, Any]:
    """Keywords of an adjustment's marker; shape and filling both tell it from the others."""
    marker, _ = MARKS[adjustment]
    is_open = adjustment == "none"
    return {"marker": marker, "markersize": 5.5, "markerfacecolor": "white" if is_open else color,
            "markeredgecolor": color if is_open else "white", "markeredgewidth": 1.2 if is_open else 0.6}  # fmt: skip


def constant_sensitivity(
    group: xr.Dataset,
    *,
    metric: str = MAIN_METRICS[0],
    conclusion: Conclusion = "mean_difference",
    types: Sequence[str] = TYPES,
    figure: Page | None = None,
) -> Figure:
    """A panel for every constant of every statistic: the estimate and its interval at each value of the constant.

    The dashed line marks the value in use. Constants of a metric without that statistic have no panel.

    Parameters
    ----------
    group
        The `constants` group of a summary.
    metric
        The metric whose conclusions are drawn.
    conclusion
        The mean paired difference to real of the `types`, or the difference of the KS distances of the two types of
        the first of `plateaulens.names.CLAIMS`.
    types
        The types to draw, of those that there are.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    own = group.sel(metric=metric)
    if conclusion == "ks_difference":
        own = own.sel(dict(zip(("activation_type", "other_type"), CLAIMS[0], strict=True)))
    keys = list(
        dict.fromkeys(zip(*(own[name].to_numpy() for name in ("experiment", "statistic", "constant")), strict=True))
    )
    shown = [(key, cases) for key in keys if (cases := _cases(own, key))[conclusion].notnull().any()]
    drawn = styles(present(group, "activation_type", types)) if conclusion == "mean_difference" else {}
    page = canvas(0.6 + 1.75 * max(1, ceil(len(shown) / COLUMNS)), figure)
    axes = grid(page, len(shown), sharey=conclusion == "ks_difference")
    for ax, ((experiment, statistic, constant), cases) in zip(axes, shown, strict=True):
        place = np.arange(cases.sizes["case"])
        ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for used in place[cases["is_default"].to_numpy()]:
            ax.axvline(used, color=GUIDE, linewidth=1.0, linestyle=_DASHES, zorder=1)
        if conclusion == "ks_difference":
            _line(ax, place, cases, conclusion, TypeStyle("", INK))
        for name, style in drawn.items():
            _line(ax, place, cases.sel(activation_type=name), conclusion, style)
        ax.set_xticks(place, [f"{value:g}" for value in cases["value"].to_numpy()], fontsize=SMALL_SIZE)
        dress(ax, title=_title(str(experiment), str(statistic)), x=_constant(str(constant)))
    nearer, farther = CLAIMS[0]
    words = {"mean_difference": _STEPS, "ks_difference": f"KS, {label(nearer)} - {label(farther)}"}
    page.supylabel(words[conclusion], fontsize=SMALL_SIZE + 1)
    if drawn:
        legend(page, [handle(style) for style in drawn.values()], where="outside lower center")
    return figure_of(page)


def _cases(group: xr.Dataset, key: tuple[str, str, str]) -> xr.Dataset:
    """The cases of one panel in the order of the constant's values."""
    experiment, statistic, constant = key
    mine = (group["experiment"] == experiment) & (group["statistic"] == statistic) & (group["constant"] == constant)
    chosen = np.flatnonzero(mine.to_numpy())
    return group.isel(case=chosen[np.argsort(group["value"].to_numpy()[chosen], kind="stable")])


def _title(experiment: str, statistic: str) -> str:
    """Both in short: the plateau length of plateaus is their length."""
    short = names.experiment(experiment).short
    return f"{short}, {names.statistic(statistic).title.removeprefix(short).strip()}"


def _constant(constant: str) -> str:
    return _CONSTANTS.get(constant, constant.replace("_", " ").replace(".", ": "))


def _line(
    ax: Axes, place: np.ndarray[tuple[int], np.dtype[np.int_]], cases: xr.Dataset, name: str, style: TypeStyle
) -> None:
    interval = cases[f"{name}_interval"]
    ax.fill_between(
        place,
        interval.sel(bound="lower"),
        interval.sel(bound="upper"),
        color=style.color,
        alpha=0.15,
        linewidth=0,
        label=style.label,
    )
    ax.plot(place, cases[name].to_numpy(), marker="o", markersize=3.5, **style.line)


def distinguishability(group: xr.Dataset, *, ax: Axes | None = None) -> Figure:
    """A row per type: the area under the ROC curve of each classifier with its interval; 0.5 is chance.

    In grey, up to where the area of exchangeable targets lies, with the probability that the analysis' confidence is
    (`auc_null_upper`).

    Parameters
    ----------
    group
        The `distinguish` group of a summary.
    ax
        Axes to draw on; a new figure unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    drawn = styles(_compared(group))
    on, (panel,) = panels(1.2 + 0.32 * len(drawn), ax)
    panel.axvline(0.5, color=GUIDE, linewidth=1.0, zorder=1)
    for row, (name, style) in enumerate(drawn.items()):
        own = group.sel(activation_type=name)
        for offset, (classifier, marker) in zip((-0.16, 0.16), MARKERS.items(), strict=True):
            interval = own["auc_interval"].sel(classifier=classifier, bound=["lower", "upper"]).to_numpy()
            panel.plot(interval, [row + offset] * 2, color=style.color, linewidth=2.0, solid_capstyle="butt", zorder=3)
            panel.plot([own["auc"].sel(classifier=classifier).item()], [row + offset], marker=marker, markersize=4.5,
                       color=style.color, markeredgecolor="white", markeredgewidth=0.6, zorder=4)  # fmt: skip
            chance = max(float(own["auc_null_upper"].sel(classifier=classifier)) - 0.5, 0.0)
            panel.barh(row + offset, chance, left=0.5, height=0.32, color=BAND, linewidth=0, zorder=0)
    dress(panel, x=f"area under the ROC curve, type against {label(REFERENCE)} (0.5: chance)")
    name_rows(panel, drawn)
    handles = [
        Line2D([], [], linestyle="none", marker=marker, markersize=5, color=GUIDE,
               label=f"{_CLASSIFIERS[name]} classifier")
        for name, marker in MARKERS.items()
    ]  # fmt: skip
    legend(on, handles)
    return figure_of(on)


def _compared(group: xr.Dataset) -> list[str]:
    """The types of a group that are compared with the reference."""
    return [name for name in present(group, "activation_type", None) if name != REFERENCE]
