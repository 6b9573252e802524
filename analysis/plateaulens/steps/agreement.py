"""Two runs of the same paths curve by curve: how far two devices, precisions or ways of running a model agree."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.steps import corrected
from plateaulens.steps.dataset import thresholds
from plateaulens.store.location import Location
from plateaulens.store.reading import experiment_names, open_run, sample_ranges
from plateaulens.store.verify import blaming_damage


class Agreement(NamedTuple):
    """How far two runs agree on one metric of an experiment, over the curves that both have."""

    experiment: str
    metric: str
    curves: int
    largest_difference: float
    """Between two points, in units of the metric's largest value in either run."""
    same_max_slope: float
    """Share of curves whose max-slope step, censoring included, is the same."""
    same_top_token: float
    """Share of points at which the same token is the most likely one; the same for all metrics of an experiment."""


class Ends(NamedTuple):
    """How far two runs agree on what their paths lead from and to."""

    what: str
    """`base` or `target`."""
    activations: int
    largest_difference: float
    """Of a base or target (L2) from the other run's, in units of its length."""
    same: float
    """Share of bases or targets with the same bytes."""


def agreement(first: Location, second: Location, settings: AnalysisConfig | None = None) -> list[Agreement]:
    """How far two runs agree, curve by curve.

    Parameters
    ----------
    first, second
        Runs of the same prompts, complete or not: compared is what both have of types, experiments and metrics.
    settings
        Whose minimum slopes max-slope steps are read off by, in the corrected convention; None takes the defaults.

    Returns
    -------
    list of Agreement
        By experiment and metric, in the order of the first run; shares are between 0 and 1.

    Raises
    ------
    UsageError
        When either is no sound run, when their base prompts differ, or when there is no curve that both have.
    """
    runs = _pair(first, second)
    shared = [name for name in experiment_names(runs[0]) if name in experiment_names(runs[1])]
    found = [each for name in shared for each in _experiment(name, (first, second), runs, settings or AnalysisConfig())]
    if not found:
        raise UsageError(f"{first} and {second} have no curve in common: collect the same types and experiments")
    return found


def ends(first: Location, second: Location) -> list[Ends]:
    """How far two runs agree on bases and targets, without which curves cannot agree.

    Parameters
    ----------
    first, second
        Runs of the same prompts, complete or not.

    Returns
    -------
    list of Ends
        Of bases, and of the targets of all types that both have.

    Raises
    ------
    UsageError
        As `agreement` does.
    """
    runs = _pair(first, second)
    groups = [run["activations"].to_dataset() for run in runs]
    types = _common("activation_type", groups)
    rows = []
    for name, selection in (("base", {}), ("target", {"activation_type": types})):
        furthest, same, count = 0.0, 0, 0
        for span in sample_ranges(min(group.sizes["sample"] for group in groups)):
            parts = [
                _loaded(place, group[[name, "completed"]].sel(selection).isel(sample=span))
                for place, group in zip((first, second), groups, strict=True)
            ]
            both = np.logical_and(*(part["completed"].to_numpy() for part in parts))
            one, other = (part[name].transpose(..., "sample", "d_model").to_numpy()[..., both, :] for part in parts)
            length = np.linalg.norm(one.astype(np.float64), axis=-1)
            distance = np.linalg.norm(one.astype(np.float64) - other, axis=-1)
            furthest = max(furthest, float(_quotient(distance, length).max(initial=0.0)))
            same += int((one == other).all(axis=-1).sum())
            count += length.size
        if count:
            rows.append(Ends(name, count, furthest, same / count))
    return rows


def _pair(first: Location, second: Location) -> tuple[xr.DataTree, xr.DataTree]:
    runs = open_run(first), open_run(second)
    tokens = [run["prompts"]["token"].transpose("sample", "position").to_numpy() for run in runs]
    shared = min(map(len, tokens))
    if tokens[0].shape[1:] != tokens[1].shape[1:] or (tokens[0][:shared] != tokens[1][:shared]).any():
        raise UsageError(f"{first} and {second} have other base prompts: compare runs of the same prompts and seed")
    return runs


def _loaded(place: Location, part: xr.Dataset) -> xr.Dataset:
    with blaming_damage(place):
        return part.load()


def _experiment(
    name: str, places: tuple[Location, Location], runs: tuple[xr.DataTree, xr.DataTree], settings: AnalysisConfig
) -> Iterator[Agreement]:
    groups = [run[name].to_dataset() for run in runs]
    types, metrics = _common("activation_type", groups), _common("metric", groups)
    if not (types and metrics and _same_points(groups)):
        return
    counts = {metric: np.zeros(2) for metric in metrics}  # largest difference, largest value
    same_step = dict.fromkeys(metrics, 0)
    curves, same_token, points = 0, 0, 0
    for span in sample_ranges(min(group.sizes["sample"] for group in groups)):
        parts = [
            _loaded(
                place,
                group[["curve", "top_token", "completed"]]
                .sel(activation_type=types, metric=metrics)
                .isel(sample=span)
                .transpose("activation_type", "sample", "step", "metric", missing_dims="ignore"),
            )
            for place, group in zip(places, groups, strict=True)
        ]
        both = np.logical_and(*(part["completed"].to_numpy() for part in parts))
        tokens = [part["top_token"].to_numpy()[both] for part in parts]
        same_token += int((tokens[0] == tokens[1]).sum())
        curves, points = curves + int(both.sum()), points + tokens[0].size
        for place, metric in enumerate(metrics):
            one, other = (part["curve"].to_numpy()[both][..., place].astype(np.float64) for part in parts)
            apart = np.abs(one - other).max(initial=0.0)
            largest = max(np.abs(one).max(initial=0.0), np.abs(other).max(initial=0.0))
            counts[metric] = np.maximum(counts[metric], (apart, largest))
            same_step[metric] += int(_same_steps(one, other, settings, metric).sum())
    for metric in metrics if curves else ():
        apart, largest = counts[metric]
        share = float(_quotient(np.asarray(apart), np.asarray(largest)))
        yield Agreement(name, metric, curves, share, same_step[metric] / curves, same_token / points)


def _same_points(groups: list[xr.Dataset]) -> bool:
    """Whether the points of the paths are the same; a length in one run is no fraction in the other."""
    axes = [{"step", *(axis for axis in ("fraction", "length") if axis in group.coords)} for group in groups]
    return axes[0] == axes[1] and all(np.array_equal(groups[0][axis], groups[1][axis]) for axis in axes[0])


def _same_steps(
    one: NDArray[np.float64], other: NDArray[np.float64], settings: AnalysisConfig, metric: str
) -> NDArray[np.bool_]:
    read = [corrected.EVALUATED["max_slope"](curve, thresholds(settings, metric)) for curve in (one, other)]
    values, censored = zip(*read, strict=True)
    same: NDArray[np.bool_] = (censored[0] == censored[1]) & (censored[0] | (values[0] == values[1]))
    return same


def _common(axis: str, groups: list[xr.Dataset]) -> list[Any]:
    known = set(groups[1][axis].to_numpy().tolist())
    return [value for value in groups[0][axis].to_numpy().tolist() if value in known]


def _quotient(apart: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """`apart / scale`; 0 where nothing is apart, infinity where only the scale is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(apart == 0, 0.0, apart / scale)
