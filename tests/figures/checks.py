"""What every figure has to keep to, whatever it shows."""

from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from plateaulens.figures.style import Page


def lines(ax: Axes) -> dict[str, Line2D]:
    """The labelled lines of a panel by label."""
    return {str(line.get_label()): line for line in ax.get_lines() if not str(line.get_label()).startswith("_")}


def data(line: Line2D) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The line's x and y."""
    return np.asarray(line.get_xdata(), dtype=np.float64), np.asarray(line.get_ydata(), dtype=np.float64)


def legend_labels(figure: Page) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def check_readable(figure: Figure) -> None:
    """No panel is empty, every text lies inside the figure and on no other text, and no legend lies over a panel."""
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert ax.has_data(), "an empty panel"
    shown = [(text.get_text(), text.get_window_extent().padded(-0.5)) for text in _texts(figure)]
    page = figure.get_window_extent().padded(1.0)
    for words, box in shown:
        assert page.contains(box.x0, box.y0), f"{words!r} leaves the figure"
        assert page.contains(box.x1, box.y1), f"{words!r} leaves the figure"
    for (a, box_a), (b, box_b) in combinations(shown, 2):
        assert not box_a.overlaps(box_b), f"{a!r} lies on {b!r}"
    for legend in figure.legends:
        for ax in figure.axes:
            assert not legend.get_window_extent().overlaps(ax.get_window_extent())


def _texts(figure: Figure) -> list[Text]:
    """The texts that are drawn; tick labels outside the limits of their axis are not."""
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    texts += [child for child in figure.get_children() if isinstance(child, Text)]
    for ax in figure.axes:
        texts += [child for child in ax.get_children() if isinstance(child, Text)]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [axis.label, *(tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]
