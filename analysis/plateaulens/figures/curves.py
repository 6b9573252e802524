"""Curves over the path: single ones and means, and how many have not yet blown up or left their plateau."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaulens import names
from plateaulens.figures.positions import cumulative, positions, shown_window, step_axis, window
from plateaulens.figures.style import (
    BASE_SIZE,
    GUIDE,
    INK,
    SMALL_SIZE,
    Page,
    TypeStyle,
    canvas,
    dress,
    figure_of,
    handle,
    legend,
    literal,
    metric_axis,
    panels,
    present,
    styles,
)
from plateaulens.names import MAIN_METRICS, MAIN_TYPES, metric_label

_USUAL, _FAR = 0.99, 1.5
"""The share of points that a scale is made for, and how many times as high as these a peak is cut off."""
_WHOLE = 100
"""From where on the value of a peak is written without decimals."""


def example_curves(
    experiment: xr.Dataset, *, types: Sequence[str] | None = MAIN_TYPES, figure: Page | None = None
) -> Figure:
    """A row of panels per metric: one panel per example prompt, then the mean over all prompts.

    A dot marks the max-slope step of each example curve that has one; the bands around the mean curves are the
    summary's bootstrap intervals. All panels of a row share their scale. A peak of a few steps that would press all
    else into the lower part is cut off: a triangle stands where, with the value that it reaches.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    types
        The types to draw, of those that there are; None for all.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    metrics = present(experiment, "metric", MAIN_METRICS)
    drawn = styles(present(experiment, "activation_type", types))
    examples = experiment.sizes["example"]
    page = canvas(0.8 + 1.8 * len(metrics), figure)
    rows = page.subplots(len(metrics), examples + 1, sharex=True, sharey="row", squeeze=False)
    for row, metric in zip(rows, metrics, strict=True):
        for i, ax in enumerate(row):
            for name, style in drawn.items():
                if i < examples:
                    _example(ax, experiment.sel(metric=metric, activation_type=name), i, style)
                else:
                    mean_curve(ax, experiment.sel(metric=metric, activation_type=name), style)
            top = metric == metrics[0]
            sample = int(experiment["example_sample"].values[i]) if i < examples else None
            title = f"prompt {sample}" if sample is not None else f"mean of {experiment.sizes['sample']:,}"
            dress(ax, title=title if top else "", y=metric_axis(experiment, metric) if i == 0 else "")
            ax.set_xlim(*shown_window(experiment))
        _clip(row[:-1], row[-1])
    page.supxlabel(step_axis(experiment), fontsize=BASE_SIZE, color=INK)
    legend(page, [handle(style) for style in drawn.values()], where="outside upper center")
    return figure_of(page)


def _clip(examples: Sequence[Axes], mean: Axes) -> None:
    """Limit the scale of a row to what nearly all points of its curves keep to, and mark the curves that go beyond."""
    curves = [(ax, line) for ax in examples for line in ax.get_lines() if np.size(line.get_xdata()) > 1]
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for _, line in curves])
    usual = max(float(np.nanquantile(heights, _USUAL)), mean.dataLim.y1)
    mean.set_ylim(bottom=0)
    if not np.nanmax(heights) > _FAR * usual:
        return
    top = 1.08 * usual
    mean.set_ylim(0, top)
    for ax, line in curves:
        x, y = np.asarray(line.get_xydata(), dtype=np.float64).T
        if np.nanmax(y) <= top:
            continue
        peak = int(np.nanargmax(y))
        place = ax.get_xaxis_transform()
        ax.plot([x[peak]], [0.97], linestyle="none", marker="^", markersize=6, color=line.get_color(), clip_on=False,
                zorder=line.get_zorder() + 3, transform=place)  # fmt: skip
        side = -1 if x[peak] - x[0] > (x[-1] - x[0]) / 2 else 1
        words = f"to {y[peak]:,.{0 if y[peak] >= _WHOLE else 1}f}"
        ax.annotate(words, (x[peak], 0.97), xycoords=place, xytext=(6 * side, 0), textcoords="offset points",
                    ha="right" if side < 0 else "left", va="center", fontsize=SMALL_SIZE, color=INK)  # fmt: skip


def mean_curve(ax: Axes, curves: xr.Dataset, style: TypeStyle) -> None:
    """Draw the mean curve of one type and metric with its interval band.

    Parameters
    ----------
    ax
        The panel.
    curves
        An experiment's group of a summary, of one type and metric.
    style
        Of the type.
    """
    x = positions(curves, curves["step"])
    lower, upper = (curves["curve_interval"].sel(bound=bound).values for bound in ("lower", "upper"))
    ax.fill_between(
        x, lower, upper, color=style.color, alpha=0.2, linewidth=0, zorder=style.zorder - 0.5, label=style.label
    )
    ax.plot(x, curves["curve_mean"].values, **style.line)


def _example(ax: Axes, curves: xr.Dataset, example: int, style: TypeStyle) -> None:
    """Draw one prompt's curve and the dot at its max-slope step."""
    grid = np.asarray(curves["step"].values, dtype=np.float64)
    y = np.asarray(curves["example_curve"].isel(example=example).values, dtype=np.float64)
    ax.plot(positions(curves, grid), y, **{**style.line, "linewidth": style.width * 0.75})
    sample = int(curves["example_sample"].values[example])
    step = float(curves["step_value"].sel(convention="corrected", statistic="max_slope").isel(sample=sample))
    if np.isfinite(step):
        ax.plot(
            positions(curves, np.array([step])),
            [np.interp(step, grid, y)],
            linestyle="none",
            marker="o",
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            color=style.color,
            zorder=style.zorder + 3,
        )


def plateaus(
    experiment: xr.Dataset,
    *,
    threshold: float,
    metric: str = MAIN_METRICS[0],
    types: Sequence[str] | None = None,
    figure: Page | None = None,
) -> Figure:
    """Left: mean curves of the metric by base type, with bands, and the threshold that ends a plateau. Right: survival.

    The right panel is the fraction of prompts still on their plateau after a path of that length, 1 - F(x). Curves
    that never reach the threshold are censored at the end of the window: a plus sign marks their fraction there. Where
    there are none, the panel ends with the last plateau.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    threshold
        The value of the metric that ended a plateau in the analysis.
    metric
        The metric that is drawn.
    types
        The types to draw, of those that there are; None for all.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    drawn = styles(present(experiment, "activation_type", types))
    page = canvas(3.2, figure)
    left, right = page.subplots(1, 2)
    first, last = window(experiment)
    ends = [first]
    for name, style in drawn.items():
        mean_curve(left, experiment.sel(metric=metric, activation_type=name), style)
        x, y = cumulative(experiment, "plateau_length", metric, name)
        survival = 1 - y
        ends += [last] if survival[-1] > 0 else x[-2:-1].tolist()
        right.plot(x, survival, drawstyle="steps-post", **style.line)
        if survival[-1] > 0:
            right.plot(
                [last], survival[-1:], linestyle="none", marker="+", markersize=7, color=style.color, clip_on=False
            )
    left.axhline(threshold, color=GUIDE, linewidth=1.0, linestyle=(0, (2, 2)), zorder=2)
    dress(left, title="mean curve", x=step_axis(experiment), y=metric_axis(experiment, metric))
    length = names.statistic("plateau_length").title
    dress(right, title=length, x=step_axis(experiment), y="fraction of prompts on the plateau")
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1.02)
    left.set_xlim(first, last)
    right.set_xlim(first, min(first + 1.1 * (max(ends) - first), last) if max(ends) > first else last)
    rule = Line2D([], [], color=GUIDE, linewidth=1.0, linestyle=(0, (2, 2)), label=f"end of plateau: {threshold:g}")
    plus = Line2D([], [], color=GUIDE, linestyle="none", marker="+", markersize=7, label="censored")
    censored = bool(
        np.any(experiment["censored"].sel(convention="corrected", statistic="plateau_length", metric=metric))
    )
    legend(page, [*(handle(style) for style in drawn.values()), rule, *([plus] if censored else [])])
    return figure_of(page)


def survival_curves(
    experiment: xr.Dataset,
    *,
    statistic: str = "max_slope",
    metrics: Sequence[str] = MAIN_METRICS,
    types: Sequence[str] | None = MAIN_TYPES,
    ax: Axes | None = None,
) -> Figure:
    """One panel per metric: Kaplan-Meier curves of the types with their simultaneous bands.

    A curve that does not reach 0 ends at the share that is censored. Metrics without the statistic have no panel.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    statistic
        The step whose survival is drawn.
    metrics
        The metrics to draw, of those that there are.
    types
        The types to draw, of those that there are; None for all.
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
    own = experiment.sel(statistic=statistic)
    shown = [
        name for name in present(experiment, "metric", metrics) if own["survival"].sel(metric=name).notnull().any()
    ]
    drawn = styles(present(experiment, "activation_type", types))
    on, axes = panels(3.0, ax, shown)
    x = positions(experiment, experiment["step"])
    for panel, metric in zip(axes, shown, strict=True):
        for name, style in drawn.items():
            cell = own.sel(metric=metric, activation_type=name)
            panel.plot(x, cell["survival"].to_numpy(), drawstyle="steps-post", **style.line)
            lower, upper = (cell["survival_band"].sel(bound=end).to_numpy() for end in ("lower", "upper"))
            if np.isfinite(lower).all():
                panel.fill_between(
                    x, lower, upper, step="post", color=style.color, alpha=0.12, linewidth=0, label=style.label
                )
        dress(panel, title=metric_label(metric), x=step_axis(experiment))
        panel.set_xlim(*shown_window(experiment))
        panel.set_ylim(0, 1.02)
    words = str(own["statistic_long_name"].item())
    axes[0].set_ylabel(literal(f"fraction beyond its {words}"), fontsize=BASE_SIZE, color=INK)
    legend(on, [handle(style) for style in drawn.values()])
    return figure_of(on)
