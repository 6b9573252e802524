"""What a run, or its summary, has measured of every base prompt, under the names of data/reference.

How far two samples of different sizes from one distribution lie apart in a statistic, by chance alone.

A run's numbers beside the authors', and whether they differ by more than sampling does.

The question to each number is: had the authors sampled the distribution that this run has sampled, would they have
printed it? Both errors follow from the run's own base prompts: two samples are drawn from them with replacement, one
as large as the run and one as large as the authors', and the statistic's difference between the two is noted. The
middle part of many such differences is where the authors' number minus the run's lies by chance. For KS distances,
whose bootstrap lies too high, that cancels most of the bias, as both samples have it. Base prompts are drawn whole, so
a type's values and those of the type it is compared with stay paired.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.distances import distances, distribution_functions
from plateaulens.compare.resampling import percentile_interval, ratio
from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.names import REFERENCE, STATISTICS
from plateaulens.replication.reference import read_activation_reference, read_reference
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.schema import RUN_KIND
from plateaulens.summary.geometry import target_geometry

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


BINS = 2000
"""Most places at which distribution functions are compared; with more different values, quantiles of them are."""
_COUNTS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class PairedSample:
    """Values of one type, and of the type it is compared with, for the same base prompts.

    Each is (samples,), or (samples, numbers) when every base prompt has several; NaN is left out. `other` is None where
    there is nothing to compare with.
    """

    values: NDArray[np.float64]
    other: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def statistics(self, counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """By name, `mean`, `sd` (population), `median` (the lower one) and `ks`, for every row of counts.

        `counts` (rows, samples) says how often each base prompt is there. `ks` is missing without another type.
        NaN where a row counts no value.
        """
        there = np.isfinite(self.values)
        middle = self.values[there].mean() if there.any() else 0.0
        # about the middle, so that the variance is no small difference of large numbers
        centred = np.where(there, self.values - middle, 0.0).reshape(len(self), -1)
        sums = [there.reshape(len(self), -1).sum(axis=1), centred.sum(axis=1), (centred**2).sum(axis=1)]
        number, first, second = (counts @ each for each in sums)
        mean = ratio(first, number)
        grid = self._grid()
        functions = distribution_functions(counts @ _histograms(self.values, grid))
        found = {
            "mean": middle + mean,
            "sd": np.sqrt(np.maximum(ratio(second, number) - mean**2, 0.0)),
            "median": np.where(number > 0, grid[np.argmax(functions >= 0.5, axis=-1)], np.nan),
        }
        if self.other is not None:
            found["ks"] = distances(functions - distribution_functions(counts @ _histograms(self.other, grid)))
        return found

    def error(
        self, size: int, draws: int, confidence: float, rng: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """By name, the central interval of a statistic of `size` base prompts minus that of as many as are here.

        Both are drawn with replacement from those here, `draws` times.
        """
        differences: dict[str, list[NDArray[np.float64]]] = {}
        rows = max(1, _COUNTS_AT_ONCE // len(self))
        for start in range(0, draws, rows):
            pair = [self.statistics(self._draw(each, min(rows, draws - start), rng)) for each in (size, len(self))]
            for name in pair[0]:
                differences.setdefault(name, []).append(pair[0][name] - pair[1][name])
        return {name: percentile_interval(np.concatenate(parts), confidence) for name, parts in differences.items()}

    def _draw(self, size: int, rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
        counts = np.empty((rows, len(self)))
        for row in counts:
            row[:] = np.bincount(rng.integers(len(self), size=size), minlength=len(self))
        return counts

    def _grid(self) -> NDArray[np.float64]:
        both = self.values if self.other is None else np.concatenate([self.values, self.other])
        places = np.unique(both[np.isfinite(both)])
        if len(places) > BINS:
            places = np.unique(np.quantile(places, np.linspace(0, 1, BINS), method="inverted_cdf"))
        return places if len(places) else np.zeros(1)


def _histograms(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many values of each base prompt are at most the grid's first place, its second but not its first, ..."""
    flat = values.reshape(len(values), -1)
    there = np.isfinite(flat)
    codes = np.arange(len(flat))[:, np.newaxis] * len(grid) + np.searchsorted(grid, np.where(there, flat, grid[0]))
    return np.bincount(codes[there], minlength=len(flat) * len(grid)).reshape(len(flat), len(grid)).astype(np.float64)


ASSUMED_SAMPLES = 1000
"""Base prompts that the authors are taken to have used where they do not say: the paper's number."""
KS_READING_ERROR = 0.01
"""How far a KS distance that was computed from a digitised figure may be off."""

_SAE = "gpt2-small-res-jb"
_SITES = ("blocks.1.hook_resid_pre", "blocks.11.hook_resid_post")


class Comparison(NamedTuple):
    """One number of the authors' and the run's."""

    experiment: str
    statistic: str
    metric: str
    activation_type: str
    quantity: str
    """`mean`, `median` or `sd`, in the units of the statistic, or `ks`."""
    authors: float
    here: float
    lower: float
    upper: float
    """Where the authors' number minus the run's lies by sampling alone, with the wanted confidence."""
    inside: bool
    """Whether it does lie there, give or take the reading error."""
    n_authors: int
    n_is_assumed: bool
    n_here: int
    reading_error: float
    source: str
    note: str


def is_replication(config: RunConfig) -> bool:
    """Whether a run has the authors' model, SAE and sites, so that their numbers are to be expected."""
    model = config.model.source.rstrip("/").rpartition("/")[2]
    has_sae = config.sae is not None and _SAE in config.sae.source
    return model == "gpt2" and has_sae and (config.sites.write, config.sites.read) == _SITES


def compare_reference(tree: xr.DataTree, settings: AnalysisConfig) -> list[Comparison]:
    """Every number of data/reference that a run or its summary has as well, beside the run's.

    Step statistics are in the authors' conventions. Of a summary those rows are missing that take single curves (means
    over all steps, pooled distances). Random numbers come from `settings.seed` alone.
    """
    rng = np.random.default_rng([settings.seed, *b"reference"])
    measurements = Measurements(tree, settings)
    rows: list[Comparison] = []
    for authors in _authors():
        found = measurements.get(authors["experiment"], authors["statistic"], authors["metric"])
        sample = None if found is None else _sample(found, authors["activation_type"], authors["dropped_above"])
        if sample is not None:
            rows.extend(_compare(authors, sample, settings, rng))
    return rows


def _authors() -> Iterator[dict[str, Any]]:
    """Every row of data/reference, those on activations under the columns of the others."""
    activations = read_activation_reference().rename(columns={"quantity": "statistic", "value": "mean"})
    place = {"experiment": ACTIVATIONS, "metric": "", "activation_type": "base"}
    table = pd.concat([read_reference(), activations.assign(**place)])
    for row in table.to_dict("records"):
        yield {str(key): value for key, value in row.items()}


def _sample(found: Measured, activation_type: str, dropped_above: float) -> PairedSample | None:
    """The values that a row of the reference is about; None when the run does not have the type."""
    kind, _, other = activation_type.partition(" vs ")
    other = other or REFERENCE
    if kind not in found.types:
        return None
    kept = np.where(found.values > dropped_above, np.nan, found.values)
    values = dict(zip(found.types, kept, strict=True))
    compared = values.get(other) if kind != other else None
    concerned = found.values[[index for index, name in enumerate(found.types) if name in (kind, other)]]
    has_value = np.isfinite(concerned).reshape(*concerned.shape[:2], -1)
    complete: NDArray[np.bool_] = np.all(np.any(has_value, axis=2), axis=0)
    if not complete.any():
        return None
    return PairedSample(values[kind][complete], None if compared is None else compared[complete])


def _compare(
    authors: dict[str, Any], sample: PairedSample, settings: AnalysisConfig, rng: np.random.Generator
) -> Iterator[Comparison]:
    assumed = bool(pd.isna(authors["n"]))
    size = ASSUMED_SAMPLES if assumed else int(authors["n"])
    reading_error = 0.0 if pd.isna(authors["reading_error"]) else float(authors["reading_error"])
    here = sample.statistics(np.ones((1, len(sample))))
    error = sample.error(size, settings.resamples, settings.confidence, rng)
    for quantity, value in here.items():
        if pd.isna(authors[quantity]):
            continue
        read = min(reading_error, KS_READING_ERROR) if quantity == "ks" else reading_error
        yield Comparison(
            experiment=authors["experiment"],
            statistic=authors["statistic"],
            metric=authors["metric"],
            activation_type=authors["activation_type"],
            quantity=quantity,
            authors=float(authors[quantity]),
            here=float(value[0]),
            lower=float(error[quantity][0]),
            upper=float(error[quantity][1]),
            inside=_is_inside(float(authors[quantity]) - float(value[0]), error[quantity], read),
            n_authors=size,
            n_is_assumed=assumed,
            n_here=len(sample),
            reading_error=read,
            source=authors["source"],
            note="" if pd.isna(authors["note"]) else authors["note"],
        )


def _is_inside(difference: float, interval: NDArray[np.float64], reading_error: float) -> bool:
    return bool(interval[0] - reading_error <= difference <= interval[1] + reading_error)
