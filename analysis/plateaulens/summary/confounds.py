"""The comparison of types at equal geometry, for every experiment of a run: `plateaulens.compare.confounds` by name."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.confounds import (
    CALIPER,
    Adjusted,
    Estimate,
    adjusted_difference,
    matched,
    matched_difference,
    overlap,
)
from plateaulens.compare.multiplicity import adjust_families
from plateaulens.compare.survival import restricted
from plateaulens.config import AnalysisConfig
from plateaulens.names import CONTROL
from plateaulens.steps import authors, corrected
from plateaulens.steps.curves import StepValues
from plateaulens.steps.dataset import step_length, thresholds
from plateaulens.store.reading import sample_ranges
from plateaulens.summary.attributes import attrs, bounds, texts
from plateaulens.summary.verdicts import fate, movement, word_array

STATISTICS = ("max_slope", "plateau_length")
"""The statistics that are compared at equal geometry, where the analysis has them: those of the paper's figures."""
PATH_LENGTH = "path_length"
"""The covariate that is each experiment's own: the length of the path whose curve it is. On plateaus that leads from
the target to a Gaussian draw, in `sensitivity_reconstructed` from the reconstructed base to the target."""
COVARIATES = (PATH_LENGTH, "target_norm", "cosine", "distance_from_mean")
"""What is allowed for. All but the first are quantities of `plateaulens.summary.geometry`: of the target and the
prompt's own activation, wherever the path leads."""
ADJUSTMENTS = ("none", *COVARIATES, "all")
"""Nothing, one covariate, or all of them."""
_CELLS = ("path", "statistic", "metric", "activation_type")
_METHODS = {
    "adjusted": ("adjustment", "at equal covariates", "ordinary least squares, CR3"),
    "matched": ("covariate", "over matched base prompts", "matching, delete-one-group jackknife"),
}
"""By method: what it has a column for, what it does in words, and how its intervals are made."""


class Changes(NamedTuple):
    """Differences in steps, type minus real, and what they are compared at."""

    change: NDArray[np.float64]
    """(statistic, metric, activation_type, sample)"""
    path_length: NDArray[np.floating]
    """Of the paths whose curves these are, (activation_type, sample)."""
    groups: NDArray[np.int_]
    """The group of each base prompt, numbered from 0, (sample,): those of one group are not independent."""


def confounds_dataset(
    paths: Mapping[str, Changes],
    geometry: xr.Dataset,
    metrics: xr.DataArray,
    *,
    statistics: Sequence[str] = STATISTICS,
    reference: str,
    controls: Collection[str] = (CONTROL,),
    confidence: float,
) -> xr.Dataset:
    """Differences to the reference at equal geometry, for every kind of path, as a group of the summary.

    Parameters
    ----------
    paths
        Differences in steps by the kind of path.
    geometry
        `plateaulens.summary.geometry.geometry_dataset`'s result; a path's samples are its first ones.
    metrics
        The coordinate `metric`.
    statistics
        The statistics of the differences, in order.
    reference
        The activation type that the others are compared with.
    controls
        The types that are real targets drawn again, whose tests are a family of their own.
    confidence
        The nominal coverage of intervals.

    Returns
    -------
    xarray.Dataset
        - `adjusted_difference(path, statistic, metric, activation_type, adjustment)` with its interval: the mean
          difference to real, adjusted for nothing, for one covariate, or for all;
        - `adjusted_change`, with its interval: the raw difference minus the adjusted one; `adjusted_change_p` of no
          change, and `adjusted_change_p_holm` adjusted for the types that are asked about on one metric;
        - `overlap(path, activation_type, adjustment)`: False where the former would be an extrapolation and is NaN;
        - `matched_difference(path, statistic, metric, activation_type, covariate)` and `matched_change`, with their
          intervals and p-values, and `matched_prompts`, how many base prompts they rest on;
        - `adjusted_fate` and `matched_fate`, what becomes of the difference (`plateaulens.summary.verdicts.fate`), and
          `adjusted_movement` and `matched_movement`, what is shown to become of its size (`movement`): a change is
          claimed where its adjusted p-value is small.
    """
    types = geometry["activation_type"]
    other = _place(geometry, reference)
    cells = (len(paths), len(statistics), metrics.size, types.size)
    estimates = {
        "adjusted": np.empty((*cells, len(ADJUSTMENTS), len(Adjusted._fields), len(Estimate._fields))),
        "matched": np.empty((*cells, len(COVARIATES), len(Adjusted._fields), len(Estimate._fields))),
    }
    prompts = np.zeros((*cells, len(COVARIATES)), dtype=np.int64)
    within = np.zeros((len(paths), types.size, len(ADJUSTMENTS)), dtype=np.bool_)
    for p, (changes, path_length, groups) in enumerate(paths.values()):
        own = _covariates(geometry, path_length)
        for t in range(types.size):
            difference = (own[:, t] - own[:, other]).T
            kept = [matched(a, b) for a, b in zip(own[:, t], own[:, other], strict=True)]
            chosen = [difference[:, columns] for columns in _columns()]
            within[p, t] = [overlap(columns[np.isfinite(columns).all(axis=1)]) for columns in chosen]
            for s, m in np.ndindex(changes.shape[:2]):
                cell, change = (p, s, m, t), changes[s, m, t]
                estimates["adjusted"][cell] = [
                    adjusted_difference(change, columns, confidence, groups) for columns in chosen
                ]
                near = [matched_difference(change, keep, confidence, groups) for keep in kept]
                estimates["matched"][cell] = [each.estimate for each in near]
                prompts[cell] = [each.prompts for each in near]
    found = xr.Dataset(
        {
            "overlap": (
                ("path", "activation_type", "adjustment"),
                within,
                attrs("whether equal covariates lie within the data", "1"),
            ),
            "matched_prompts": (
                (*_CELLS, "covariate"),
                prompts,
                attrs("matched base prompts", "1") | {"caliper": CALIPER},
            ),
        },
        coords={
            "path": texts("path", paths, "experiment, or experiment with its paths cut at their targets"),
            "statistic": texts("statistic", statistics, "step statistic"),
            "metric": metrics,
            "activation_type": types,
            "adjustment": texts("adjustment", ADJUSTMENTS, "what the difference is adjusted for"),
            "covariate": texts("covariate", COVARIATES, "what base prompts are matched on"),
            "bound": bounds(),
        },
    )
    for name, values in estimates.items():
        found = found.assign(_named(name, values, confidence))
        found = found.assign(_holm(name, found, reference, controls))
    raw = found.sel(adjustment="none", drop=True)
    return found.assign({key: word for name in estimates for key, word in _words(name, found, raw).items()})


def _covariates(geometry: xr.Dataset, path_length: NDArray[np.floating]) -> NDArray[np.float64]:
    """`COVARIATES` of the first base prompts, as many as have a path length, (covariate, activation_type, sample)."""
    samples = path_length.shape[-1]
    return np.stack(
        [
            path_length.astype(np.float64)
            if name == PATH_LENGTH
            else geometry[name].transpose("activation_type", "sample").to_numpy()[:, :samples]
            for name in COVARIATES
        ]
    )


def _named(method: str, values: NDArray[np.float64], confidence: float) -> dict[str, xr.Variable]:
    """The estimates of a method, (..., field of `Adjusted`, field of `Estimate`), as variables of the summary."""
    column, words, how = _METHODS[method]
    variables: dict[str, xr.Variable] = {}
    for place, (field, what) in enumerate(
        (
            ("difference", f"mean paired difference to real of the step, {words}"),
            ("change", f"mean paired difference to real of the step, as it is minus that {words}"),
        )
    ):
        dims, own = (*_CELLS, column), values[..., place, :]
        interval = attrs(f"{100 * confidence:g} % interval: {what}", "step")
        variables |= {
            f"{method}_{field}": xr.Variable(dims, own[..., 0], attrs(what, "step")),
            f"{method}_{field}_interval": xr.Variable(
                (*dims, "bound"), own[..., 1:3], {**interval, "confidence": confidence, "method": how}
            ),
        }
    p = attrs(f"p-value of no change of the mean paired difference {words}", "1")
    return variables | {f"{method}_change_p": xr.Variable(dims, values[..., -1, -1], p)}


def _holm(method: str, found: xr.Dataset, reference: str, controls: Collection[str]) -> dict[str, xr.DataArray]:
    """The p-values of a method's changes, adjusted for the types of one path, statistic, metric and covariate."""
    name = f"{method}_change_p"
    types = [str(kind) for kind in found["activation_type"].to_numpy()]
    p = found[name].transpose(..., "activation_type")
    adjusted = np.full(p.shape, np.nan)
    for family in ([kind for kind in types if kind not in {reference, *controls}], list(controls)):
        own = np.isin(types, family)
        if own.any():
            adjusted[..., own] = adjust_families(p.to_numpy()[..., own], 1, "holm")
    holm = p.copy(data=adjusted).transpose(*found[name].dims)
    return {f"{name}_holm": holm.assign_attrs(attrs(f"{p.attrs['long_name']}, adjusted by Holm", "1"))}


def _words(method: str, found: xr.Dataset, raw: xr.Dataset) -> dict[str, xr.DataArray]:
    """The verdicts on a method's estimates, given those that are adjusted for nothing."""
    words = _METHODS[method][1]
    change = found[f"{method}_change_interval"]
    # one that is not shown among all that are asked about holds 0, whatever its own interval does
    is_open = found[f"{method}_change_p_holm"] > 1 - change.attrs["confidence"]
    change = change.where(~is_open, xr.DataArray([-np.inf, np.inf], dims="bound"))
    verdicts = {
        "fate": (
            f"what becomes of the difference to real {words}",
            word_array(fate, raw["adjusted_difference_interval"], found[f"{method}_difference_interval"], change),
        ),
        "movement": (
            f"what is shown to become of the size of the difference to real {words}",
            word_array(movement, raw["adjusted_difference"], found[f"{method}_change"], change),
        ),
    }
    dims = found[f"{method}_difference"].dims
    return {
        f"{method}_{name}": word.transpose(*dims).assign_attrs(attrs(what, "1"))
        for name, (what, word) in verdicts.items()
    }


def _columns() -> list[list[int]]:
    """For each adjustment the numbers of the covariates that it takes in."""
    every = list(range(len(COVARIATES)))
    return [[], *([c] for c in every), every]


def compared(statistics: Sequence[str]) -> tuple[str, ...]:
    """The statistics of an analysis that are compared at equal geometry.

    Parameters
    ----------
    statistics
        Those of the analysis.

    Returns
    -------
    tuple[str, ...]
        Those of `STATISTICS` among them.
    """
    return tuple(name for name in STATISTICS if name in statistics)


def stored_changes(steps: xr.Dataset, last: int, reference: str) -> NDArray[np.float64]:
    """Differences to the reference of an experiment's corrected steps, each cut at the window's end.

    A censored event counts as `last`, so that no prompt drops out for having none.

    Parameters
    ----------
    steps
        `plateaulens.steps.dataset.step_dataset`'s result, or a summary that holds it.
    last
        The last step of the window.
    reference
        The activation type that the others are compared with.

    Returns
    -------
    NDArray[np.float64]
        In steps, (statistic, metric, activation_type, sample), for the statistics that `compared` names; NaN where
        either step is undefined.
    """
    dims = ("statistic", "metric", "activation_type", "sample")
    statistics = compared([str(name) for name in steps["statistic"].to_numpy()])
    own = steps.sel(convention="corrected", statistic=list(statistics))[["step_value", "censored"]].transpose(*dims)
    time = restricted(own["step_value"].to_numpy(), own["censored"].to_numpy(), last)
    return time - time[:, :, [_place(steps, reference)]]


def cut_changes(experiment: xr.Dataset, settings: AnalysisConfig, reference: str) -> NDArray[np.float64]:
    """As `stored_changes`, with both paths of a pair cut at the nearer of their two targets.

    This is the paper's truncation (points before floor(path length / step length); see
    `plateaulens.steps.authors.search_window`) with one window for both paths: where the windows differ, the type with
    the shorter paths has the earlier steps whatever its curves do. Curves are read in ranges of base prompts.

    Parameters
    ----------
    experiment
        An experiment's group of a run, with steps of fixed length.
    settings
        What counts as an event, and which statistics there are.
    reference
        The activation type that the others are compared with.

    Returns
    -------
    NDArray[np.float64]
        In steps, (statistic, metric, activation_type, sample), for the statistics that `compared` names; NaN where a
        target is not even two steps away.
    """
    types, samples, metrics = (experiment[name].size for name in ("activation_type", "sample", "metric"))
    changes = np.empty((len(compared(settings.statistics)), metrics, types, samples))
    for rows in sample_ranges(samples):
        changes[..., rows] = _cut_rows(experiment.isel(sample=rows), settings, _place(experiment, reference))
    return changes


def _cut_rows(experiment: xr.Dataset, settings: AnalysisConfig, other: int) -> NDArray[np.float64]:
    """`cut_changes` of some base prompts; `other` is the number of the reference."""
    part = experiment[["curve", "path_length"]].load()
    curve = part["curve"].transpose("metric", "activation_type", "sample", "step").to_numpy()
    path = part["path_length"].transpose("activation_type", "sample").to_numpy()
    window = authors.search_window(path, step_length(experiment))
    last = np.minimum(np.minimum(window, window[other]) - 1, curve.shape[-1] - 1)
    changes = np.empty((len(compared(settings.statistics)), *curve.shape[:-1]))
    for m, metric in enumerate(experiment["metric"].to_numpy()):
        own, real = (_events(_cut(values, last), str(metric), settings) for values in (curve[m], curve[m, [other]]))
        for s, (a, b) in enumerate(zip(own, real, strict=True)):
            changes[s, m] = restricted(*a, last) - restricted(*b, last)
    return np.where(last >= 1, changes, np.nan)


def _cut(curve: NDArray[np.floating], last: NDArray[np.int_]) -> NDArray[np.float64]:
    """Curves (..., steps) that stay where they are after step `last` (...); those that are incomplete are NaN."""
    place = np.minimum(np.arange(curve.shape[-1]), np.maximum(last, 0)[..., np.newaxis])
    curve = np.broadcast_to(curve, place.shape)
    whole = np.isfinite(curve).all(axis=-1, keepdims=True)
    return np.where(whole, np.take_along_axis(curve, place, axis=-1), np.nan)


def _events(curve: NDArray[np.float64], metric: str, settings: AnalysisConfig) -> list[StepValues]:
    """The statistics of curves (..., steps) that `compared` names."""
    own = thresholds(settings, metric)
    return [corrected.EVALUATED[name](curve, own) for name in compared(settings.statistics)]


def _place(dataset: xr.Dataset, activation_type: str) -> int:
    return [str(name) for name in dataset["activation_type"].to_numpy()].index(activation_type)
