"""The forest plot: how far the max-slope steps of each type are from those of real targets."""

from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure

from plateaulens.figures.style import BASE_SIZE, INK, canvas, dress, metric_name, present, styles

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
        dress(ax, title=metric_name(metric), x="KS distance to real")
        ax.locator_params(axis="x", nbins=4)
    panels[0].set_xlim(left=0)  # once all is drawn: the panels share their limits, and setting one fixes both
    panels[0].set_yticks(range(len(rows)), [style.label for style in drawn.values()], fontsize=BASE_SIZE, color=INK)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure
