"""Mean curves of each activation type, with pointwise bootstrap intervals."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.store.reading import sample_ranges
from plateaulens.summary.attributes import attrs, interval_attrs


def curve_dataset(experiment: xr.Dataset, resampling: Resampling, confidence: float) -> xr.Dataset:
    """Mean curves over base prompts, and the intervals around them.

    The curves are read in ranges of base prompts.

    Parameters
    ----------
    experiment
        An experiment's group of a run, with `curve(activation_type, sample, step, metric)`.
    resampling
        Resamples of its base prompts.
    confidence
        The nominal coverage of intervals.

    Returns
    -------
    xarray.Dataset
        `curve_mean(activation_type, step, metric)`, in the metric's units, and `curve_interval(..., bound)`. Means are
        over complete curves: one with a NaN anywhere is left out. Intervals are pointwise percentile intervals of the
        joint bootstrap: at a given step they cover the mean as often as they claim, the whole curve less often. NaN for
        a type without a complete curve.
    """
    dims = ("activation_type", "step", "metric")
    types, steps, metrics = (experiment.sizes[dim] for dim in dims)
    total: NDArray[np.float64] = np.zeros((resampling.units, types, steps, metrics))
    count: NDArray[np.float64] = np.zeros((resampling.units, types, 1, metrics))
    for rows in sample_ranges(experiment["sample"].size):
        part = experiment["curve"].isel(sample=rows).transpose("sample", "activation_type", "step", "metric")
        curve = part.to_numpy()
        complete = np.isfinite(curve).all(axis=2, keepdims=True)
        resampling.add(np.where(complete, curve, 0.0), total, first=rows.start)
        resampling.add(complete, count, first=rows.start)
    mean = ratio(resampling.weigh(total), resampling.weigh(count))
    name, units = "mean curve", experiment["curve"].attrs["units"]
    return xr.Dataset(
        {
            "curve_mean": (dims, mean[0], attrs(name, units)),
            "curve_interval": (
                (*dims, "bound"),
                percentile_interval(mean[1:], confidence),
                interval_attrs(name, units, resampling, confidence),
            ),
        }
    )
