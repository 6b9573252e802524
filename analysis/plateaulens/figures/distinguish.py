"""The distinguishability figure: how well a classifier tells a type's targets from real ones."""

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaulens.figures.style import BASE_SIZE, GUIDE, INK, canvas, dress, legend, present, styles

MARKERS = {"linear": "o", "gaussian": "D"}
NAMES = {"linear": "linear", "gaussian": "Gaussian"}
NOISE_FLOOR = "real_control"


def distinguishability(group: xr.Dataset) -> Figure:
    """A row per type: the area under the ROC curve of each classifier with its interval; 0.5 is chance.

    When the run has `real_control`, its widest interval is a grey band through all rows: what two sets of real targets
    give by chance.
    """
    rows = [name for name in present(group, "activation_type", None) if name != "real"]
    drawn = styles(rows)
    figure = canvas(1.2 + 0.32 * len(rows))
    ax = figure.subplots()
    ax.axvline(0.5, color=GUIDE, linewidth=1.0, zorder=1)
    for row, (name, style) in enumerate(drawn.items()):
        own = group.sel(activation_type=name)
        for offset, (classifier, marker) in zip((-0.16, 0.16), MARKERS.items(), strict=True):
            interval = own["auc_interval"].sel(classifier=classifier, bound=["lower", "upper"]).to_numpy()
            ax.plot(interval, [row + offset] * 2, color=style.color, linewidth=2.0, solid_capstyle="butt", zorder=3)
            ax.plot([own["auc"].sel(classifier=classifier).item()], [row + offset], marker=marker, markersize=4.5,
                    color=style.color, markeredgecolor="white", markeredgewidth=0.6, zorder=4)  # fmt: skip
        if name == NOISE_FLOOR:
            ends = own["auc_interval"]
            ax.axvspan(float(ends.min()), float(ends.max()), color="#e4e4e4", linewidth=0, zorder=0)
    dress(ax, x="area under the ROC curve, type against real (0.5: chance)")
    ax.set_yticks(range(len(rows)), [style.label for style in drawn.values()], fontsize=BASE_SIZE, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    handles = [
        Line2D([], [], linestyle="none", marker=marker, markersize=5, color=GUIDE, label=f"{NAMES[name]} classifier")
        for name, marker in MARKERS.items()
    ]
    legend(figure, handles)
    return figure
