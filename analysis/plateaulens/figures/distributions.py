"""Max-slope steps as distributions: distribution functions, histograms, and the shift of each quantile from real."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plateaulens.figures.positions import cumulative, shown_window, statistic_of, step_axis, window
from plateaulens.figures.style import (
    BASE_SIZE,
    GUIDE,
    INK,
    Page,
    canvas,
    dress,
    figure_of,
    handle,
    legend,
    literal,
    panels,
    present,
    styles,
)
from plateaulens.names import CLAIMS, MAIN_METRICS, MAIN_TYPES, REFERENCE, label, metric_label

BINS = 25

_CLAIMED = (*(farther for _, farther in CLAIMS), *(nearer for nearer, _ in CLAIMS))
TYPES = tuple(dict.fromkeys((*(name for name in MAIN_TYPES if name != REFERENCE and name not in _CLAIMED), *_CLAIMED)))
"""The types whose quantiles are compared: the Gaussian, and all that the paper's claims are about."""


def max_slope_cdf(
    experiment: xr.Dataset,
    *,
    metrics: Sequence[str] = MAIN_METRICS,
    types: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One panel per metric with the distribution function of the max-slope step of every type.

    A line that ends below 1 belongs to a type some of whose curves never rise steeply enough inside the window.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
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
        If there is an `ax` and not exactly one metric.
    """
    shown = present(experiment, "metric", metrics)
    drawn = styles(present(experiment, "activation_type", types))
    on, axes = panels(3.1, ax, shown)
    for panel, metric in zip(axes, shown, strict=True):
        for name, style in drawn.items():
            x, y = cumulative(experiment, "max_slope", metric, name)
            panel.plot(x, y, drawstyle="steps-post", **style.line)
        dress(panel, title=metric_label(metric), x=step_axis(experiment))
        panel.set_xlim(*shown_window(experiment))
        panel.set_ylim(0, 1.02)
    axes[0].set_ylabel("fraction of prompts", fontsize=BASE_SIZE, color=INK)
    legend(on, [handle(style) for style in drawn.values()])
    return figure_of(on)


def max_slope_histograms(
    experiment: xr.Dataset, *, types: Sequence[str] | None = MAIN_TYPES, figure: Page | None = None
) -> Figure:
    """A column per metric: one histogram row per type over the outline of `real`, then all distribution functions.

    Bar heights are fractions of all prompts, so that the bars of a type with censored curves sum to less than 1. The
    vertical line in a row is the mean of the observed steps.

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
    page = canvas(2.6 + 0.6 * len(drawn), figure)
    heights = [1.0] * len(drawn) + [2.6]
    axes = page.subplots(len(drawn) + 1, len(metrics), sharex=True, squeeze=False, height_ratios=heights)
    edges = np.linspace(*window(experiment), BINS + 1)
    for column, metric in enumerate(metrics):
        for row, (name, style) in enumerate(drawn.items()):
            ax = axes[row, column]
            _bars(ax, experiment, metric, name, edges)
            dress(ax, title=metric_label(metric) if row == 0 else "")
            ax.tick_params(labelbottom=False)
            ax.locator_params(axis="y", nbins=3)
            if column == 0:
                ax.set_ylabel(literal(style.label), rotation=0, ha="right", va="center", fontsize=BASE_SIZE, color=INK)
            if ax is not axes[0, 0]:
                ax.sharey(axes[0, 0])
        ax = axes[-1, column]
        for name, style in drawn.items():
            x, y = cumulative(experiment, "max_slope", metric, name)
            ax.plot(x, y, drawstyle="steps-post", **style.line)
        dress(ax, x=step_axis(experiment), y="fraction of prompts\nup to here" if column == 0 else "")
        ax.set_xlim(*shown_window(experiment))
        ax.set_ylim(0, 1.02)
    legend(page, [handle(style) for style in drawn.values()], where="outside lower center")
    return figure_of(page)


def _bars(ax: Axes, experiment: xr.Dataset, metric: str, name: str, edges: NDArray[np.float64]) -> None:
    """One type's histogram, the mean of its observed steps, and the outline of `real`."""
    style = styles([name])[name]
    ax.stairs(_fractions(experiment, metric, name, edges), edges, fill=True, color=style.color, alpha=0.55, zorder=3,
              label=style.label)  # fmt: skip
    observed, _ = statistic_of(experiment, "max_slope", metric, name)
    if observed.size:
        ax.axvline(float(observed.mean()), color=style.color, linewidth=1.4, zorder=5)
    if name != REFERENCE:
        outline = styles([REFERENCE])[REFERENCE].color
        ax.stairs(_fractions(experiment, metric, REFERENCE, edges), edges, color=outline, linewidth=0.8, zorder=4,
                  label=label(REFERENCE))  # fmt: skip


def _fractions(
    experiment: xr.Dataset, metric: str, activation_type: str, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The fraction of all prompts in each bin."""
    observed, censored = statistic_of(experiment, "max_slope", metric, activation_type)
    counts, _ = np.histogram(observed, edges)
    return counts / max(observed.size + censored, 1)


def quantile_shifts(
    experiment: xr.Dataset,
    *,
    statistic: str = "max_slope",
    metrics: Sequence[str] = MAIN_METRICS,
    types: Sequence[str] | None = TYPES,
    ax: Axes | None = None,
) -> Figure:
    """One panel per metric: quantile of the type minus that of real at every decile, with bands of its intervals.

    A horizontal line would be a mere delay. Lines end where a quantile lies beyond the window, and bands where an
    interval's end does.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    statistic
        The step whose quantiles are compared.
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
        If there is an `ax` and not exactly one metric.
    """
    shown = present(experiment, "metric", metrics)
    drawn = styles(present(experiment, "activation_type", types))
    on, axes = panels(3.0, ax, shown)
    probability = experiment["quantile"].to_numpy()
    for panel, metric in zip(axes, shown, strict=True):
        panel.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for name, style in drawn.items():
            cell = experiment.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=name)
            shift = cell["quantile_shift"].to_numpy()
            lower, upper = (cell["quantile_shift_interval"].sel(bound=end).to_numpy() for end in ("lower", "upper"))
            inside = np.isfinite(lower) & np.isfinite(upper)
            panel.fill_between(probability, lower, upper, where=inside, color=style.color, alpha=0.13, linewidth=0,
                               label=style.label)  # fmt: skip
            panel.plot(probability, np.where(np.isfinite(shift), shift, np.nan), marker="o", markersize=3, **style.line)
        dress(panel, title=metric_label(metric), x="quantile")
        panel.set_xticks(probability[::2])
    axes[0].set_ylabel(f"shift to {label(REFERENCE)} (steps)", fontsize=BASE_SIZE, color=INK)
    legend(on, [handle(style) for style in drawn.values()])
    return figure_of(on)
