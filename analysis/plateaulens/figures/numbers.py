"""The numbers that a figure draws, read off what it is made of: its lines, bands, bars, histograms, pictures and words.

So they are those that are seen, whatever function has drawn them.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from numpy.typing import NDArray

NAMES = (
    *("finding", "experiment", "curves", "histograms", "cdf", "plateaus", "absolute", "confounds", "distinguish"),
    *("constants", "models", "quantiles", "survival", "geometry", "layers", "saes", "ladder", "doses"),
)
"""What the pages call their figures, `#fig-NAME`: no summary has a say in a file's name."""
COLUMNS = ("panel", "title", "mark", "series", "row", "x", "y", "value")
_COLORBAR = "<colorbar>"
_NAMED = re.compile(r"[^\W\d_]")


class _Mark(NamedTuple):
    kind: str
    series: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    value: NDArray[np.float64] | None = None


def drawn_numbers(figure: Figure) -> pd.DataFrame:
    """What a figure draws, a row for each point.

    Parameters
    ----------
    figure
        Of this package's functions.

    Returns
    -------
    pandas.DataFrame
        `panel` counts from 1, and `title` is what stands above it. `mark` is `line`, `point` (a line of one), `band` or
        `shape` (the corners of its outline), `bar` (two opposite corners), `histogram` (the left edge of a bin and its
        height; the last edge has none), `cell` (of a picture, with its `value`) or `text`. `series` is the label of a
        mark, or the words of a text; `row` is what stands beside the axis at that height, where rows have names. `x`
        and `y` are in units of the axes, NaN where a mark is placed relative to the panel.
    """
    frames = [
        _frame(number, ax, mark)
        for number, ax in enumerate((ax for ax in figure.axes if ax.get_label() != _COLORBAR), start=1)
        for mark in _marks(ax)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _frame(number: int, ax: Axes, mark: _Mark) -> pd.DataFrame:
    rows = _rows(ax)
    heights = np.full(mark.y.shape, mark.y.mean()) if mark.kind == "bar" else mark.y
    names = [rows.get(round(y), "") if np.isfinite(y) else "" for y in heights]
    value = np.full(mark.x.shape, np.nan) if mark.value is None else mark.value
    held = (number, _plain(ax.get_title(loc="left")), mark.kind, mark.series, names, mark.x, mark.y, value)
    return pd.DataFrame(dict(zip(COLUMNS, held, strict=True)))


def _marks(ax: Axes) -> Iterator[_Mark]:
    for line in ax.lines:
        x, y = (np.asarray(values, dtype=np.float64) for values in line.get_data(orig=False))
        yield _placed(ax, line, _Mark("point" if x.size == 1 else "line", _series(line), x, y))
    for collection in ax.collections:
        yield from _outlines(collection)
    for patch in ax.patches:
        if isinstance(patch, StepPatch):
            heights, edges, _ = patch.get_data()
            yield _Mark("histogram", _series(patch), np.asarray(edges, float), np.append(heights, np.nan))
        elif isinstance(patch, Rectangle):
            (left, low), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
            corners = np.array([left, left + width]), np.array([low, low + height])
            yield _placed(ax, patch, _Mark("bar", _series(patch), *corners))
    for image in ax.images:
        values = np.ma.filled(np.ma.asarray(image.get_array(), dtype=np.float64), np.nan)
        y, x = np.indices(values.shape).reshape(2, -1).astype(np.float64)
        yield _Mark("cell", _series(image), x, y, values.ravel())
    if not ax.images:  # on a picture they repeat its values
        for text in ax.texts:
            left, low = text.get_position()
            yield _placed(ax, text, _Mark("text", _plain(text.get_text()), np.array([left]), np.array([low])))


def _outlines(collection: Collection) -> Iterator[_Mark]:
    kind = "band" if type(collection).__name__ == "FillBetweenPolyCollection" else "shape"
    for path in collection.get_paths():
        x, y = np.asarray(path.vertices, dtype=np.float64).T
        yield _Mark(kind, _series(collection), x, y)


def _placed(ax: Axes, artist: Artist, mark: _Mark) -> _Mark:
    """The mark, NaN along an axis whose units it does not use."""
    in_x, in_y = artist.get_transform().contains_branch_seperately(ax.transData)
    blank = np.full(mark.x.shape, np.nan)
    return mark._replace(x=mark.x if in_x else blank, y=mark.y if in_y else blank)


def _series(artist: Artist) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else _plain(label)


def _rows(ax: Axes) -> dict[int, str]:
    """The names beside a vertical axis whose ticks are rows, from 0."""
    words = [_plain(label.get_text()) for label in ax.get_yticklabels()]
    if not any(_NAMED.search(word) for word in words):
        return {}
    return dict(zip((round(float(place)) for place in ax.get_yticks()), words, strict=True))


def _plain(text: str) -> str:
    """Words as they are read: without what keeps dollar signs from beginning mathematics, on one line."""
    return " ".join(text.replace(r"\$", "$").split())
