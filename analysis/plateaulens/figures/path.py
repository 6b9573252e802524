"""The horizontal axis of an experiment: steps of a relative path, or the length of a path in activation units."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def positions(experiment: xr.Dataset, steps: xr.DataArray | NDArray[np.float64]) -> NDArray[np.float64]:
    """Where step indices lie on the axis: themselves, or their path length when the step length is fixed.

    NaN stays NaN, and an index between two steps is interpolated.
    """
    indices = np.asarray(steps, dtype=np.float64)
    if "length" not in experiment.coords:
        return indices
    grid = np.asarray(experiment["step"].values, dtype=np.float64)
    length = np.asarray(experiment["length"].values, dtype=np.float64)
    return np.asarray(np.interp(indices, grid, length), dtype=np.float64)


def step_axis(experiment: xr.Dataset) -> str:
    """The label of that axis."""
    if "length" in experiment.coords:
        return "path length (activation units)"
    return f"step (0 is the base, {int(experiment['step'].values[-1])} the target)"


def window(experiment: xr.Dataset) -> tuple[float, float]:
    """The first and the last position on the axis."""
    first, last = positions(experiment, experiment["step"])[[0, -1]]
    return float(first), float(last)
