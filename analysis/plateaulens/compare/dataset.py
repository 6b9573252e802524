"""Comparison of activation types in a stored experiment: `compare_types` with names on its axes."""

import numpy as np
import xarray as xr

from plateaulens.compare.distributions import DIMS, compare_types
from plateaulens.compare.labels import bounds, label, label_interval
from plateaulens.compare.resampling import Resampling

REFERENCE = "real"
"""The activation type that every other one is compared with."""

_LEADING = ("convention", "statistic", "metric")

_DESCRIPTIONS = {
    "n": ("base prompts with a value", "1"),
    "n_pairs": ("base prompts with a value for the type and for real", "1"),
    "mean": ("mean step", "step"),
    "sd": ("standard deviation of the step", "step"),
    "censored_fraction": ("share of curves whose event lies beyond the window", "1"),
    "mean_difference": ("mean paired difference to real", "step"),
    "ks": ("Kolmogorov-Smirnov distance to real", "1"),
    "ks_percentile": ("Kolmogorov-Smirnov distance to real, percentile method", "1"),
    "ks_difference": ("difference of two types' Kolmogorov-Smirnov distances to real", "1"),
}


def compare_dataset(steps: xr.Dataset, resampling: Resampling, confidence: float) -> xr.Dataset:
    """Compare the activation types of `step_dataset`'s result for every convention, statistic and metric.

    All of them share the resamples of `resampling`, whose samples are those of `steps`. Variables and their dimensions
    are those of `plateaulens.compare.distributions.DIMS` behind (convention, statistic, metric); see `compare_types`
    for what they are, for censoring and for NaN. Intervals carry `confidence` and `resamples` as attributes. `steps`
    must hold the activation type `real`.
    """
    types = [str(name) for name in steps["activation_type"].to_numpy()]
    dims = (*_LEADING, "activation_type", "sample")
    value, censored = (steps[name].transpose(*dims) for name in ("step_value", "censored"))
    shape = value.shape[: len(_LEADING)]
    results = [
        compare_types(
            value.to_numpy()[index],
            censored.to_numpy()[index],
            resampling,
            reference=types.index(REFERENCE),
            confidence=confidence,
        )
        for index in np.ndindex(shape)
    ]
    variables = {}
    for name, own in DIMS.items():
        stacked = np.stack([result[name] for result in results])
        described = _DESCRIPTIONS[name.removesuffix("_interval")]
        attributes = label_interval(*described, resampling, confidence) if "bound" in own else label(*described)
        variables[name] = ((*_LEADING, *own), stacked.reshape(*shape, *stacked.shape[1:]), attributes)
    other_type = xr.Variable("other_type", steps["activation_type"].to_numpy(), label("the other activation type", "1"))
    return xr.Dataset(variables, coords={**steps.coords, "bound": bounds(), "other_type": other_type})
