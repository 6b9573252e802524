"""The comparison of types at equal geometry, for every experiment of a run: `plateaulens.compare.confounds` by name."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.confounds import CALIPER, adjusted_difference, matched, matched_difference, overlap, pooled_sd
from plateaulens.compare.resampling import Resampling
from plateaulens.compare.survival import restricted
from plateaulens.config import AnalysisConfig
from plateaulens.steps import authors, corrected
from plateaulens.steps.curves import StepValues
from plateaulens.steps.dataset import step_length, thresholds
from plateaulens.store.reading import sample_spans
from plateaulens.summary.labels import attrs, bounds, interval_attrs, strings
from plateaulens.summary.verdicts import fate, word_array

STATISTICS = ("max_slope", "plateau_length")
"""The statistics that are compared at equal geometry: those of the paper's figures."""

COVARIATES = ("path_length", "target_norm", "cosine", "distance_from_mean")
ADJUSTMENTS = ("none", *COVARIATES, "all")

_CELLS = ("path", "statistic", "metric", "activation_type")
_BALANCE = ("path", "activation_type", "covariate")


class Changes(NamedTuple):
    """Differences in steps, type minus real, (statistic, metric, activation_type, sample), and resamples of prompts."""

    change: NDArray[np.float64]
    resampling: Resampling


def stored_changes(steps: xr.Dataset, last: int, reference: str) -> NDArray[np.float64]:
    """Differences to the reference of the corrected steps of `step_dataset`, each cut at the window's end, step `last`.

    A censored event counts as `last`, so that no prompt drops out for having none; NaN where either is undefined.
    """
    dims = ("statistic", "metric", "activation_type", "sample")
    own = steps.sel(convention="corrected", statistic=list(STATISTICS))[["step_value", "censored"]].transpose(*dims)
    time = restricted(own["step_value"].to_numpy(), own["censored"].to_numpy(), last)
    return time - time[:, :, [_place(steps, reference)]]


def cut_changes(experiment: xr.Dataset, settings: AnalysisConfig, reference: str) -> NDArray[np.float64]:
    """As `stored_changes`, with both paths of a pair cut at the nearer of their two targets.

    This is the paper's truncation (points before floor(path length / step length); see
    `plateaulens.steps.authors.search_window`) with one window for both paths: where the windows differ, the type with
    the shorter paths has the earlier steps whatever its curves do. `experiment` is a run's, with steps of fixed length.
    NaN where a target is not even two steps away.
    """
    types, samples, metrics = (experiment[name].size for name in ("activation_type", "sample", "metric"))
    changes = np.empty((len(STATISTICS), metrics, types, samples))
    for span in sample_spans(samples):
        changes[..., span] = _cut_span(experiment.isel(sample=span), settings, _place(experiment, reference))
    return changes


def confounds_dataset(paths: Mapping[str, Changes], geometry: xr.Dataset, metrics: xr.DataArray,
                      *, reference: str, confidence: float) -> xr.Dataset:  # fmt: skip
    """Differences to the reference at equal geometry, for every kind of path, as a group of the summary.

    `geometry` is `geometry_dataset`'s result; a path's samples are its first ones. Variables:

    - `adjusted_difference(path, statistic, metric, activation_type, adjustment)` with its interval (HC3): the mean
      difference to real, adjusted for nothing, for one covariate, or for all;
    - `overlap(path, activation_type, adjustment)`: False where that would be an extrapolation and is NaN;
    - `matched_difference(path, statistic, metric, activation_type, covariate)` with its bootstrap interval, and
      `matched_prompts`, how many base prompts it rests on;
    - `adjusted_fate` and `matched_fate`, what becomes of the difference: `plateaulens.summary.verdicts.fate`;
    - `imbalance` and `imbalance_matched(path, activation_type, covariate)`: the mean difference of the covariate to
      real in pooled standard deviations, before and after matching.
    """
    types = geometry["activation_type"]
    other = _place(geometry, reference)
    covariates = np.stack([geometry[name].transpose("activation_type", "sample").to_numpy() for name in COVARIATES])
    cells = (len(paths), len(STATISTICS), metrics.size, types.size)
    adjusted = np.empty((*cells, len(ADJUSTMENTS), 3))
    agreeing = np.empty((*cells, len(COVARIATES), 3))
    prompts = np.zeros((*cells, len(COVARIATES)), dtype=np.int64)
    within = np.zeros((len(paths), types.size, len(ADJUSTMENTS)), dtype=np.bool_)
    imbalance = np.zeros((2, len(paths), types.size, len(COVARIATES)))
    for p, (changes, resampling) in enumerate(paths.values()):
        own = covariates[..., : changes.shape[-1]]
        for t in range(types.size):
            difference = (own[:, t] - own[:, other]).T
            kept = [matched(a, b) for a, b in zip(own[:, t], own[:, other], strict=True)]
            chosen = [difference[:, columns] for columns in _columns()]
            within[p, t] = [overlap(columns[np.isfinite(columns).all(axis=1)]) for columns in chosen]
            imbalance[:, p, t] = _imbalances(own[:, t], own[:, other], kept)
            for s, m in np.ndindex(changes.shape[:2]):
                change = changes[s, m, t]
                adjusted[p, s, m, t] = [adjusted_difference(change, columns, confidence) for columns in chosen]
                for c, keep in enumerate(kept):
                    agreeing[p, s, m, t, c], prompts[p, s, m, t, c] = matched_difference(
                        change, keep, resampling, confidence
                    )
    resampling = next(iter(paths.values())).resampling
    robust = {"confidence": confidence, "method": "ordinary least squares, HC3"}
    words = "mean paired difference to real of the step"
    found = xr.Dataset(
        {
            "adjusted_difference": (
                (*_CELLS, "adjustment"), adjusted[..., 0], attrs(f"{words}, at equal covariates", "step")),
            "adjusted_difference_interval": (
                (*_CELLS, "adjustment", "bound"), adjusted[..., 1:],
                {**attrs(f"{100 * confidence:g} % interval: {words}, at equal covariates", "step"), **robust}),
            "overlap": (
                ("path", "activation_type", "adjustment"), within,
                attrs("whether equal covariates lie within the data", "1")),
            "matched_difference": (
                (*_CELLS, "covariate"), agreeing[..., 0], attrs(f"{words}, matched base prompts", "step")),
            "matched_difference_interval": (
                (*_CELLS, "covariate", "bound"), agreeing[..., 1:],
                interval_attrs(f"{words}, matched base prompts", "step", resampling, confidence)),
            "matched_prompts": ((*_CELLS, "covariate"), prompts, {**attrs("matched base prompts", "1"),
                                                                  "caliper": CALIPER}),
            "imbalance": (_BALANCE, imbalance[0], attrs("mean difference of the covariate to real, in sd", "1")),
            "imbalance_matched": (
                _BALANCE, imbalance[1], attrs("mean difference of the covariate to real, in sd, after matching", "1")),
        },
        coords={
            "path": (
                "path",
                strings(paths),
                attrs("experiment, or experiment with its paths cut at their targets", "1"),
            ),
            "statistic": ("statistic", strings(STATISTICS), attrs("step statistic", "1")),
            "metric": metrics,
            "activation_type": types,
            "adjustment": ("adjustment", strings(ADJUSTMENTS), attrs("what the difference is adjusted for", "1")),
            "covariate": ("covariate", strings(COVARIATES), attrs("what base prompts are matched on", "1")),
            "bound": bounds(),
        },
    )  # fmt: skip
    raw = found["adjusted_difference_interval"].sel(adjustment="none", drop=True)
    return found.assign(
        {
            name: word_array(fate, raw, found[f"{of}_interval"])
            .transpose(*found[of].dims)
            .assign_attrs(attrs(f"what becomes of the difference to real {words}", "1"))
            for name, of, words in (
                ("adjusted_fate", "adjusted_difference", "at equal covariates"),
                ("matched_fate", "matched_difference", "over matched base prompts"),
            )
        }
    )


def _cut_span(experiment: xr.Dataset, settings: AnalysisConfig, other: int) -> NDArray[np.float64]:
    part = experiment[["curve", "path_length"]].load()
    curve = part["curve"].transpose("metric", "activation_type", "sample", "step").to_numpy()
    path = part["path_length"].transpose("activation_type", "sample").to_numpy()
    window = authors.search_window(path, step_length(experiment))
    last = np.minimum(np.minimum(window, window[other]) - 1, curve.shape[-1] - 1)
    changes = np.empty((len(STATISTICS), *curve.shape[:-1]))
    for m, metric in enumerate(experiment["metric"].to_numpy()):
        own, real = (_events(_cut(values, last), str(metric), settings) for values in (curve[m], curve[m, [other]]))
        for s, (a, b) in enumerate(zip(own, real, strict=True)):
            changes[s, m] = restricted(*a, last) - restricted(*b, last)
    return np.where(last >= 1, changes, np.nan)


def _columns() -> list[list[int]]:
    """For each adjustment the covariates it takes in."""
    every = list(range(len(COVARIATES)))
    return [[], *([c] for c in every), every]


def _imbalances(
    own: NDArray[np.float64], reference: NDArray[np.float64], kept: list[NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """Standardised mean differences of covariates (covariate, n), before and after matching; 0 where none is left."""
    found = np.zeros((2, len(own)))
    for c, (a, b, keep) in enumerate(zip(own, reference, kept, strict=True)):
        known = np.isfinite(a - b)
        spread = pooled_sd(a, b)
        for row, chosen in enumerate((known, known & keep)):
            if spread > 0 and chosen.any():
                found[row, c] = (a - b)[chosen].mean() / spread
    return found


def _cut(curve: NDArray[np.floating], last: NDArray[np.int_]) -> NDArray[np.float64]:
    """Curves (..., steps) that stay where they are after step `last`."""
    place = np.minimum(np.arange(curve.shape[-1]), np.maximum(last, 0)[..., np.newaxis])
    curve = np.broadcast_to(curve, place.shape)
    whole = np.isfinite(curve).all(axis=-1, keepdims=True)
    return np.where(whole, np.take_along_axis(curve, place, axis=-1), np.nan)


def _events(curve: NDArray[np.float64], metric: str, settings: AnalysisConfig) -> list[StepValues]:
    """The statistics of `STATISTICS`."""
    own = thresholds(settings, metric)
    return [corrected.EVALUATED[name](curve, own) for name in STATISTICS]


def _place(dataset: xr.Dataset, activation_type: str) -> int:
    return [str(name) for name in dataset["activation_type"].to_numpy()].index(activation_type)
