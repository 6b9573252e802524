"""Survival curves, log-rank tests and restricted means of an experiment, as a part of its group of the summary."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.distances import distances, distribution_functions
from plateaulens.compare.intervals import AT_LEAST_STUDENTS, mean_interval, rare_reach, widened
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, quantile
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
        The nominal coverage of bands and of intervals.

    Returns
    -------
    xarray.Dataset
        Variables of the dimensions in `DIMS`. `survival` with its simultaneous `survival_band`; `logrank_p` (pairing
        ignored) and `paired_logrank_p` (by swaps), 1 for the reference against itself; `restricted_mean`, the mean of
        min(event, last) in steps, and `restricted_mean_difference`, that of the type minus the reference's over the
        base prompts that have both, each with the interval of a mean (`plateaulens.compare.intervals.mean_interval`);
        that of the difference reaches farther where few pairs differ, see `plateaulens.compare.intervals.rare_reach`.
        Where base prompts are drawn in groups, the band is also the uniform one of the resamples, whichever reaches
        farther. See `plateaulens.compare.survival`.
    """
    types = [str(name) for name in steps["activation_type"].to_numpy()]
    own = steps[["step_value", "censored"]].sel(convention="corrected").transpose(*_LEADING, "sample")
    event = ~own["censored"].to_numpy()
    time = restricted(own["step_value"].to_numpy(), ~event, last)
    shape, cells = time.shape[:-1], list(np.ndindex(time.shape[:-1]))
    other = types.index(reference)

    curves = [kaplan_meier(time[cell], event[cell], last + 1, confidence) for cell in cells]
    probability = np.array([curve.probability for curve in curves]).reshape(*shape, last + 1)
    band = np.array([curve.band for curve in curves]).reshape(*shape, last + 1, 2)
    if resampling.is_grouped:
        reach = _grouped_reach(time, event, last, resampling, confidence)
        lower, upper = np.minimum(band[..., 0], probability - reach), np.maximum(band[..., 1], probability + reach)
        band = np.clip(np.stack([lower, upper], axis=-1), 0.0, 1.0)
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
    mean = mean_interval(np.where(known, time, 0.0), known, resampling, confidence)
    difference = mean_interval(change, pairs, resampling, confidence)
    changed, number = (resampling.worth * each.sum(axis=-1) for each in (change != 0, pairs))
    reach = rare_reach(changed, number, confidence) * last
    values = {
        "survival": probability,
        "survival_band": band,
        "logrank_p": unpaired,
        "paired_logrank_p": paired,
        "restricted_mean": mean.estimate,
        "restricted_mean_interval": mean.interval,
        "restricted_mean_difference": difference.estimate,
        "restricted_mean_difference_interval": widened(difference.estimate, difference.interval, reach),
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
        attributes[f"{name}_interval"] = interval_attrs(words, "step", resampling, confidence) | {
            "method": AT_LEAST_STUDENTS
        }
    return xr.Dataset(
        {name: (DIMS[name], value, attributes[name]) for name, value in values.items()},
        coords={**{name: steps[name] for name in _LEADING}, "bound": bounds()},
    )


def _grouped_reach(
    time: NDArray[np.float64], event: NDArray[np.bool_], last: int, resampling: Resampling, confidence: float
) -> NDArray[np.float64]:
    """How far resamples of survival curves stray from the sample's, anywhere; from times (..., sample), (..., 1)."""
    codes = np.where(np.isnan(time), -1, np.where(event, np.nan_to_num(time), last + 1)).astype(np.int_)
    functions = distribution_functions(resampling.histograms(np.moveaxis(codes, -1, 0), last + 2))
    return np.asarray(quantile(distances(functions[1:] - functions[0]), confidence))[..., np.newaxis]
