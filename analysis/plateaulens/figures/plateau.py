"""The plateau figure: how far a base activation can be moved before the model's output leaves its plateau."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaulens.figures.curves import mean_curve
from plateaulens.figures.ecdf import cumulative
from plateaulens.figures.path import step_axis, window
from plateaulens.figures.style import GUIDE, canvas, dress, handle, legend, metric_axis, present, styles


def plateaus(
    experiment: xr.Dataset, *, threshold: float, metric: str = "l2", types: Sequence[str] | None = None
) -> Figure:
    """Left: mean curves of the metric by base type, with bands, and the threshold that ends a plateau. Right: survival.

    The right panel is the fraction of prompts still on their plateau after a path of that length, 1 - F(x). Curves
    that never reach the threshold are censored at the end of the window: a plus sign marks their fraction there.
    """
    drawn = styles(present(experiment, "activation_type", types))
    figure = canvas(3.2)
    left, right = figure.subplots(1, 2)
    first, last = window(experiment)
    for name, style in drawn.items():
        mean_curve(left, experiment.sel(metric=metric, activation_type=name), style)
        x, y = cumulative(experiment, "plateau_length", metric, name)
        survival = 1 - y
        right.plot(x, survival, drawstyle="steps-post", **style.line)
        if survival[-1] > 0:
            right.plot(
                [last], survival[-1:], linestyle="none", marker="+", markersize=7, color=style.color, clip_on=False
            )
    left.axhline(threshold, color=GUIDE, linewidth=1.0, linestyle=(0, (2, 2)), zorder=2)
    dress(left, title="mean curve", x=step_axis(experiment), y=metric_axis(experiment, metric))
    dress(right, title="plateau length", x=step_axis(experiment), y="fraction of prompts on the plateau")
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1.02)
    for ax in (left, right):
        ax.set_xlim(first, last)
    rule = Line2D([], [], color=GUIDE, linewidth=1.0, linestyle=(0, (2, 2)), label=f"end of plateau: {threshold:g}")
    plus = Line2D([], [], color=GUIDE, linestyle="none", marker="+", markersize=7, label="censored")
    censored = bool(
        np.any(experiment["censored"].sel(convention="corrected", statistic="plateau_length", metric=metric))
    )
    legend(figure, [*(handle(style) for style in drawn.values()), rule, *([plus] if censored else [])])
    return figure
