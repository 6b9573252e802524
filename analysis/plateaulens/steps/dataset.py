"""The step statistics of a stored experiment under both conventions: as arrays, and as a dataset with named axes."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from plateaulens import names
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.steps import authors, corrected
from plateaulens.steps.curves import StepValues, Thresholds, as_curves, undefined
from plateaulens.store.reading import sample_ranges

DIMS = ("convention", "statistic", "metric", "activation_type", "sample")
"""Dimensions of the step statistics of an experiment."""


def step_dataset(experiment: xr.Dataset, settings: AnalysisConfig, name: str | None = None) -> xr.Dataset:
    """The step statistics of every curve of an experiment.

    Samples are read range by range, so memory does not grow with the run except for the result. See `step_statistics`
    for what is undefined where.

    Parameters
    ----------
    experiment
        The experiment's group of a run, `curve` (activation_type, sample, step, metric) and `path_length`
        (activation_type, sample), lazily or in memory.
    settings
        Which statistics, in their order, and the constants that they depend on.
    name
        The experiment's name, for the message of an error.

    Returns
    -------
    Dataset
        `step_value`, in steps, and `censored`, in the dimensions `DIMS`, with what conventions, statistics, metrics and
        families of tests are in words.

    Raises
    ------
    UsageError
        For a metric without a minimum slope, which this version does not know, and for curves and path lengths that are
        not finite, other than the NaN of what is not measured yet.
    """
    types, samples, metrics = (experiment[name].size for name in ("activation_type", "sample", "metric"))
    shape = (len(names.CONVENTIONS), len(settings.statistics), metrics, types, samples)
    value, censored = np.empty(shape), np.empty(shape, dtype=np.bool_)
    for rows in sample_ranges(samples):
        read = ["curve", "path_length", *(each for each in ("completed",) if each in experiment)]
        part = experiment[read].isel(sample=rows).load()
        _check_finite(part, "" if name is None else f"experiment {name}, ", rows.start)
        value[..., rows], censored[..., rows] = step_statistics(
            part["curve"].transpose("metric", "activation_type", "sample", "step").to_numpy(),
            part["path_length"].transpose("activation_type", "sample").to_numpy(),
            [str(metric) for metric in experiment["metric"].to_numpy()],
            step_length=step_length(experiment),
            settings=settings,
        )
    found = [names.statistic(name) for name in settings.statistics]
    measured = [names.metric(str(name)) for name in experiment["metric"].to_numpy()]
    families = [[names.family(one.name, other.name) for other in measured] for one in found]
    definitions = [[one.definition for one in found], [one.authors for one in found]]
    return xr.Dataset(
        {
            "step_value": (DIMS, value, {"long_name": "step of the event", "units": "step"}),
            "censored": (DIMS, censored, {"long_name": "whether the event lies beyond the window", "units": "1"}),
        },
        coords={
            "convention": _texts("convention", names.CONVENTIONS, "convention of the step statistics"),
            "statistic": _texts("statistic", settings.statistics, "step statistic"),
            "statistic_long_name": _texts("statistic", [one.label for one in found], "step statistic in words"),
            "definition": _texts(
                ("convention", "statistic"), definitions, "what the convention makes of the statistic"
            ),
            "metric": experiment["metric"],
            "metric_definition": _texts("metric", [one.definition for one in measured], "metric in words"),
            "family": _texts(
                ("statistic", "metric"), families, "family of tests for the Benjamini-Hochberg adjustment"
            ),
            "activation_type": experiment["activation_type"],
        },
    )


def _check_finite(part: xr.Dataset, where: str, first: int) -> None:
    """Refuse an infinity in curves and path lengths, and a NaN in what counts as completed; no run measures them."""
    dims = ("activation_type", "sample")
    done = part["completed"].transpose(*dims).to_numpy() if "completed" in part else np.array(object=False)
    for name, kind in (("curve", "a point of the curve"), ("path_length", "the path length")):
        values = part[name].transpose(*dims, ...).to_numpy()
        points = tuple(range(len(dims), values.ndim))
        places = np.argwhere(np.isinf(values).any(axis=points) | (np.isnan(values).any(axis=points) & done))
        if places.size:
            t, sample = places[0]
            raise UsageError(
                f"{where}type {part['activation_type'].to_numpy()[t]}, sample {first + sample}: {kind} is no finite "
                "number: collect the run again"
            )


def step_statistics(
    curve: NDArray[np.floating],
    path_length: ArrayLike,
    metrics: Sequence[str],
    *,
    step_length: float | None,
    settings: AnalysisConfig,
) -> StepValues:
    """All statistics of some curves under both conventions.

    Under the corrected convention a metric without a plateau threshold has no plateau length (NaN, not censored); under
    the authors' only `l2` has one, and statistics that they do not have are undefined everywhere.

    Parameters
    ----------
    curve
        (metric, ..., step).
    path_length
        (...), distance from the start of each path to its target, in the units of the activation; serves the authors'
        search window alone.
    metrics
        Names along the first axis of `curve`.
    step_length
        Distance between two steps in the units of the activation, None for steps relative to the path.
    settings
        Which statistics, in their order, and the constants that they depend on.

    Returns
    -------
    StepValues
        (convention, statistic, metric, ...), in steps. Incomplete curves are NaN and not censored.

    Raises
    ------
    UsageError
        For a metric without a minimum slope, which this version does not know.
    """
    window = authors.search_window(path_length, step_length)
    shape = (len(names.CONVENTIONS), len(settings.statistics), *curve.shape[:-1])
    value, censored = np.empty(shape), np.empty(shape, dtype=np.bool_)
    for m, metric in enumerate(metrics):
        own = thresholds(settings, metric)
        for s, name in enumerate(settings.statistics):
            evaluate = authors.EVALUATED.get(name)
            found = {
                "corrected": corrected.EVALUATED[name](curve[m], own),
                "authors": undefined(as_curves(curve[m])) if evaluate is None else evaluate(curve[m], metric, window),
            }
            for c, convention in enumerate(names.CONVENTIONS):
                value[c, s, m], censored[c, s, m] = found[convention]
    return StepValues(value, censored)


def thresholds(settings: AnalysisConfig, metric: str) -> Thresholds:
    """What counts as an event on the curves of a metric.

    Parameters
    ----------
    settings
        The constants of the analysis.
    metric
        Name of the metric.

    Returns
    -------
    Thresholds
        Those of the metric, in its units.

    Raises
    ------
    UsageError
        For a metric without a minimum slope, which this version does not know.
    """
    if metric not in settings.minimum_slope:
        raise UsageError(f"metric {metric!r} has no minimum slope in this version: update plateaulens")
    return Thresholds(
        settings.minimum_slope[metric], settings.nonlinearity_tolerance, settings.plateau_threshold.get(metric)
    )


def step_length(experiment: xr.Dataset) -> float | None:
    """The distance between two steps of an experiment.

    Parameters
    ----------
    experiment
        The experiment's group of a run.

    Returns
    -------
    float or None
        In the units of the activation; None when steps are fractions of the path.
    """
    return float(experiment["length"][1]) if "length" in experiment.coords else None


def _texts(dims: str | tuple[str, ...], values: Sequence[object], long_name: str) -> xr.Variable:
    texts = np.array(list(values), dtype=np.dtypes.StringDType())
    return xr.Variable(dims, texts, {"long_name": long_name, "units": "1"})
