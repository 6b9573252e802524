"""Step statistics of a stored experiment: the arrays of `plateaulens.steps.statistics` with names on their axes."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from plateaulens.blocks import sample_blocks
from plateaulens.config import AnalysisConfig
from plateaulens.steps.curves import CONVENTIONS, DEFINITIONS, METRIC_DEFINITIONS, STATISTICS
from plateaulens.steps.statistics import step_statistics

DIMS = ("convention", "statistic", "metric", "activation_type", "sample")


def step_length(experiment: xr.Dataset) -> float | None:
    """The distance between two steps of an experiment, None when its steps are fractions of the path."""
    return float(experiment["length"][1]) if "length" in experiment.coords else None


def step_dataset(experiment: xr.Dataset, settings: AnalysisConfig) -> xr.Dataset:
    """The step statistics of every curve of an experiment group of a run: `step_value` and `censored`.

    `experiment` holds `curve(activation_type, sample, step, metric)` and `path_length(activation_type, sample)`, lazily
    or in memory; samples are read in blocks, so memory does not grow with the run except for the result. See
    `step_statistics` for the definitions, and for NaN. Raises `UsageError` for a metric without a minimum slope.
    """
    types, samples, metrics = (experiment[name].size for name in ("activation_type", "sample", "metric"))
    shape = (len(CONVENTIONS), len(STATISTICS), metrics, types, samples)
    value, censored = np.empty(shape), np.empty(shape, dtype=np.bool_)
    for block in sample_blocks(samples):
        part = experiment[["curve", "path_length"]].isel(sample=block).load()
        value[..., block], censored[..., block] = step_statistics(
            part["curve"].transpose("metric", "activation_type", "sample", "step").to_numpy(),
            part["path_length"].transpose("activation_type", "sample").to_numpy(),
            [str(metric) for metric in experiment["metric"].to_numpy()],
            step_length=step_length(experiment),
            settings=settings,
        )
    return xr.Dataset(
        {
            "step_value": (DIMS, value, {"long_name": "step of the event", "units": "step"}),
            "censored": (DIMS, censored, {"long_name": "whether the event lies beyond the window", "units": "1"}),
        },
        coords={
            "convention": _names("convention", CONVENTIONS, "convention of the step statistics"),
            "statistic": _names("statistic", STATISTICS, "step statistic"),
            "statistic_long_name": _names("statistic", STATISTICS.values(), "step statistic in words"),
            "definition": _definitions(),
            "metric": experiment["metric"],
            "metric_definition": _names(
                "metric",
                [METRIC_DEFINITIONS.get(str(name), str(name)) for name in experiment["metric"].to_numpy()],
                "metric in words",
            ),
            "activation_type": experiment["activation_type"],
        },
    )


def _definitions() -> xr.Variable:
    """Which step a statistic names, and in which window, under each convention."""
    words = [[DEFINITIONS[convention][statistic] for statistic in STATISTICS] for convention in CONVENTIONS]
    attributes = {"long_name": "what the convention makes of the statistic", "units": "1"}
    return xr.Variable(("convention", "statistic"), np.array(words, dtype=np.dtypes.StringDType()), attributes)


def _names(dim: str, names: Iterable[str], long_name: str) -> xr.Variable:
    values = np.array(list(names), dtype=np.dtypes.StringDType())
    return xr.Variable(dim, values, {"long_name": long_name, "units": "1"})
