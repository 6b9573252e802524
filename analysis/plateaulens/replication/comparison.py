"""A run's numbers beside the authors', and whether they differ by more than sampling does.

The question to each number of data/reference is: had the authors sampled the distribution that this run has sampled,
would they have printed it? Both errors follow from the run's own base prompts: two samples are drawn from them with
replacement, one as large as the run and one as large as the authors', and the statistic's difference between the two is
noted. The middle part of many such differences is where the authors' number minus the run's lies by chance. For KS
distances, whose bootstrap lies too high, that cancels most of the bias, as both samples have it. Base prompts are drawn
whole, so a type's values and those of the type it is compared with stay paired.

Steps are numbers of points, and the authors' points lie otherwise: they have 100 of them, k / 99 of a path or k * 50 /
99 units from its start, and presets 101, k / 100 or k * 0.5. What happens at a share f of the path is seen at the point
after 99 f there and after 100 f here. A run's steps are counted on their grid before they are compared (`their_steps`),
whatever its own is.

`Measurements` finds what a run, or its summary, has measured under the names of data/reference, and `PairedSample` how
far two samples of different sizes from one distribution lie apart by chance alone.
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
from plateaulens.steps.authors import PLATEAU_THRESHOLD, POINTS
from plateaulens.steps.dataset import step_dataset, step_length
from plateaulens.store.schema import RUN_KIND
from plateaulens.summary.geometry import target_geometry

ACTIVATIONS = "activations"
"""Stands, in place of an experiment, for what is measured of the activations alone."""
ASSUMED_SAMPLES = 1000
"""Base prompts that the authors are taken to have used where they do not say: the paper's number."""
KS_READING_ERROR = 0.01
"""How far a KS distance that was computed from a digitised figure may be off."""
BINS = 2000
"""Most places at which distribution functions are compared; with more different values, quantiles of them are."""

STEP_LENGTH = 50 / (POINTS - 1)
"""Between two of the authors' points, where steps have a length: they multiply `linspace(0, 100, 100)` by 0.5. (Their
search for an event ends floor(path length / 0.5) points from the start, up to 1 % of the path beyond the target.)"""

PLATEAU_END = PLATEAU_THRESHOLD
"""The L2 distance at which their plateaus end, whatever the analysis counts as one."""

_SENTINELS = {"max_slope": POINTS - 1.0, "first_nonlinearity": float(POINTS), "plateau_length": float(POINTS)}
"""What the authors count an event as that does not happen, on their grid."""
_COUNTS_AT_ONCE = 2**22
"""Most counts of base prompts that are in memory at once."""
_SAE = "gpt2-small-res-jb"
_SITES = ("blocks.1.hook_resid_pre", "blocks.11.hook_resid_post")
"""With `_SAE`, the authors' release of SAEs and their write and read sites."""


class Comparison(NamedTuple):
    """One number of the authors' and the run's."""

    experiment: str
    statistic: str
    metric: str
    activation_type: str
    quantity: str
    """`mean`, `median` or `sd`, in the units of the statistic, or `ks`."""
    authors: float
    """Their number."""
    here: float
    """The run's; of a step, on the authors' grid."""
    lower: float
    """Where the authors' number minus the run's lies by sampling alone, with the wanted confidence: from here."""
    upper: float
    """And up to here."""
    inside: bool
    """Whether it does lie there, give or take the reading error."""
    n_authors: int
    """Base prompts of the authors'."""
    n_is_assumed: bool
    """Whether they do not say how many, so that it is `ASSUMED_SAMPLES`."""
    n_here: int
    """Base prompts of the run that have a value."""
    reading_error: float
    """How far the authors' number may be off because it was read off a figure."""
    source: str
    """Notebook, commit and cell."""
    note: str
    scale: float
    """Of the authors' steps in one of the run's, by which its step statistics are multiplied; 1 for what is no step."""


def is_replication(config: RunConfig) -> bool:
    """Whether a run has the authors' model, SAE and sites, so that their numbers are to be expected.

    Parameters
    ----------
    config
        The run's configuration.

    Returns
    -------
    bool
        True for GPT-2 small under any path or owner, with an SAE of gpt2-small-res-jb at the authors' sites.
    """
    model = config.model.source.rstrip("/").rpartition("/")[2]
    has_sae = config.sae is not None and _SAE in config.sae.source
    sites = config.sites
    return model == "gpt2" and has_sae and (sites.write, sites.read) == _SITES and not sites.frozen


def compare_reference(tree: xr.DataTree, settings: AnalysisConfig) -> list[Comparison]:
    """Every number of data/reference that a run or its summary has as well, beside the run's.

    Parameters
    ----------
    tree
        A run or its summary, open.
    settings
        Resamples, confidence and seed, from which alone random numbers come; of a run also the constants of the step
        statistics.

    Returns
    -------
    list of Comparison
        In the order of data/reference. Step statistics are in the authors' convention. Of a summary those rows are
        missing that take single curves (means over all steps, pooled distances).
    """
    rng = np.random.default_rng([settings.seed, *b"reference"])
    measurements = Measurements(tree, settings)
    rows: list[Comparison] = []
    for authors in _authors():
        found = measurements.get(authors["experiment"], authors["statistic"], authors["metric"])
        sample = None if found is None else _sample(found, authors["activation_type"], authors["dropped_above"])
        if found is not None and sample is not None:
            rows.extend(_compare(authors, sample, found.scale, settings, rng))
    return rows


def _authors() -> Iterator[dict[str, Any]]:
    """Every row of data/reference, those on activations under the columns of the others."""
    activations = read_activation_reference().rename(columns={"quantity": "statistic", "value": "mean"})
    place = {"experiment": ACTIVATIONS, "metric": "", "activation_type": "base"}
    tables = read_reference(), activations.assign(**place)
    columns = list(dict.fromkeys(name for table in tables for name in table))
    for table in tables:
        for row in table.reindex(columns=columns).to_dict("records"):
            yield {str(key): value for key, value in row.items()}


def _sample(found: "Measured", activation_type: str, dropped_above: float) -> "PairedSample | None":
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
    authors: dict[str, Any], sample: "PairedSample", scale: float, settings: AnalysisConfig, rng: np.random.Generator
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
            scale=scale,
        )


def _is_inside(difference: float, interval: NDArray[np.float64], reading_error: float) -> bool:
    return bool(interval[0] - reading_error <= difference <= interval[1] + reading_error)


class Measured(NamedTuple):
    """A number, or a row of numbers, for each type and base prompt."""

    types: tuple[str, ...]
    values: NDArray[np.float64]
    """(type, sample) or (type, sample, number); NaN where there is none. Steps are on the authors' grid."""
    scale: float = 1.0
    """What the run's own steps were multiplied by."""


def steps_scale(experiment: xr.Dataset) -> float:
    """How many of the authors' steps one step of an experiment is.

    Parameters
    ----------
    experiment
        The experiment's group of a run or of a summary.

    Returns
    -------
    float
        99 / (points - 1) where steps are parts of the path, else step length / 0.505: 0.99 for either default.

    Examples
    --------
    >>> round(steps_scale(xr.Dataset(coords={"step": range(101)})), 4)
    0.99
    >>> round(steps_scale(xr.Dataset(coords={"step": range(3), "length": ("step", [0.0, 0.5, 1.0])})), 4)
    0.99
    """
    length = step_length(experiment)
    return (POINTS - 1) / (experiment.sizes["step"] - 1) if length is None else length / STEP_LENGTH


def their_steps(
    value: NDArray[np.float64], censored: NDArray[np.bool_], statistic: str, scale: float
) -> NDArray[np.float64]:
    """Steps of the authors' convention on the authors' grid.

    Parameters
    ----------
    value
        Steps on the run's own grid, of any shape.
    censored
        Whether there is no event, of that shape.
    statistic
        Its name.
    scale
        That of `steps_scale`.

    Returns
    -------
    NDArray[np.float64]
        In their steps, not whole ones, of that shape. An event that does not happen has the number that they give it,
        which is on their grid already.
    """
    absent = np.where(np.isnan(value), np.nan, _SENTINELS.get(statistic, np.nan))
    return np.where(censored, absent, value * scale)


class Moments(NamedTuple):
    """Mean and population standard deviation of a step, as the authors print them."""

    mean: float
    sd: float


def their_moments(experiment: xr.Dataset, statistic: str, metric: str, activation_type: str) -> Moments:
    """Mean and standard deviation of a summary's steps, in the authors' convention and on their grid.

    Parameters
    ----------
    experiment
        The experiment's group of a summary.
    statistic, metric, activation_type
        What to take of it.

    Returns
    -------
    Moments
        In their steps; NaN without any.
    """
    own = experiment[["step_value", "censored"]].sel(
        convention="authors", statistic=statistic, metric=metric, activation_type=activation_type
    )
    steps = their_steps(own["step_value"].to_numpy(), own["censored"].to_numpy(), statistic, steps_scale(experiment))
    known = steps[np.isfinite(steps)]
    return Moments(float(known.mean()), float(known.std())) if known.size else Moments(np.nan, np.nan)


class Measurements:
    """The quantities of a run or of its summary; step statistics in the authors' convention, on the authors' grid.

    Parameters
    ----------
    tree
        A run or its summary, open.
    settings
        The constants of the step statistics, of a run; a summary has them computed already.
    """

    def __init__(self, tree: xr.DataTree, settings: AnalysisConfig) -> None:
        self._tree = tree
        self._settings = settings
        self._steps: dict[str, xr.Dataset] = {}
        self._is_run = tree.attrs["kind"] == RUN_KIND

    def get(self, experiment: str, statistic: str, metric: str) -> Measured | None:
        """One quantity of every base prompt.

        A summary has no curves but those of examples, so `curve_mean` (over all steps) and `pooled_curve` (the values
        of all steps) are known of a run only.

        Parameters
        ----------
        experiment
            Name of an experiment, or `ACTIVATIONS`.
        statistic
            A step statistic, `end_value`, `curve_mean` or `pooled_curve`; of activations `active_latents` or
            `distance_from_mean`.
        metric
            Name of the metric; of no meaning for activations.

        Returns
        -------
        Measured or None
            In steps, in the units of the metric, or as the statistic is counted; None when the run or the summary does
            not have it.
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
            self._steps[experiment] = step_dataset(group, self._settings, experiment) if self._is_run else group
        own = self._steps[experiment].sel(convention="authors", statistic=statistic, metric=metric)
        scale = steps_scale(self._tree[experiment].to_dataset())
        value, censored = (own[name].transpose("activation_type", "sample") for name in ("step_value", "censored"))
        steps = their_steps(value.to_numpy(), censored.to_numpy(), statistic, scale)
        return Measured(_types(value), steps, scale)

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


@dataclass(frozen=True, eq=False)
class PairedSample:
    """Values of one type, and of the type it is compared with, for the same base prompts; its length is theirs."""

    values: NDArray[np.float64]
    """(sample,), or (sample, number) when every base prompt has several; NaN is left out."""
    other: NDArray[np.float64] | None = None
    """In the same shape, or None where there is nothing to compare with."""

    def __len__(self) -> int:
        return len(self.values)

    def statistics(self, counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The statistics of samples that are made of these base prompts.

        Parameters
        ----------
        counts
            (row, sample), how often each base prompt is there in each of the samples.

        Returns
        -------
        dict of str to ndarray
            `mean`, `sd` (population) and `median` (the lower one) in the units of the values, and `ks` unless there is
            no other type, each (row,); NaN where a row counts no value.
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
        """Where a statistic of a sample of another size, minus that of one of this size, lies by chance.

        Both are drawn with replacement from the base prompts that are here.

        Parameters
        ----------
        size
            Base prompts of the sample of the other size.
        draws
            How many pairs of samples are drawn.
        confidence
            The share of the differences that the interval holds.
        rng
            Where random numbers come from.

        Returns
        -------
        dict of str to ndarray
            By statistic, as in `statistics`, lower and upper end of the central interval, (2,).
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
