"""Survival curves, log-rank tests and restricted means of an experiment, as a part of its group of the summary."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.compare.survival import kaplan_meier, logrank, paired_scores, restricted
from plateaulens.summary.attributes import attrs, bounds, interval_attrs

_LEADING = ("statistic", "metric", "activation_type")
DIMS = {
    "survival": (*_LEADING, "step"),
    "survival_band": (*_LEADING, "step", "bound"),
    "logrank_p": _LEADING,
    "paired_logrank_p": _LEADING,
    "restricted_mean": _LEADING,
    "restricted_mean_interval": (*_LEADING, "bound"),
    "restricted_mean_difference": _LEADING,
    "restricted_mean_difference_interval": (*_LEADING, "bound"),
}
"""What `survival_dataset` adds to an experiment's summary, and the dimensions of each."""


def survival_dataset(
    steps: xr.Dataset, last: int, resampling: Resampling, swaps: Swaps, *, reference: str, confidence: float
) -> xr.Dataset:
    """Survival curves, log-rank tests against the reference and restricted means of an experiment's corrected steps.

    Curves without the event are censored at step `last`; undefined ones are left out.

    Parameters
    ----------
    steps
        `plateaulens.steps.dataset.step_dataset`'s result.
    last
        The last step of the window.
    resampling, swaps
        Resamples of the base prompts, and swaps within them.
    reference
        The activation type that the others are compared with.
    confidence
        The coverage of bands (the least) and of intervals (nominal).

    Returns
    -------
    xarray.Dataset
        Variables of the dimensions in `DIMS`. `survival` with its simultaneous `survival_band`; `logrank_p` (pairing
        ignored) and `paired_logrank_p` (by swaps), 1 for the reference against itself; `restricted_mean`, the mean of
        min(event, last) in steps, and `restricted_mean_difference`, that of the type minus the reference's over the
        base prompts that have both, each with a percentile interval. See `plateaulens.compare.survival`.
    """
    types = [str(name) for name in steps["activation_type"].to_numpy()]
    own = steps[["step_value", "censored"]].sel(convention="corrected").transpose(*_LEADING, "sample")
    event = ~own["censored"].to_numpy()
    time = restricted(own["step_value"].to_numpy(), ~event, last)
    shape, cells = time.shape[:-1], list(np.ndindex(time.shape[:-1]))
    other = types.index(reference)

    curves = [kaplan_meier(time[cell], event[cell], last + 1, confidence) for cell in cells]
    unpaired, differences = np.ones(shape), np.zeros(time.shape)
    for cell in cells:
        pair = (*cell[:-1], [cell[-1], other])
        differences[cell] = paired_scores(time[pair], event[pair])
        if cell[-1] != other:
            group = np.repeat([0, 1], time.shape[-1])
            unpaired[cell] = logrank(time[pair].ravel(), event[pair].ravel(), group)
    paired = swaps.p_value(np.abs(swaps.sums(np.moveaxis(differences, -1, 0))), np.abs(differences.sum(axis=-1)))

    known = np.isfinite(time)
    pairs = known & known[..., other : other + 1, :]
    change = np.where(pairs, time - time[..., other : other + 1, :], 0.0)
    mean = _means(np.where(known, time, 0.0), known, resampling)
    difference = _means(change, pairs, resampling)
    values = {
        "survival": np.array([curve.probability for curve in curves]).reshape(*shape, last + 1),
        "survival_band": np.array([curve.band for curve in curves]).reshape(*shape, last + 1, 2),
        "logrank_p": unpaired,
        "paired_logrank_p": paired,
        "restricted_mean": mean[0],
        "restricted_mean_interval": percentile_interval(mean[1:], confidence),
        "restricted_mean_difference": difference[0],
        "restricted_mean_difference_interval": percentile_interval(difference[1:], confidence),
    }
    attributes = {
        "survival": attrs("share of curves without the event up to the step, Kaplan-Meier", "1"),
        "survival_band": {
            **attrs(f"{100 * confidence:g} % simultaneous band: Kaplan-Meier curve", "1"),
            "confidence": confidence,
        },
        "logrank_p": attrs("p-value of the log-rank test against real, pairing ignored", "1"),
        "paired_logrank_p": {
            **attrs("p-value of the log-rank test against real by swaps within base prompts", "1"),
            "permutations": len(swaps.rows),
        },
    }
    for name, words in (
        ("restricted_mean", "mean of the step, cut at the window's end"),
        ("restricted_mean_difference", "mean paired difference to real of the step, cut at the window's end"),
    ):
        attributes[name] = attrs(words, "step")
        attributes[f"{name}_interval"] = interval_attrs(words, "step", resampling, confidence)
    return xr.Dataset(
        {name: (DIMS[name], value, attributes[name]) for name, value in values.items()},
        coords={**{name: steps[name] for name in _LEADING}, "bound": bounds()},
    )


def _means(values: NDArray[np.float64], there: NDArray[np.bool_], resampling: Resampling) -> NDArray[np.float64]:
    """Means over the last axis of `values` (..., sample), (1 + resamples, ...) with the sample in row 0."""
    return ratio(resampling.sums(np.moveaxis(values, -1, 0)), resampling.sums(np.moveaxis(there, -1, 0)))
