"""Where step statistics lie on the horizontal axis of an experiment, and how they are distributed along it.

The axis counts steps of a relative path, or is the length of the path in activation units. Distribution functions are
empirical ones, with censored samples counted.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def positions(experiment: xr.Dataset, steps: xr.DataArray | NDArray[np.float64]) -> NDArray[np.float64]:
    """Where step indices lie on the axis: themselves, or their path length when the step length is fixed.

    NaN stays NaN, and an index between two steps is interpolated.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    steps
        Step indices, of any shape.

    Returns
    -------
    NDArray[np.float64]
        Of that shape: steps, or activation units.
    """
    indices = np.asarray(steps, dtype=np.float64)
    if "length" not in experiment.coords:
        return indices
    grid = np.asarray(experiment["step"].values, dtype=np.float64)
    length = np.asarray(experiment["length"].values, dtype=np.float64)
    return np.asarray(np.interp(indices, grid, length), dtype=np.float64)


def step_axis(experiment: xr.Dataset) -> str:
    """The label of the horizontal axis.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.

    Returns
    -------
    str
        Of what `positions` returns.
    """
    if "length" in experiment.coords:
        return "path length (activation units)"
    return f"step (0 is the base, {int(experiment['step'].values[-1])} the target)"


def window(experiment: xr.Dataset) -> tuple[float, float]:
    """The first and the last position on the axis.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.

    Returns
    -------
    first, last : float
        Where step 0 and the last step lie.
    """
    first, last = positions(experiment, experiment["step"])[[0, -1]]
    return float(first), float(last)


def shown_window(experiment: xr.Dataset) -> tuple[float, float]:
    """The window and a little more at its end, so that the many steps that may lie there are not cut in half.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.

    Returns
    -------
    first, last : float
        The limits of an axis.
    """
    first, last = window(experiment)
    return first, last + 0.015 * (last - first)


def statistic_of(
    experiment: xr.Dataset, statistic: str, metric: str, activation_type: str
) -> tuple[NDArray[np.float64], int]:
    """The observed positions of one statistic, and how many samples are censored.

    Statistics are those of the `corrected` convention. A sample that is neither observed nor censored (the statistic
    is undefined for it) counts as neither.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    statistic, metric, activation_type
        Values of its coordinates.

    Returns
    -------
    observed : NDArray[np.float64]
        (observed sample) in ascending order.
    censored : int
        Number of censored samples.
    """
    where = {"convention": "corrected", "statistic": statistic, "metric": metric, "activation_type": activation_type}
    values = experiment["step_value"].sel(where)
    censored = np.asarray(experiment["censored"].sel(where), dtype=bool)
    observed = positions(experiment, values)[~censored]
    return np.sort(observed[np.isfinite(observed)]), int(censored.sum())


def cumulative(
    experiment: xr.Dataset, statistic: str, metric: str, activation_type: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the distribution function F(x) = #{value <= x} / (observed + censored), for a `steps-post` line.

    The line spans the whole window of the experiment; it ends below 1 by the fraction that is censored. All zero when
    no sample has the statistic.

    Parameters
    ----------
    experiment
        An experiment's group of a summary.
    statistic, metric, activation_type
        Values of its coordinates.

    Returns
    -------
    x, y : NDArray[np.float64]
        (observed sample + 2) each: positions, and fractions of the samples.
    """
    observed, censored = statistic_of(experiment, statistic, metric, activation_type)
    first, last = window(experiment)
    height = np.arange(1, observed.size + 1) / max(observed.size + censored, 1)
    x = np.concatenate([[first], observed, [last]])
    return x, np.concatenate([[0.0], height, height[-1:] if observed.size else [0.0]])
