"""The survival figure: the share of curves that have not blown up, or left their plateau, after each step."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from plateaulens.figures.path import positions, step_axis, window
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


def survival_curves(
    experiment: xr.Dataset,
    *,
    statistic: str = "max_slope",
    metrics: Sequence[str] = MAIN_METRICS,
    types: Sequence[str] | None = MAIN_TYPES,
) -> Figure:
    """One panel per metric: Kaplan-Meier curves of the types with their simultaneous bands.

    A curve that does not reach 0 ends at the share that is censored. Metrics without the statistic have no panel.
    """
    own = experiment.sel(statistic=statistic)
    shown = [
        name for name in present(experiment, "metric", metrics) if own["survival"].sel(metric=name).notnull().any()
    ]
    drawn = styles(present(experiment, "activation_type", types))
    figure = canvas(3.0)
    first, last = window(experiment)
    x = positions(experiment, experiment["step"])
    for ax, metric in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        for name, style in drawn.items():
            cell = own.sel(metric=metric, activation_type=name)
            ax.plot(x, cell["survival"].to_numpy(), drawstyle="steps-post", **style.line)
            lower, upper = (cell["survival_band"].sel(bound=end).to_numpy() for end in ("lower", "upper"))
            if np.isfinite(lower).all():
                ax.fill_between(x, lower, upper, step="post", color=style.color, alpha=0.12, linewidth=0)
        dress(ax, title=metric_name(metric), x=step_axis(experiment))
        ax.set_xlim(first, last)
        ax.set_ylim(0, 1.02)
    words = str(own["statistic_long_name"].item())
    figure.axes[0].set_ylabel(f"fraction beyond its {words}", fontsize=BASE_SIZE, color=INK)
    legend(figure, [handle(style) for style in drawn.values()])
    return figure
