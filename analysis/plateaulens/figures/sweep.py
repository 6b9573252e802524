"""The layer map: how far each type is from real, by write layer and read layer."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from plateaulens.figures.style import (
    BASE_SIZE,
    COLUMNS,
    INK,
    SMALL_SIZE,
    Page,
    canvas,
    dress,
    figure_of,
    grid,
    literal,
    present,
)
from plateaulens.names import MAIN_METRICS, METRICS, REFERENCE, label, metric_label, site_label

READ, OUTPUT = (next(name for name in MAIN_METRICS if METRICS[name].place == place) for place in ("read", "output"))
"""The metrics of the columns of read sites, and of the last column: the model's output depends on no read site."""

_ROW_HEIGHT = 0.24


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
        )
        ax.tick_params(labelbottom=place + COLUMNS >= len(shown))
        ax.set_yticks(range(rows), [literal(site_label(str(site))) for site in layers["write"].values])
    page.supxlabel("read at, after block", fontsize=BASE_SIZE, color=INK)
    page.supylabel("written at, before block", fontsize=BASE_SIZE, color=INK)
    bar = page.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label(f"KS to {label(REFERENCE)}", fontsize=BASE_SIZE, color=INK)
    bar.ax.tick_params(labelsize=SMALL_SIZE)
    return figure_of(page)


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
