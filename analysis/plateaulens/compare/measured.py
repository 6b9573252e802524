"""What a run, or its summary, has measured of every base prompt, under the names of data/reference."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.geometry import target_geometry
from plateaulens.config import AnalysisConfig
from plateaulens.steps.curves import STATISTICS
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.schema import RUN_KIND

ACTIVATIONS = "activations"
"""Stands, in place of an experiment, for what is measured of the activations alone."""


class Measured(NamedTuple):
    """A number, or a row of numbers, for each type and base prompt."""

    types: tuple[str, ...]
    values: NDArray[np.float64]
    """(type, sample) or (type, sample, number); NaN where there is none."""


class Measurements:
    """The quantities of a run or of its summary; step statistics in the authors' conventions."""

    def __init__(self, tree: xr.DataTree, settings: AnalysisConfig) -> None:
        self._tree = tree
        self._settings = settings
        self._steps: dict[str, xr.Dataset] = {}
        self._is_run = tree.attrs["kind"] == RUN_KIND

    def get(self, experiment: str, statistic: str, metric: str) -> Measured | None:
        """One quantity, None when the run or the summary does not have it.

        A summary has no curves but those of examples, so `curve_mean` (over all steps) and `pooled_curve` (the values
        of all steps) are known of a run only.
        """
        if experiment == ACTIVATIONS:
            return self._activations(statistic)
        if experiment not in self._tree.children or metric not in set(self._tree[experiment].coords["metric"].values):
            return None
        if statistic in STATISTICS:
            return self._step(experiment, statistic, metric)
        values = self._of_curves(self._tree[experiment].to_dataset().sel(metric=metric), statistic)
        return None if values is None else _named(values)

    def _of_curves(self, group: xr.Dataset, statistic: str) -> xr.DataArray | None:
        if statistic == "end_value":
            return group["curve"].isel(step=-1) if self._is_run else group["end_value"]
        if self._is_run and statistic == "curve_mean":
            return group["curve"].mean("step", skipna=False)
        if self._is_run and statistic == "pooled_curve":
            return group["curve"]
        return None

    def _step(self, experiment: str, statistic: str, metric: str) -> Measured:
        if experiment not in self._steps:
            group = self._tree[experiment].to_dataset()
            self._steps[experiment] = step_dataset(group, self._settings) if self._is_run else group
        value = self._steps[experiment]["step_value"]
        return _named(value.sel(convention="authors", statistic=statistic, metric=metric))

    def _activations(self, statistic: str) -> Measured | None:
        group = self._tree[ACTIVATIONS if self._is_run else "geometry"].to_dataset()
        if statistic == "active_latents":
            active = group["active_latents"].to_numpy().astype(np.float64)
            counted = np.where(active < 0, np.nan, active)
            return Measured(("base",), counted[np.newaxis]) if np.isfinite(counted).any() else None
        if statistic == "distance_from_mean":
            return _distance_from_mean(group) if self._is_run else _named(group[statistic])
        return None


def _distance_from_mean(activations: xr.Dataset) -> Measured:
    base, target = (activations[name].to_numpy().astype(np.float64) for name in ("base", "target"))
    distance = target_geometry(base, target, np.nanmean(base, axis=0))["distance_from_mean"]
    return Measured(_types(activations["target"]), distance)


def _named(values: xr.DataArray) -> Measured:
    ordered = values.transpose("activation_type", "sample", ...)
    return Measured(_types(ordered), ordered.to_numpy().astype(np.float64))


def _types(values: xr.DataArray) -> tuple[str, ...]:
    return tuple(str(name) for name in values["activation_type"].to_numpy())
