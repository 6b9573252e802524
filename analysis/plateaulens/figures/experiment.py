"""The experiment as a drawing, from a real curve of the run: what is moved, and what is read off."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plateaulens.figures.positions import positions, step_axis, window
from plateaulens.figures.style import (
    BAND,
    BASE_SIZE,
    GUIDE,
    INK,
    SMALL_SIZE,
    Page,
    TypeStyle,
    canvas,
    dress,
    figure_of,
    literal,
    metric_axis,
    present,
    styles,
)
from plateaulens.names import MAIN_METRICS, REFERENCE

QUIET = 0.2
"""The part of its largest value up to which a curve is shaded."""
_TICKS = 21
_LATE = 0.72
"""From which part of the window on a label stands left of what it names."""


def experiment_drawing(experiment: xr.Dataset, *, metric: str | None = None, figure: Page | None = None) -> Figure:
    """Above, the path from base to target, step by step; below, how far the response to one example prompt has moved.

    The curve is that of the first example prompt, towards the reference, that has a max-slope step; of the first one
    where none has. Named where they are: the part below a fifth of its height (grey), its blow-up and its max-slope
    step.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    metric
        The metric of the curve; None for the first of the main ones that there is, or the first at all.
    figure
        A figure or subfigure to draw into; a new one unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    shown = metric or (present(experiment, "metric", MAIN_METRICS) or present(experiment, "metric", None))[0]
    style = styles([REFERENCE])[REFERENCE]
    own = experiment.sel(metric=shown, activation_type=REFERENCE)
    steps = (
        own["step_value"]
        .sel(convention="corrected", statistic="max_slope")
        .to_numpy()[own["example_sample"].to_numpy()]
    )
    example = int(np.argmax(np.isfinite(steps)))
    x = positions(experiment, experiment["step"])
    y = np.asarray(own["example_curve"].isel(example=example).to_numpy(), dtype=np.float64)
    page = canvas(2.9, figure)
    path, curve = page.subplots(2, 1, sharex=True, height_ratios=[1.0, 4.2])
    _path(path, x, style, relative="length" not in experiment.coords)
    curve.plot(x, y, **style.line)
    curve.set_xlim(*window(experiment))
    curve.set_ylim(0, 1.18 * float(np.nanmax(y, initial=0.0)) or 1.0)
    _name_parts(curve, x, y, steps[example], style)
    dress(curve, x=step_axis(experiment), y=metric_axis(experiment, shown))
    return figure_of(page)


def _path(ax: Axes, x: NDArray[np.float64], style: TypeStyle, *, relative: bool) -> None:
    """The base, the target and the steps between them."""
    ax.plot(x[[0, -1]], [0, 0], color=GUIDE, linewidth=1.0, zorder=1)
    ticks = x[np.linspace(0, x.size - 1, min(_TICKS, x.size)).round().astype(int)]
    ax.plot(ticks, np.zeros_like(ticks), linestyle="none", marker="|", markersize=5, color=GUIDE, zorder=2)
    ax.plot(x[:1], [0], linestyle="none", marker="o", markersize=8, color=style.color, clip_on=False, zorder=3)
    ax.text(x[0], 0.45, "base A", ha="left", va="bottom", fontsize=BASE_SIZE, fontweight="bold", color=INK)
    words = "activation at the write site, moved step by step"
    ax.text(float(np.mean(x[[0, -1]])), 0.45, words, ha="center", va="bottom", fontsize=SMALL_SIZE, color=INK)
    if relative:
        ax.plot(x[-1:], [0], linestyle="none", marker="o", markersize=8, markerfacecolor="white",
                markeredgecolor=style.color, markeredgewidth=1.6, clip_on=False, zorder=3)  # fmt: skip
    ax.text(x[-1], 0.45, "target T" if relative else "towards T", ha="right", va="bottom", fontsize=BASE_SIZE,
            fontweight="bold", color=INK)  # fmt: skip
    ax.set_ylim(-0.6, 1.6)
    ax.set_axis_off()


def _name_parts(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], step: float, style: TypeStyle) -> None:
    """Where it is low, the blow-up and the max-slope step of one curve."""
    top = ax.get_ylim()[1]
    quiet = y <= QUIET * np.nanmax(y, initial=0.0)
    leaves = x[-1] if quiet.all() else x[int(np.argmin(quiet))]
    ax.axvspan(x[0], leaves, color=BAND, alpha=0.6, linewidth=0, zorder=0)
    span = x[-1] - x[0]
    ax.text(x[0] + 0.015 * span, 0.93 * top, "below a fifth of its height", va="top", fontsize=BASE_SIZE, color=INK)
    if not np.isfinite(step):
        return
    at = float(np.interp(step, np.arange(x.size), x))
    height = float(np.interp(step, np.arange(y.size), y))
    ax.plot([at, at], [0, height], color=GUIDE, linewidth=1.0, linestyle=(0, (3, 2)), zorder=2)
    ax.plot(
        [at], [height], linestyle="none", marker="o", markersize=6, color=style.color, markeredgecolor="white", zorder=6
    )
    side, gap = ("right", -0.02 * span) if (at - x[0]) / span > _LATE else ("left", 0.02 * span)
    ax.text(at + gap, 0.06 * top, literal(f"max-slope step {step:g}"), ha=side, va="bottom", fontsize=BASE_SIZE,
            fontweight="bold", color=INK)  # fmt: skip
    level = float(np.clip(height, 0.3 * top, 0.8 * top))
    ax.text(at + gap, level, "blow-up", ha=side, va="top", fontsize=BASE_SIZE, color=INK)
