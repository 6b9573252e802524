"""Figure 1: when do curves rise most steeply? Distribution functions of the max-slope step."""

from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure

from plateaulens.figures.ecdf import cumulative
from plateaulens.figures.path import step_axis, window
from plateaulens.figures.style import (
    BASE_SIZE,
    INK,
    MAIN_METRICS,
    canvas,
    dress,
    handle,
    legend,
    metric_name,
    present,
    styles,
)


def max_slope_cdf(experiment: xr.Dataset, *, types: Sequence[str] | None = None) -> Figure:
    """One panel per metric (L2, KL) with the distribution function of the max-slope step of every type.

    A line that ends below 1 belongs to a type some of whose curves never rise steeply enough inside the window.
    """
    metrics = present(experiment, "metric", MAIN_METRICS)
    drawn = styles(present(experiment, "activation_type", types))
    figure = canvas(3.1)
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(panels, metrics, strict=True):
        for name, style in drawn.items():
            x, y = cumulative(experiment, "max_slope", metric, name)
            ax.plot(x, y, drawstyle="steps-post", **style.line)
        dress(ax, title=metric_name(metric), x=step_axis(experiment))
        ax.set_xlim(*window(experiment))
        ax.set_ylim(0, 1.02)
    panels[0].set_ylabel("fraction of prompts", fontsize=BASE_SIZE, color=INK)
    legend(figure, [handle(style) for style in drawn.values()])
    return figure
