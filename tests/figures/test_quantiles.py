"""Tests of plateaulens.figures.distributions: lines are the summary's quantile shifts."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from plateaulens.figures.distributions import quantile_shifts
from plateaulens.figures.style import styles


def line_of(figure: Figure, panel: int, kind: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The heights of a type's line in a panel."""
    name = styles([kind])[kind].label
    (line,) = (line for line in figure.axes[panel].lines if line.get_label() == name)
    return np.asarray(line.get_ydata(), dtype=np.float64)


def shifted(value: float) -> xr.Dataset:
    """Two types on one metric: bag shifted by 5 steps, and by `value` at the last decile."""
    shift = np.zeros((1, 1, 1, 2, 9))
    shift[..., 1, :] = 5.0
    shift[..., 1, -1] = value
    interval = np.stack([shift - 1, shift + 1], axis=-1)
    dims = ("convention", "statistic", "metric", "activation_type", "quantile")
    return xr.Dataset(
        {"quantile_shift": (dims, shift), "quantile_shift_interval": ((*dims, "bound"), interval)},
        coords={
            "convention": ["corrected"],
            "statistic": ["max_slope"],
            "metric": ["l2"],
            "activation_type": ["real", "bag"],
            "quantile": np.arange(1, 10) / 10,
            "bound": ["lower", "upper"],
        },
    )


def test_lines_are_the_shifts() -> None:
    figure = quantile_shifts(shifted(7.0))
    assert len(figure.axes) == 1
    np.testing.assert_array_equal(line_of(figure, 0, "bag"), [5.0] * 8 + [7.0])


def test_a_line_ends_where_the_quantile_is_beyond_the_window() -> None:
    figure = quantile_shifts(shifted(np.inf))
    assert np.isnan(line_of(figure, 0, "bag")[-1])
    figure.draw_without_rendering()


def test_real_is_the_line_at_zero_and_not_drawn_again() -> None:
    names = [text.get_text() for text in quantile_shifts(shifted(7.0)).legends[0].get_texts()]
    assert names == ["bag"]
