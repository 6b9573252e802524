"""The look that all figures share: one colour and one dash pattern per activation type, type sizes, and the canvas.

The colours stem from Okabe and Ito's palette, moved a little so that any two stay apart for readers with protanopia,
deuteranopia or tritanopia (a test simulates all three). The dash repeats the distinction without colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

MAIN_TYPES = ("real", "random", "baseline", "structured")
"""The types of the figures that have room for few: the reference, the Gaussian, and the two recipes compared."""

MAIN_METRICS = ("l2", "kl")

WIDTH = 7.4
"""Inches: the text width of the report."""

BASE_SIZE = 9.0
SMALL_SIZE = 8.0
INK = "#222222"
GUIDE = "#8c8c8c"

Place = Literal["outside right center", "outside upper center", "outside lower center"]
Dash = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class TypeStyle:
    """How one activation type is named and drawn."""

    label: str
    color: str
    dash: Dash = "-"
    width: float = 1.5
    zorder: float = 3

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for `Axes.plot`."""
        return {
            "color": self.color,
            "linestyle": self.dash,
            "linewidth": self.width,
            "zorder": self.zorder,
            "label": self.label,
        }


_DASHED: Dash = (0, (5, 1.5))
_DOTTED: Dash = (0, (1.2, 1.2))
_DASH_DOTTED: Dash = (0, (6, 1.5, 1.2, 1.5))

_STYLES = {
    "real": TypeStyle("real", "#000000", width=2.2, zorder=5),
    "real_control": TypeStyle("real control", "#606060", _DOTTED, width=1.8, zorder=4),
    "random": TypeStyle("random", "#0266bb"),
    "isotropic": TypeStyle("isotropic", "#56b4e9", _DASHED),
    "reconstruction": TypeStyle("reconstruction", "#8b292c", _DASHED),
    "bag": TypeStyle("bag", "#c36fab"),
    "baseline": TypeStyle("baseline", "#e69f00", _DASH_DOTTED),
    "structured": TypeStyle("structured", "#0e945d"),
    "single_latent": TypeStyle("single latent", "#d95504", _DOTTED),
}
_SPARE_COLORS = ("#7a5c00", "#5b4ea3", "#3f7f86")
_SPARE_LOOKS = [(color, dash) for dash in (_DASHED, _DOTTED, _DASH_DOTTED) for color in _SPARE_COLORS]

_METRICS = {"l2": ("L2", "L2 distance"), "kl": ("KL", "KL divergence"), "js": ("JS", "Jensen-Shannon distance")}
_UNITS = {"1": "", "residual stream": " at the read site"}


def styles(activation_types: Sequence[str]) -> dict[str, TypeStyle]:
    """The style of each type, in the given order; types this file does not know share out the spare looks."""
    unknown = [name for name in activation_types if name not in _STYLES]
    spare = {
        name: TypeStyle(name.replace("_", " "), *_SPARE_LOOKS[i % len(_SPARE_LOOKS)]) for i, name in enumerate(unknown)
    }
    return {name: _STYLES.get(name) or spare[name] for name in activation_types}


def label(activation_type: str) -> str:
    """The name of a type as figures and tables print it.

    >>> label("single_latent")
    'single latent'
    """
    return styles([activation_type])[activation_type].label


def metric_name(metric: str) -> str:
    """The short name of a metric as panels and tables print it.

    >>> metric_name("kl")
    'KL'
    """
    return _METRICS[metric][0] if metric in _METRICS else metric


def metric_axis(experiment: xr.Dataset, metric: str) -> str:
    """The axis label of a metric with its units, taken from the `metric_units` coordinate."""
    units = str(experiment["metric_units"].sel(metric=metric).item())
    return (_METRICS[metric][1] if metric in _METRICS else metric) + _UNITS.get(units, f" ({units})")


def present(experiment: xr.Dataset, dim: str, wanted: Sequence[str] | None) -> list[str]:
    """Those of the wanted coordinate values that the dataset holds, in the wanted order; all of them for None."""
    held = [str(value) for value in experiment[dim].values]
    return held if wanted is None else [value for value in wanted if value in held]


def canvas(height: float) -> Figure:
    """An empty figure of the report's text width that finds room for its labels and legends by itself."""
    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))


def dress(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Give axes their titles and labels, and take away what carries no data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    ax.tick_params(labelsize=SMALL_SIZE, color=INK, labelcolor=INK)
    ax.set_title(title, loc="left", fontsize=BASE_SIZE, fontweight="bold", color=INK)
    ax.set_xlabel(x, fontsize=BASE_SIZE, color=INK)
    ax.set_ylabel(y, fontsize=BASE_SIZE, color=INK)


def handle(style: TypeStyle) -> Line2D:
    """A legend entry drawn as the type's lines are."""
    return Line2D([], [], **style.line)


def legend(figure: Figure, handles: Sequence[Line2D], *, where: Place = "outside right center") -> None:
    """A legend beside or below the panels, never over them."""
    beside = "right" in where
    figure.legend(
        handles=list(handles),
        loc=where,
        ncols=1 if beside else min(len(handles), 5),
        frameon=False,
        fontsize=SMALL_SIZE,
        labelcolor=INK,
        handlelength=3.0,
    )


def finite(values: xr.DataArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The finite values as a flat float64 array."""
    flat = np.asarray(values.values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]
