"""Every step statistic of a block of curves under both conventions, as plain arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.steps import authors, corrected
from plateaulens.steps.curves import CONVENTIONS, STATISTICS, StepValues, as_curves, undefined


def step_statistics(
    curve: NDArray[np.floating],
    path_length: ArrayLike,
    metrics: Sequence[str],
    *,
    step_length: float | None,
    settings: AnalysisConfig,
) -> StepValues:
    """All statistics of curves shaped (metric, ..., step), as arrays shaped (convention, statistic, metric, ...).

    `path_length` has the shape of one metric's curves without the step axis, and serves the authors' search window
    alone; `step_length` is the distance between two steps, None for steps relative to the path. Under the corrected
    convention a metric without a plateau threshold has no plateau length (NaN, not censored); under the authors' only
    `l2` has one. Incomplete curves are NaN and not censored.

    Raises `UsageError` when `settings.minimum_slope` lacks one of the metrics.
    """
    window = authors.search_window(path_length, step_length)
    shape = (len(CONVENTIONS), len(STATISTICS), *curve.shape[:-1])
    value, censored = np.empty(shape), np.empty(shape, dtype=np.bool_)
    for m, metric in enumerate(metrics):
        conventions = (_corrected(curve[m], metric, settings), _authors(curve[m], metric, window))
        for c, results in enumerate(conventions):
            for s, name in enumerate(STATISTICS):
                value[c, s, m], censored[c, s, m] = results[name]
    return StepValues(value, censored)


def _corrected(curve: NDArray[np.floating], metric: str, settings: AnalysisConfig) -> dict[str, StepValues]:
    if metric not in settings.minimum_slope:
        raise UsageError(f"analysis.minimum_slope has no value for metric {metric!r}: add one to the preset")
    slope = settings.minimum_slope[metric]
    threshold = settings.plateau_threshold.get(metric)
    plateau = undefined(as_curves(curve)) if threshold is None else corrected.plateau_length(curve, threshold)
    return {
        "max_slope": corrected.max_slope(curve, slope),
        "first_nonlinearity": corrected.first_nonlinearity(curve, settings.nonlinearity_tolerance, floor=slope),
        "auc_ratio": corrected.auc_ratio(curve, slope),
        "plateau_length": plateau,
    }


def _authors(curve: NDArray[np.floating], metric: str, window: NDArray[np.int_]) -> dict[str, StepValues]:
    return {
        "max_slope": authors.max_slope(curve, window),
        "first_nonlinearity": authors.first_nonlinearity(curve),
        "auc_ratio": authors.auc_ratio(curve, window),
        "plateau_length": authors.plateau_length(curve) if metric == "l2" else undefined(as_curves(curve)),
    }
