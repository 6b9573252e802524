"""Two models in one figure: their mean curves on a common scale, and when their types blow up."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plateaulens.figures.style import (
    BASE_SIZE,
    GUIDE,
    INK,
    Page,
    TypeStyle,
    canvas,
    dress,
    figure_of,
    handle,
    legend,
    name_rows,
    present,
    styles,
)
from plateaulens.names import MAIN_METRICS, MAIN_TYPES, REFERENCE, label, metric_label

CURVES = MAIN_TYPES[:2]
"""The types whose mean curves are drawn: the reference and the Gaussian."""


class _Look(NamedTuple):
    line: Literal["-", "--"]
    filling: Literal["full", "none"]
    offset: float
    """How far below the middle of a type's row the mark is."""


_LOOKS = (_Look("-", "full", -0.14), _Look("--", "none", 0.14))
"""Of the first run and of the second."""


def beside(runs: Mapping[str, xr.Dataset], *, types: Sequence[str], figure: Page | None = None) -> Figure:
    """The same experiment of two runs, by name: mean curves above, mean paired differences to `real` below.

    A panel per metric. Mean curves are divided by their last point, so that both end at 1. Below there is a row for
    each of `types`, with the interval of each run; types that a run lacks have no mark of it.

    Parameters
    ----------
    runs
        The experiment's groups of two summaries, by the name of the run.
    types
        The types that have a row.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    assert len(runs) == len(_LOOKS), "a figure of two runs"
    first = next(iter(runs.values()))
    metrics = [name for name in MAIN_METRICS if all(name in present(run, "metric", None) for run in runs.values())]
    drawn = styles(types)
    page = canvas(3.2 + 0.35 * len(types), figure)
    above, below = page.subplots(
        2, len(metrics), squeeze=False, sharex="row", sharey="row", height_ratios=[2.4, 0.6 + 0.35 * len(types)]
    )
    curves = styles([name for name in CURVES if name in present(first, "activation_type", None)])
    for curve_panel, step_panel, metric in zip(above, below, metrics, strict=True):
        for run, look in zip(runs.values(), _LOOKS, strict=True):
            values = run.sel(metric=metric)
            _relative_curves(curve_panel, values, curves, look)
            _differences(step_panel, values, drawn, look)
        dress(curve_panel, title=metric_label(metric), x="part of the way")
        dress(step_panel, x=f"mean difference to {label(REFERENCE)} (steps)")
        step_panel.axvline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
    above[0].set_ylabel("distance, end = 1", fontsize=BASE_SIZE, color=INK)
    name_rows(below[0], drawn)
    looks = [
        Line2D([], [], color=INK, linestyle=look.line, marker="o", markersize=4.5, fillstyle=look.filling, label=name)
        for name, look in zip(runs, _LOOKS, strict=True)
    ]
    legend(page, [*looks, *(handle(style) for style in curves.values())], where="outside upper center")
    return figure_of(page)


def _relative_curves(ax: Axes, values: xr.Dataset, drawn: Mapping[str, TypeStyle], look: _Look) -> None:
    for name in present(values, "activation_type", list(drawn)):
        mean = values["curve_mean"].sel(activation_type=name).to_numpy()
        ax.plot(values["step"] / values["step"][-1], mean / mean[-1], **drawn[name].line | {"linestyle": look.line})


def _differences(ax: Axes, values: xr.Dataset, drawn: Mapping[str, TypeStyle], look: _Look) -> None:
    """Each type's mean difference to real, the two runs a little above and below the row's middle."""
    compared = values.sel(convention="corrected", statistic="max_slope")
    for row, (name, style) in enumerate(drawn.items()):
        if name not in present(values, "activation_type", None):
            continue
        own = compared.sel(activation_type=name)
        interval = own["mean_difference_interval"].sel(bound=["lower", "upper"]).to_numpy()
        place = row + look.offset
        ax.plot(interval, [place] * 2, color=style.color, linewidth=2.0, solid_capstyle="butt", zorder=3)
        face = style.color if look.filling == "full" else "white"
        ax.plot(
            [own["mean_difference"].item()], [place], marker="o", markersize=4.5, color=style.color,
            markerfacecolor=face, zorder=4,
        )  # fmt: skip
