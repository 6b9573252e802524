"""The constants figure: whether the conclusions move when a constant does that nobody has justified."""

from collections.abc import Sequence
from math import ceil
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plateaulens.figures.style import (
    GUIDE,
    SMALL_SIZE,
    TypeStyle,
    canvas,
    dress,
    handle,
    legend,
    present,
    styles,
)

Conclusion = Literal["mean_difference", "ks_difference"]
COLUMNS = 3

_AXES = {"mean_difference": "difference to real (steps)", "ks_difference": "KS, structured - baseline"}
_EXPERIMENTS = {"sensitivity": "relative", "sensitivity_absolute": "absolute", "plateau": "plateau"}
_STATISTICS = {"max_slope": "max slope", "first_nonlinearity": "nonlinearity", "plateau_length": "length"}
_CONSTANTS = {
    "minimum_slope": "slope threshold, factor",
    "plateau_threshold": "plateau threshold, factor",
    "nonlinearity_tolerance": "tolerance",
    "step_size": "step size, stored steps",
}


def constant_sensitivity(
    group: xr.Dataset,
    *,
    metric: str = "l2",
    conclusion: Conclusion = "mean_difference",
    types: Sequence[str] = ("random", "baseline", "structured"),
) -> Figure:
    """A panel for every constant of every statistic: the estimate and its interval at each value of the constant.

    `conclusion` is the mean paired difference to real of the `types`, or the difference of the distances of structured
    and baseline. The dashed line marks the value in use. Constants of a metric without that statistic have no panel.
    """
    own = group.sel(metric=metric)
    keys = list(
        dict.fromkeys(zip(*(own[name].to_numpy() for name in ("experiment", "statistic", "constant")), strict=True))
    )
    panels = [(key, cases) for key in keys if (cases := _cases(own, key))[conclusion].notnull().any()]
    drawn = styles(present(group, "activation_type", types)) if conclusion == "mean_difference" else {}
    rows = max(1, ceil(len(panels) / COLUMNS))
    figure = canvas(0.6 + 1.75 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharey=conclusion == "ks_difference").ravel()
    for ax, ((experiment, statistic, constant), cases) in zip(grid, panels, strict=False):
        place = np.arange(cases.sizes["case"])
        ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
        for used in place[cases["is_default"].to_numpy()]:
            ax.axvline(used, color=GUIDE, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
        if conclusion == "ks_difference":
            _line(ax, place, cases, conclusion, TypeStyle("", "#222222"))
        for name, style in drawn.items():
            _line(ax, place, cases.sel(activation_type=name), conclusion, style)
        ax.set_xticks(place, [f"{value:g}" for value in cases["value"].to_numpy()], fontsize=SMALL_SIZE)
        title = f"{_EXPERIMENTS.get(str(experiment), experiment)}, {_STATISTICS.get(str(statistic), statistic)}"
        dress(ax, title=title, x=_CONSTANTS.get(str(constant), str(constant).replace("_", " ").replace(".", ": ")))
    for ax in grid[len(panels) :]:
        ax.remove()
    figure.supylabel(_AXES[conclusion], fontsize=SMALL_SIZE + 1)
    if drawn:
        legend(figure, [handle(style) for style in drawn.values()], where="outside lower center")
    return figure


def _cases(group: xr.Dataset, key: tuple[str, str, str]) -> xr.Dataset:
    """The cases of one panel in the order of the constant's values."""
    experiment, statistic, constant = key
    mine = (group["experiment"] == experiment) & (group["statistic"] == statistic) & (group["constant"] == constant)
    chosen = np.flatnonzero(mine.to_numpy())
    return group.isel(case=chosen[np.argsort(group["value"].to_numpy()[chosen], kind="stable")])


def _line(
    ax: Axes, place: np.ndarray[tuple[int], np.dtype[np.int_]], cases: xr.Dataset, name: str, style: TypeStyle
) -> None:
    interval = cases[f"{name}_interval"]
    ax.fill_between(
        place, interval.sel(bound="lower"), interval.sel(bound="upper"), color=style.color, alpha=0.15, linewidth=0
    )
    ax.plot(place, cases[name].to_numpy(), marker="o", markersize=3.5, **style.line)
