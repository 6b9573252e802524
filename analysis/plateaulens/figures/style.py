"""What all figures share: what they are drawn on, their panels and legends, and the look of the activation types.

Every type has one colour and one dash pattern. The colours stem from Okabe and Ito's palette, moved a little so that
any two stay apart for readers with protanopia, deuteranopia or tritanopia (a test simulates all three). The dash
repeats the distinction without colour. Real is the widest line and lies below all others, so that a type that coincides
with it is seen on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from plateaulens import names
from plateaulens.names import CONTROL, REFERENCE

WIDTH = 7.4
"""Inches: the text width of the report."""
COLUMNS = 3
"""Panels side by side, of figures with rows of panels."""

BASE_SIZE = 9.0
SMALL_SIZE = 8.0
INK = "#222222"
GUIDE = "#8c8c8c"
BAND = "#e4e4e4"
"""Of the band behind all rows that chance alone accounts for: where the second draw of real lies."""

NEAR, APART, OPEN = "#0b6e4a", "#a33a00", "#5a5a5a"
"""Of the words of verdicts: like real, different, and neither; each on white with a contrast of 6 or more."""

Page = Figure | SubFigure
"""What a figure of several panels is drawn on."""
Side = Literal["outside right center", "outside upper center", "outside lower center"]
Dash = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class TypeStyle:
    """How one activation type is drawn."""

    name: str
    """Value of the `activation_type` coordinate."""
    color: str
    dash: Dash = "-"
    width: float = 1.5
    zorder: float = 3
    is_cased: bool = False
    """Whether it has a white edge, which shows a line that may run along that of real."""

    @property
    def label(self) -> str:
        """As legends and rows print it."""
        return names.label(self.name)

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for `Axes.plot`."""
        return {
            "color": self.color,
            "linestyle": self.dash,
            "linewidth": self.width,
            "zorder": self.zorder,
            "label": self.label,
            **({"path_effects": [withStroke(linewidth=self.width + 0.8, foreground="white")]} if self.is_cased else {}),
        }


_DASHED: Dash = (0, (5, 1.5))
_SPACED: Dash = (0, (4, 3.5))
_DOTTED: Dash = (0, (1.2, 1.2))
_DASH_DOTTED: Dash = (0, (6, 1.5, 1.2, 1.5))

_STYLES = {
    style.name: style
    for style in (
        TypeStyle(REFERENCE, "#000000", width=2.6, zorder=2.8),
        TypeStyle(CONTROL, "#606060", _DOTTED, width=1.8, zorder=4),
        TypeStyle("random", "#0266bb"),
        TypeStyle("isotropic", "#56b4e9", _DASHED),
        TypeStyle("reconstruction", "#8b292c", _SPACED, width=1.3, zorder=5, is_cased=True),
        TypeStyle("bag", "#c36fab"),
        TypeStyle("baseline", "#e69f00", _DASH_DOTTED),
        TypeStyle("structured", "#0e945d"),
        TypeStyle("single_latent", "#d95504", _DOTTED),
    )
}
_SPARE_COLORS = ("#7a5c00", "#5b4ea3", "#3f7f86")
_SPARE_LOOKS = [(color, dash) for dash in (_DASHED, _DOTTED, _DASH_DOTTED) for color in _SPARE_COLORS]

_UNITS = {"1": "", "residual stream": " at the read site"}


def styles(activation_types: Sequence[str]) -> dict[str, TypeStyle]:
    """The style of each type, in the given order; types this file does not know share out the spare looks.

    Parameters
    ----------
    activation_types
        Values of the `activation_type` coordinate.

    Returns
    -------
    dict[str, TypeStyle]
        By type.
    """
    unknown = [name for name in activation_types if name not in _STYLES]
    spare = {name: TypeStyle(name, *_SPARE_LOOKS[i % len(_SPARE_LOOKS)]) for i, name in enumerate(unknown)}
    return {name: _STYLES.get(name) or spare[name] for name in activation_types}


def metric_axis(experiment: xr.Dataset, metric: str) -> str:
    """The axis label of a metric with its units.

    Parameters
    ----------
    experiment
        An experiment's group of a summary; units are those of its `metric_units` coordinate.
    metric
        Value of its `metric` coordinate.

    Returns
    -------
    str
        For example `KL divergence (nat)`.
    """
    units = str(experiment["metric_units"].sel(metric=metric).item())
    return names.metric(metric).axis + _UNITS.get(units, f" ({units})")


def present(experiment: xr.Dataset, dim: str, wanted: Sequence[str] | None) -> list[str]:
    """Those of the wanted coordinate values that the dataset holds.

    Parameters
    ----------
    experiment
        A group of a summary.
    dim
        One of its dimensions, with a coordinate of names.
    wanted
        Names; None for all.

    Returns
    -------
    list[str]
        In the wanted order; for None in that of the dataset.
    """
    held = [str(value) for value in experiment[dim].values]
    return held if wanted is None else [value for value in wanted if value in held]


def canvas(height: float, figure: Page | None = None) -> Page:
    """What a figure of several panels is drawn on: the given one, or an empty figure of the report's text width.

    Parameters
    ----------
    height
        Inches, of a figure that is made.
    figure
        A figure or subfigure to draw into.

    Returns
    -------
    Page
        `figure`, or a figure that finds room for its labels and legends by itself (constrained layout).
    """
    if figure is not None:
        return figure
    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))


def panels(
    height: float, ax: Axes | None, metrics: Sequence[str] | None = None, *, sharex: bool = False
) -> tuple[Page | Axes, list[Axes]]:
    """What a figure with a panel per metric is drawn on, and its panels: the given axes, or a row on a new canvas.

    Parameters
    ----------
    height
        Inches, of a figure that is made.
    ax
        Axes to draw on.
    metrics
        Those that have a panel; None for a figure of one panel that is about no metric.
    sharex
        Whether panels share their horizontal axis; they share the vertical one in any case.

    Returns
    -------
    on : Page or Axes
        What `legend` and `figure_of` take: `ax`, or the figure that was made.
    axes : list[Axes]
        One for each metric, in order.

    Raises
    ------
    ValueError
        If there is an `ax` and not exactly one metric.
    """
    if ax is None:
        figure = canvas(height)
        count = 1 if metrics is None else len(metrics)
        return figure, list(figure.subplots(1, count, sharex=sharex, sharey=True, squeeze=False)[0])
    if metrics is not None and len(metrics) != 1:
        came = ", ".join(metrics) or "none that has a panel"
        raise ValueError(f"an ax has room for exactly one metric, and {came} came: name one in metrics=[...]")
    return ax, [ax]


def grid(figure: Page, count: int, *, columns: int = COLUMNS, sharex: bool = False, sharey: bool = False) -> list[Axes]:
    """Panels in rows, as many as are asked for; places that are left over in the last row stay empty.

    Parameters
    ----------
    figure
        What they are drawn on.
    count
        How many panels.
    columns
        How many side by side.
    sharex, sharey
        Whether all panels share the axis.

    Returns
    -------
    list[Axes]
        Row by row.
    """
    rows = max(1, ceil(count / columns))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for ax in axes[count:]:
        ax.remove()
    return list(axes[:count])


def figure_of(on: Page | Axes) -> Figure:
    """The figure that something is drawn in.

    Parameters
    ----------
    on
        Axes, a subfigure or a figure.

    Returns
    -------
    Figure
        The outermost one.
    """
    return on.figure.figure


def literal(text: str) -> str:
    r"""Text of any origin as matplotlib shows it literally: a pair of dollar signs would begin mathematics.

    Parameters
    ----------
    text
        For example a run's name.

    Returns
    -------
    str
        For titles, labels, ticks and legends.

    Examples
    --------
    >>> print(literal(r"$x_1$"))
    \$x_1\$
    """
    return text.replace("$", r"\$")


def dress(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Give axes their titles and labels, and take away what carries no data.

    Parameters
    ----------
    ax
        A panel.
    title, x, y
        Words above it, below it and beside it; none where empty.
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    ax.tick_params(labelsize=SMALL_SIZE, color=INK, labelcolor=INK)
    ax.set_title(literal(title), loc="left", fontsize=BASE_SIZE, fontweight="bold", color=INK)
    ax.set_xlabel(literal(x), fontsize=BASE_SIZE, color=INK)
    ax.set_ylabel(literal(y), fontsize=BASE_SIZE, color=INK)


def name_rows(ax: Axes, drawn: Mapping[str, TypeStyle]) -> None:
    """Name the rows of a panel that has one for each type, from the top downwards.

    Parameters
    ----------
    ax
        A panel whose type number i lies at height i.
    drawn
        The types, in order.
    """
    ax.set_yticks(range(len(drawn)), [literal(style.label) for style in drawn.values()], fontsize=BASE_SIZE, color=INK)
    ax.set_ylim(len(drawn) - 0.4, -0.6)


def verdict_color(conclusion: str) -> str:
    """The colour of a verdict's word.

    Parameters
    ----------
    conclusion
        As a summary stores it.

    Returns
    -------
    str
        One of three; words of difference are many, and share one.

    Examples
    --------
    >>> verdict_color("equivalent, later") == verdict_color("equivalent") != verdict_color("later")
    True
    """
    first = conclusion.partition(",")[0]
    return {"equivalent": NEAR, "undecided": OPEN, "undefined": OPEN, "false alarm": OPEN}.get(first, APART)


def handle(style: TypeStyle) -> Line2D:
    """A legend entry drawn as the type's lines are.

    Parameters
    ----------
    style
        Of the type.

    Returns
    -------
    Line2D
        Without points.
    """
    return Line2D([], [], **style.line)


def legend(on: Page | Axes, handles: Sequence[Line2D], *, where: Side = "outside right center") -> None:
    """A legend beside or below the panels, never over them; within the panel where there is only an ax to draw on.

    Parameters
    ----------
    on
        What the figure is drawn on.
    handles
        The entries.
    where
        On which side of the panels.
    """
    for entry in handles:
        entry.set_label(literal(str(entry.get_label())))
    if isinstance(on, Axes):
        on.legend(
            handles=list(handles),
            loc="best",
            framealpha=0.7,
            edgecolor="none",
            fontsize=SMALL_SIZE - 1,
            labelcolor=INK,
            labelspacing=0.3,
        )
        return
    beside = "right" in where
    on.legend(
        handles=list(handles),
        loc=where,
        ncols=1 if beside else min(len(handles), 5),
        frameon=False,
        fontsize=SMALL_SIZE,
        labelcolor=INK,
        handlelength=3.0,
    )


def finite(values: xr.DataArray) -> NDArray[np.float64]:
    """The finite values as a flat array.

    Parameters
    ----------
    values
        Of any shape.

    Returns
    -------
    NDArray[np.float64]
        (finite value).
    """
    flat = np.asarray(values.values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]
