"""The layer map, how far each type is from real by write layer and read layer; and SAEs on their scale."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from plateaulens.errors import shortened
from plateaulens.figures.style import (
    BAND,
    BASE_SIZE,
    COLUMNS,
    GUIDE,
    INK,
    SMALL_SIZE,
    Page,
    canvas,
    dress,
    figure_of,
    grid,
    legend,
    literal,
    panels,
    present,
    styles,
)
from plateaulens.names import MAIN_METRICS, METRICS, REFERENCE, label, metric_label, site_label

READ, OUTPUT = (next(name for name in MAIN_METRICS if METRICS[name].place == place) for place in ("read", "output"))
"""The metrics of the columns of read sites, and of the last column: the model's output depends on no read site."""

_ROW_HEIGHT = 0.24
LEAST_SHARE = -1.0
"""Twice as far from real as random: what is farther is drawn no farther."""
_LONGEST = 32
"""Letters of an SAE's name beside its row."""


def layer_map(
    layers: xr.Dataset,
    *,
    statistic: str = "max_slope",
    activation_types: Sequence[str] | None = None,
    figure: Page | None = None,
) -> Figure:
    """One panel per type: the Kolmogorov-Smirnov distance to `real`, write sites downwards and read sites across.

    Cells under a read site are the distance on L2; the last column is that on KL. Cells without a run are left white.

    Parameters
    ----------
    layers
        An experiment's group of a sweep's summary, with `write` and `read` and no other dimension of the sweep.
    statistic
        The step whose distributions are compared.
    activation_types
        The types to draw, of those that there are; None for all.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    shown = [name for name in present(layers, "activation_type", activation_types) if name != REFERENCE]
    values = {name: _distances(layers, statistic, name) for name in shown}
    rows, columns = (len(names) for names in (layers["write"], layers["read"]))
    lines = ceil(len(shown) / COLUMNS)
    page = canvas(lines * (0.75 + _ROW_HEIGHT * rows) + 0.5, figure)
    axes = grid(page, len(shown), sharex=True, sharey=True)
    highest = max(float(np.nanmax(distances)) for distances in values.values())
    scale = Normalize(0, np.ceil(10 * highest) / 10)
    for place, (ax, name) in enumerate(zip(axes, shown, strict=True)):
        image = _draw(ax, values[name], scale)
        dress(ax, title=label(name))
        ax.set_xticks(
            range(columns + 1),
            [*(literal(site_label(str(site))) for site in layers["read"].values), metric_label(OUTPUT)],
            rotation=45,
            ha="right",
            rotation_mode="anchor",
        )
        ax.tick_params(labelbottom=place + COLUMNS >= len(shown))
        ax.set_yticks(range(rows), [literal(site_label(str(site))) for site in layers["write"].values])
    page.supxlabel("read at, after block", fontsize=BASE_SIZE, color=INK)
    page.supylabel("written at, before block", fontsize=BASE_SIZE, color=INK)
    bar = page.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label(f"KS to {label(REFERENCE)}", fontsize=BASE_SIZE, color=INK)
    bar.ax.tick_params(labelsize=SMALL_SIZE)
    return figure_of(page)


def sae_shares(scale: xr.Dataset, *, metrics: Sequence[str] | None = None, ax: Axes | None = None) -> Figure:
    """One panel per metric: the share of the way from random to real of every SAE's activations, with intervals.

    The lines at 0 and 1 are random and real; the grey part is the interval of a second draw of real targets. Intervals
    that reach below `LEAST_SHARE` are cut there. Metrics on which no share is defined have no panel.

    Parameters
    ----------
    scale
        Of the SAEs of one site, (sae, activation_type, metric): what `plateaulens.score_sae` gives as `data`, or the
        group `sae_scale` of a sweep's summary without the other dimensions of the sweep.
    metrics
        The metrics to draw, of those that there are; None for all.
    ax
        Axes to draw the panel of a single metric on; a new figure unless given.

    Returns
    -------
    Figure
        What it is drawn in; it says so where there is nothing to draw.

    Raises
    ------
    ValueError
        If there is an `ax` and not exactly one metric with shares.
    """
    shown = [name for name in present(scale, "metric", metrics) if scale["share"].sel(metric=name).notnull().any()]
    drawn = styles([str(name) for name in scale["activation_type"].values])
    saes = [str(name) for name in scale["sae"].values]
    on, axes = panels(1.2 + 0.16 * len(saes) * (1 + len(drawn)), ax, shown or [""], sharex=True)
    if not shown:
        dress(axes[0], title="no share is defined")
        axes[0].plot([0, 1], [0, 0], color=GUIDE)
    for panel, metric in zip(axes, shown, strict=False):
        values = scale.sel(metric=metric)
        control = values["control_share_interval"].sel(bound=["lower", "upper"]).values
        if np.isfinite(control).all():
            panel.axvspan(max(control[0], LEAST_SHARE), control[1], color=BAND, linewidth=0, zorder=0)
        for end in (0, 1):
            panel.axvline(end, color=GUIDE, linewidth=1.0, zorder=1)
        for row in range(len(saes)):
            for place, (name, style) in enumerate(drawn.items()):
                cell = values.sel(activation_type=name).isel(sae=row)
                height = row + 0.8 * ((place + 0.5) / len(drawn) - 0.5)
                lower, upper = cell["share_interval"].sel(bound=["lower", "upper"]).values
                panel.plot([max(lower, LEAST_SHARE), upper], [height] * 2, color=style.color, linewidth=1.8)
                if cell["share"] >= LEAST_SHARE:
                    panel.plot([cell["share"].item()], [height], marker="o", markersize=4, color=style.color)
        dress(panel, title=metric_label(metric), x="share of the way to real")
        panel.locator_params(axis="x", nbins=5)
    axes[0].set_yticks(range(len(saes)), [literal(shortened(name, _LONGEST)) for name in saes], fontsize=SMALL_SIZE)
    axes[0].set_ylim(len(saes) - 0.4, -0.6)
    handles = [
        Line2D([], [], color=style.color, marker="o", markersize=4, label=style.label) for style in drawn.values()
    ]
    handles.append(Line2D([], [], color=BAND, linewidth=8, label="a second draw of real"))
    legend(on, handles, where="outside lower center")
    return figure_of(on)


def _distances(layers: xr.Dataset, statistic: str, activation_type: str) -> NDArray[np.float64]:
    """KS distances, (write, read and output)."""
    ks = layers["ks"].sel(convention="corrected", statistic=statistic, activation_type=activation_type)
    by_site = ks.sel(metric=READ).transpose("write", "read").to_numpy()
    # the runs of a write site differ in where L2 was read, and have the same output
    output = ks.sel(metric=OUTPUT).max("read").to_numpy()
    return np.column_stack([by_site, output])


def _draw(ax: Axes, distances: NDArray[np.float64], scale: Normalize) -> AxesImage:
    image = ax.imshow(distances, cmap="cividis_r", norm=scale, aspect="auto")
    ax.axvline(distances.shape[1] - 1.5, color="white", linewidth=3)
    for (row, column), value in np.ndenumerate(distances):
        if np.isfinite(value):
            dark = scale(value) > 0.55
            ax.text(
                column, row, f"{value:.2f}".removeprefix("0"), ha="center", va="center", fontsize=SMALL_SIZE - 1,
                color="white" if dark else INK,
            )  # fmt: skip
    return image
