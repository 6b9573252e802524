"""Figure 3: histograms of the max-slope step for a few types, above their distribution functions."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plateaulens.figures.ecdf import cumulative, statistic_of
from plateaulens.figures.path import step_axis, window
from plateaulens.figures.style import (
    BASE_SIZE,
    INK,
    MAIN_METRICS,
    MAIN_TYPES,
    canvas,
    dress,
    handle,
    legend,
    metric_name,
    present,
    styles,
)

BINS = 25


def max_slope_histograms(experiment: xr.Dataset, *, types: Sequence[str] | None = MAIN_TYPES) -> Figure:
    """A column per metric: one histogram row per type over the outline of `real`, then all distribution functions.

    Bar heights are fractions of all prompts, so that the bars of a type with censored curves sum to less than 1. The
    vertical line in a row is the mean of the observed steps.
    """
    metrics = present(experiment, "metric", MAIN_METRICS)
    drawn = styles(present(experiment, "activation_type", types))
    figure = canvas(2.6 + 0.6 * len(drawn))
    heights = [1.0] * len(drawn) + [2.6]
    panels = figure.subplots(len(drawn) + 1, len(metrics), sharex=True, squeeze=False, height_ratios=heights)
    edges = np.linspace(*window(experiment), BINS + 1)
    for column, metric in enumerate(metrics):
        for row, (name, style) in enumerate(drawn.items()):
            ax = panels[row, column]
            _bars(ax, experiment, metric, name, edges)
            dress(ax, title=metric_name(metric) if row == 0 else "")
            ax.tick_params(labelbottom=False)
            ax.locator_params(axis="y", nbins=3)
            if column == 0:
                ax.set_ylabel(style.label, rotation=0, ha="right", va="center", fontsize=BASE_SIZE, color=INK)
            if ax is not panels[0, 0]:
                ax.sharey(panels[0, 0])
        ax = panels[-1, column]
        for name, style in drawn.items():
            x, y = cumulative(experiment, "max_slope", metric, name)
            ax.plot(x, y, drawstyle="steps-post", **style.line)
        dress(ax, x=step_axis(experiment), y="fraction of prompts\nup to here" if column == 0 else "")
        ax.set_xlim(*window(experiment))
        ax.set_ylim(0, 1.02)
    legend(figure, [handle(style) for style in drawn.values()], where="outside lower center")
    return figure


def _bars(ax: Axes, experiment: xr.Dataset, metric: str, name: str, edges: NDArray[np.float64]) -> None:
    """One type's histogram, the mean of its observed steps, and the outline of `real`."""
    style = styles([name])[name]
    ax.stairs(_fractions(experiment, metric, name, edges), edges, fill=True, color=style.color, alpha=0.55, zorder=3)
    observed, _ = statistic_of(experiment, "max_slope", metric, name)
    if observed.size:
        ax.axvline(float(observed.mean()), color=style.color, linewidth=1.4, zorder=5)
    if name != "real":
        ax.stairs(_fractions(experiment, metric, "real", edges), edges, color="#000000", linewidth=0.8, zorder=4)


def _fractions(
    experiment: xr.Dataset, metric: str, activation_type: str, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The fraction of all prompts in each bin."""
    observed, censored = statistic_of(experiment, "max_slope", metric, activation_type)
    counts, _ = np.histogram(observed, edges)
    return counts / max(observed.size + censored, 1)
