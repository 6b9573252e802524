"""Mean curves of each activation type, with pointwise bootstrap intervals."""

import numpy as np
import xarray as xr

from plateaulens.blocks import sample_blocks
from plateaulens.compare.labels import label, label_interval
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio


def curve_dataset(experiment: xr.Dataset, resampling: Resampling, confidence: float) -> xr.Dataset:
    """`curve_mean(activation_type, step, metric)` over base prompts, and `curve_interval` (..., bound) around it.

    Means are over complete curves: one with a NaN anywhere is left out. Intervals are pointwise percentile intervals of
    the joint bootstrap: at a given step they cover the mean as often as they claim, the whole curve less often. The
    curves are read in blocks of base prompts. NaN for a type without a complete curve.
    """
    total, count = np.zeros(()), np.zeros(())
    for block in sample_blocks(experiment["sample"].size):
        part = experiment["curve"].isel(sample=block).transpose("sample", "activation_type", "step", "metric")
        curve = part.to_numpy()
        complete = np.isfinite(curve).all(axis=2, keepdims=True)
        total = total + resampling.sums(np.where(complete, curve, 0.0), first=block.start)
        count = count + resampling.sums(complete, first=block.start)
    mean = ratio(total, count)
    dims = ("activation_type", "step", "metric")
    name, units = "mean curve", experiment["curve"].attrs["units"]
    return xr.Dataset(
        {
            "curve_mean": (dims, mean[0], label(name, units)),
            "curve_interval": (
                (*dims, "bound"),
                percentile_interval(mean[1:], confidence),
                label_interval(name, units, resampling, confidence),
            ),
        }
    )
