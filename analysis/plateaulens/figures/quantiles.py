"""The shift-function figure: by how many steps each quantile of a type lies behind that of real targets."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from plateaulens.figures.style import (
    BASE_SIZE,
    GUIDE,
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

TYPES = ("random", "baseline", "bag", "structured")


def quantile_shifts(
    experiment: xr.Dataset,
    *,
    statistic: str = "max_slope",
    metrics: Sequence[str] = MAIN_METRICS,
    types: Sequence[str] | None = TYPES,
) -> Figure:
    """One panel per metric: quantile of the type minus that of real at every decile, with bands of its intervals.

    A horizontal line would be a mere delay. Lines end where a quantile lies beyond the window, and bands where an
    interval's end does.
    """
    shown = present(experiment, "metric", metrics)
    drawn = styles(present(experiment, "activation_type", types))
    figure = canvas(3.0)
    probability = experiment["quantile"].to_numpy()
    for ax, metric in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for name, style in drawn.items():
            cell = experiment.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=name)
            shift = cell["quantile_shift"].to_numpy()
            lower, upper = (cell["quantile_shift_interval"].sel(bound=end).to_numpy() for end in ("lower", "upper"))
            inside = np.isfinite(lower) & np.isfinite(upper)
            ax.fill_between(probability, lower, upper, where=inside, color=style.color, alpha=0.13, linewidth=0)
            ax.plot(probability, np.where(np.isfinite(shift), shift, np.nan), marker="o", markersize=3, **style.line)
        dress(ax, title=metric_name(metric), x="quantile")
        ax.set_xticks(probability[::2])
    figure.axes[0].set_ylabel("shift to real (steps)", fontsize=BASE_SIZE, color=INK)
    legend(figure, [handle(style) for style in drawn.values()])
    return figure
