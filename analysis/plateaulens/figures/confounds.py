"""The confounds figure: mean differences to real as they are, and at equal geometry."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaulens.figures.style import BASE_SIZE, GUIDE, INK, canvas, dress, legend, present, styles

PATHS = {
    "sensitivity": "relative steps",
    "sensitivity_absolute": "absolute steps",
    "sensitivity_absolute_to_target": "absolute, to the target",
}
MARKS = {"none": ("o", "as it is"), "path_length": ("s", "at equal path length"), "all": ("D", "at equal geometry")}
"""The adjustments that are drawn, each with its marker and its name."""

_SPREAD = 0.24


def adjusted_differences(
    group: xr.Dataset, *, statistic: str = "max_slope", metric: str = "l2", paths: Sequence[str] = tuple(PATHS)
) -> Figure:
    """One panel per kind of path, a row per type: the mean difference to real with its interval, three times.

    Not adjusted, adjusted for the path length, and for all covariates. A cross at the row's right end marks what the
    data cannot say: equality of the covariates lies outside them.
    """
    shown = present(group, "path", paths)
    rows = [name for name in present(group, "activation_type", None) if name != "real"]
    drawn = styles(rows)
    figure = canvas(1.2 + 0.36 * len(rows))
    cell = group.sel(statistic=statistic, metric=metric)
    for ax, path in zip(figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0], shown, strict=True):
        ax.axvline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for row, (name, style) in enumerate(drawn.items()):
            for offset, (adjustment, (marker, _)) in zip(np.linspace(-1, 1, len(MARKS)), MARKS.items(), strict=True):
                own = cell.sel(path=path, activation_type=name, adjustment=adjustment)
                y = row + _SPREAD * float(offset)
                if not own["overlap"]:
                    ax.plot(
                        [0.97], [y], transform=ax.get_yaxis_transform(), marker="x", markersize=4.5, color=style.color
                    )
                    continue
                interval = own["adjusted_difference_interval"].sel(bound=["lower", "upper"]).to_numpy()
                ax.plot(interval, [y, y], color=style.color, linewidth=1.6, solid_capstyle="butt", zorder=3)
                ax.plot([own["adjusted_difference"].item()], [y], marker=marker, markersize=4.0, color=style.color,
                        markeredgecolor="white", markeredgewidth=0.5, zorder=4)  # fmt: skip
        dress(ax, title=PATHS.get(path, path), x="difference to real (steps)")
    figure.axes[0].set_yticks(
        range(len(rows)), [style.label for style in drawn.values()], fontsize=BASE_SIZE, color=INK
    )
    figure.axes[0].set_ylim(len(rows) - 0.4, -0.6)
    marks = [
        Line2D([], [], linestyle="none", marker=m, markersize=5, color=GUIDE, label=name) for m, name in MARKS.values()
    ]
    if not cell["overlap"].sel(path=shown, activation_type=rows, adjustment=list(MARKS)).all():
        marks.append(Line2D([], [], linestyle="none", marker="x", markersize=5, color=GUIDE, label="no overlap"))
    legend(figure, marks, where="outside lower center")
    return figure
