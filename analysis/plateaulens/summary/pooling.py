"""One answer from all runs of a sweep: how types differ from real at its sites together, and how far sites vary."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from plateaulens import names
from plateaulens.compare.pooling import FEWEST_SITES, Pooled, pooled
from plateaulens.names import REFERENCE
from plateaulens.store.manifest import Entry
from plateaulens.summary.attributes import attrs
from plateaulens.summary.verdicts import MINIMUM_PAIRS, timing, word_array


def changes_of(summary: xr.Dataset, name: str) -> xr.DataArray:
    """The paired differences to real of one run, for the statistic that an experiment is judged by.

    Parameters
    ----------
    summary
        The experiment's summary.
    name
        The experiment's name.

    Returns
    -------
    xarray.DataArray
        (metric, activation_type, sample), in steps, of the corrected convention; NaN without a pair.
    """
    step = summary["step_value"].sel(convention="corrected", statistic=names.experiment(name).statistic, drop=True)
    return (step - step.sel(activation_type=REFERENCE, drop=True)).transpose("metric", "activation_type", "sample")


def pooled_dataset(changes: Mapping[Entry, xr.DataArray], name: str, confidence: float) -> xr.Dataset:
    """The mean differences of all runs of a sweep, pooled; see `plateaulens.compare.pooling`.

    A site is a write site of a model, with its SAE: the read sites and seeds of one are no sites of their own, and are
    averaged base prompt by base prompt. Where there are fewer than three of these, every run is a site.

    Parameters
    ----------
    changes
        By run, what `changes_of` gives.
    name
        The experiment's name.
    confidence
        Of the intervals.

    Returns
    -------
    xarray.Dataset
        (metric, activation_type): `pooled_sites`, `pooled_difference` with `pooled_difference_interval`,
        `pooled_spread`, and `pooled_prediction_interval`; NaN for real itself and with fewer than three sites. In words
        on which side of 0 the two intervals lie: `pooled_direction` and `pooled_new_site`, "earlier", "later",
        "undecided" or "undefined".
    """
    like = next(iter(changes.values()))
    sites = _sites(list(changes))
    found = np.full((*like.shape[:2], 7), np.nan)
    stacked = np.stack([_averaged([changes[entry] for entry in entries]) for entries in sites])
    types = [str(kind) for kind in like["activation_type"].to_numpy()]
    for m in range(like.sizes["metric"]):
        for t, kind in enumerate(types):
            if kind != REFERENCE:
                found[m, t] = _row(pooled(stacked[:, m, t], confidence))
    dims, own = ("metric", "activation_type"), {"statistic": names.experiment(name).statistic}
    with_bound = (*dims, "bound")
    ends = own | {"confidence": confidence}
    percent = f"{100 * confidence:g} % interval"
    found_at = xr.Dataset(
        {
            "pooled_sites": (dims, found[..., 0], attrs("sites that are pooled", "1") | own),
            "pooled_difference": (dims, found[..., 1], attrs("mean over sites of the mean difference", "step") | own),
            "pooled_difference_interval": (
                with_bound,
                found[..., 2:4],
                attrs(f"{percent}: mean over sites of the mean difference", "step") | ends,
            ),
            "pooled_spread": (
                dims,
                found[..., 4],
                attrs("standard deviation of the sites' true mean differences", "step") | own,
            ),
            "pooled_prediction_interval": (
                with_bound,
                found[..., 5:7],
                attrs(f"{percent}: true mean difference at a new site", "step") | ends,
            ),
        }
    )
    words = {
        "pooled_direction": ("pooled_difference_interval", "whether the type comes earlier or later over all sites"),
        "pooled_new_site": ("pooled_prediction_interval", "whether it is to be expected to at a new site"),
    }
    return found_at.assign(
        {
            word: word_array(lambda ends: timing(ends, MINIMUM_PAIRS), found_at[variable]).assign_attrs(
                attrs(long_name, "1") | ends
            )
            for word, (variable, long_name) in words.items()
        }
    )


def _sites(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The runs of each site."""
    sites: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        sites.setdefault((entry.model, entry.sae, entry.write), []).append(entry)
    return list(sites.values()) if len(sites) >= FEWEST_SITES else [[entry] for entry in entries]


def _averaged(changes: Sequence[xr.DataArray]) -> np.ndarray:
    """The mean over runs, of those in which a base prompt has a pair, (metric, activation_type, sample)."""
    stacked = np.stack([change.to_numpy() for change in changes])
    there = np.isfinite(stacked)
    number = there.sum(axis=0)
    mean: np.ndarray = np.where(there, stacked, 0.0).sum(axis=0) / np.maximum(number, 1)
    return np.where(number > 0, mean, np.nan)


def _row(found: Pooled) -> list[float]:
    return [found.sites, found.mean, *found.interval.tolist(), found.spread, *found.prediction.tolist()]
