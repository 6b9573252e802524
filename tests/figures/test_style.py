"""Tests of plateaulens.figures.style."""

from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from plateaulens.figures.style import styles
from plateaulens.names import label
from plateaulens.testing import ACTIVATION_TYPES

# Linear RGB as dichromats see it: Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "deuteranopia": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "tritanopia": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}
# Linear sRGB to CIE XYZ over the white point D65.
XYZ = np.array([[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0178, 0.1095, 0.8727]])


def linear(color: str) -> NDArray[np.float64]:
    channels = np.array(to_rgb(color))
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    ratios = XYZ @ np.clip(rgb, 0, 1)
    x, y, z = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_any_two_types_differ_in_colour_for_every_reader(vision: str) -> None:
    seen = {name: lab(VISION[vision] @ linear(style.color)) for name, style in styles(ACTIVATION_TYPES).items()}
    for (a, colour_a), (b, colour_b) in combinations(seen.items(), 2):
        assert np.linalg.norm(colour_a - colour_b) > 15, (a, b)


def test_every_type_stands_out_from_the_page() -> None:
    luminance = {name: XYZ[1] @ linear(style.color) for name, style in styles(ACTIVATION_TYPES).items()}
    contrast = {name: 1.05 / (value + 0.05) for name, value in luminance.items()}
    assert min(contrast.values()) > 2.0
    assert max(contrast, key=contrast.__getitem__) == "real"


def test_real_is_the_widest_line_and_below_all_so_that_what_coincides_with_it_is_seen() -> None:
    drawn = styles(ACTIVATION_TYPES)
    real = drawn.pop("real")
    assert all(style.width < real.width and style.zorder > real.zorder for style in drawn.values())


def test_reconstruction_is_seen_where_it_runs_along_real() -> None:
    """Real shows between its dashes, whose white edge sets them off; no other line has one."""
    figure = Figure()
    ax = figure.subplots()
    drawn = styles(ACTIVATION_TYPES)
    for style in drawn.values():
        ax.plot([0, 1], [0, 1], **style.line)
    cased = [line.get_label() for line in ax.get_lines() if line.get_path_effects()]
    assert cased == [label("reconstruction")]
    pixels = drawn_pixels(ax, [line for line in ax.get_lines() if line.get_label() in {"real", "reconstruction"}])
    red = np.array(to_rgb(drawn["reconstruction"].color)) * 255
    for color in (red, np.zeros(3)):
        assert (np.abs(pixels - color).max(axis=-1) < 30).sum() > 300


def drawn_pixels(ax: Axes, lines: list[Line2D]) -> NDArray[np.float64]:
    """The picture of a panel that has these lines alone, (row, column, channel)."""
    for line in ax.get_lines():
        line.set_visible(line in lines)
    ax.set_axis_off()
    file = BytesIO()
    ax.figure.figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"), dtype=np.float64)


def test_labels_are_distinct_and_free_of_markup() -> None:
    labels = [label(name) for name in ACTIVATION_TYPES]
    assert len(set(labels)) == len(labels)
    assert all(word.replace(" ", "").isalpha() for word in labels)


def test_types_of_a_user_get_distinct_spare_colours() -> None:
    drawn = styles(["real", "my_type", "opposite"])
    assert drawn["my_type"].label == "my type"
    assert len({style.color for style in drawn.values()}) == 3
