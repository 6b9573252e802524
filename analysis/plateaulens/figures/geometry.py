"""Where the targets lie: how long they are, and how far from their base prompts."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaulens.figures.style import (
    GUIDE,
    Page,
    TypeStyle,
    canvas,
    dress,
    figure_of,
    finite,
    name_rows,
    present,
    styles,
)
from plateaulens.names import REFERENCE

QUANTITIES = {"target_norm": "norm of the target", "path_length": "path length, base to target"}


def target_geometry(geometry: xr.Dataset, *, types: Sequence[str] | None = None, figure: Page | None = None) -> Figure:
    """One panel each for the target norm and the path length: a row per type with its distribution.

    The shape is a kernel density estimate, the tick the mean and the bar around it its interval. A dashed line at
    the mean of `real` goes through all rows.

    Parameters
    ----------
    geometry
        The `geometry` group of a summary.
    types
        The types to draw, of those that there are; None for all.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    drawn = styles(present(geometry, "activation_type", types))
    page = canvas(0.9 + 0.34 * len(drawn), figure)
    axes = page.subplots(1, len(QUANTITIES), sharey=True)
    for ax, (quantity, title) in zip(axes, QUANTITIES.items(), strict=True):
        for row, (name, style) in enumerate(drawn.items()):
            _row(ax, geometry.sel(activation_type=name), quantity, row, style)
        reference = float(geometry[f"{quantity}_mean"].sel(activation_type=REFERENCE))
        ax.axvline(reference, color=GUIDE, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
        dress(ax, title=title, x="activation units")
    name_rows(axes[0], drawn)
    return figure_of(page)


def _row(ax: Axes, values: xr.Dataset, quantity: str, row: int, style: TypeStyle) -> None:
    """One type's distribution with its mean and interval."""
    distribution = finite(values[quantity])
    if np.ptp(distribution) > 0:
        parts = ax.violinplot([distribution], [row], orientation="horizontal", widths=0.85, showextrema=False)
        for body in parts["bodies"]:  # type: ignore[attr-defined]
            body.set(facecolor=style.color, edgecolor="none", alpha=0.4, zorder=2)
    mean = float(values[f"{quantity}_mean"])
    interval = values[f"{quantity}_interval"].sel(bound=["lower", "upper"]).values
    ax.plot(interval, [row, row], color=style.color, linewidth=8, solid_capstyle="butt", zorder=4)
    ax.plot([mean], [row], marker="|", markersize=13, markeredgewidth=1.4, color=style.color, zorder=5)
