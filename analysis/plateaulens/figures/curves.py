"""Figure 2: single curves of example prompts with their max-slope steps, and the mean curves."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaulens.figures.path import positions, step_axis, window
from plateaulens.figures.style import (
    BASE_SIZE,
    INK,
    MAIN_METRICS,
    MAIN_TYPES,
    TypeStyle,
    canvas,
    dress,
    handle,
    legend,
    metric_axis,
    present,
    styles,
)


def example_curves(experiment: xr.Dataset, *, types: Sequence[str] | None = MAIN_TYPES) -> Figure:
    """A row of panels per metric: one panel per example prompt, then the mean over all prompts.

    A dot marks the max-slope step of each example curve that has one; the bands around the mean curves are the
    summary's bootstrap intervals. All panels of a row share their scale.
    """
    metrics = present(experiment, "metric", MAIN_METRICS)
    drawn = styles(present(experiment, "activation_type", types))
    examples = experiment.sizes["example"]
    figure = canvas(0.8 + 1.8 * len(metrics))
    panels = figure.subplots(len(metrics), examples + 1, sharex=True, sharey="row", squeeze=False)
    for row, metric in zip(panels, metrics, strict=True):
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
            ax.set_xlim(*window(experiment))
        row[0].set_ylim(bottom=0)
    figure.supxlabel(step_axis(experiment), fontsize=BASE_SIZE, color=INK)
    legend(figure, [handle(style) for style in drawn.values()], where="outside upper center")
    return figure


def mean_curve(ax: Axes, curves: xr.Dataset, style: TypeStyle) -> None:
    """Draw the mean curve of one type and metric with its interval band."""
    x = positions(curves, curves["step"])
    lower, upper = (curves["curve_interval"].sel(bound=bound).values for bound in ("lower", "upper"))
    ax.fill_between(x, lower, upper, color=style.color, alpha=0.2, linewidth=0, zorder=style.zorder - 0.5)
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
