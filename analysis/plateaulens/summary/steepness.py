"""How steep a blowup is, on a scale that models share: a straight line has steepness 1.

Janiak et al. (2024, arXiv:2409.17113) draw the distance d(a) of the output at a part a of the way as d(a) / d(1), and
take its largest derivative for how sharply one stable region ends. Step statistics say when that happens; this says
whether it happens at all, and it does not depend on the size of a model's residual stream.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.intervals import studentised_interval
from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.store.reading import sample_ranges
from plateaulens.summary.attributes import Attributes, attrs, interval_attrs
from plateaulens.summary.verdicts import steepness_relation, word_array

DIMS = ("metric", "activation_type", "sample")


def steepness(curve: NDArray[np.floating]) -> NDArray[np.float64]:
    """The largest derivative of y(a) / y(1), K max_k (y_k - y_{k-1}) / y_K, of curves with y_0 = 0.

    Parameters
    ----------
    curve
        Curves y, (..., 1 + K).

    Returns
    -------
    NDArray[np.float64]
        Steepness, (...): at least 1, and 1 for a straight line. NaN for a curve that does not end above 0, or holds a
        NaN.

    Examples
    --------
    >>> steepness(np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 3.0, 4.0], [0.0, 1.0, 1.0, 1.0, 0.0]]))
    array([ 1.,  3., nan])
    """
    rise = np.diff(curve.astype(np.float64), axis=-1)
    end = np.where(curve[..., -1] > 0, curve[..., -1], np.nan)
    steepest: NDArray[np.float64] = rise.shape[-1] * rise.max(axis=-1) / end
    return steepest


def steepness_dataset(
    experiment: xr.Dataset, resampling: Resampling, confidence: float, *, reference: str
) -> xr.Dataset:
    """The steepness of every curve, and its geometric means over base prompts.

    Means are geometric because a curve that ends near 0 can be any number of times steeper than a straight line;
    intervals are studentised bootstrap intervals of mean logarithms. The last step stands for the end: the target in
    relative steps, the end of the window in absolute ones.

    Parameters
    ----------
    experiment
        An experiment's group of a run, whose curves are read in ranges of base prompts.
    resampling
        Resamples of its base prompts.
    confidence
        The nominal coverage of intervals.
    reference
        The activation type that the others are compared with.

    Returns
    -------
    xarray.Dataset
        - `steepness(metric, activation_type, sample)` of every curve, a number without units; means leave out those
          that are NaN;
        - `steepness_mean(metric, activation_type)`, a type's own, and `steepness_ratio`, that of its steepness over the
          reference's within base prompts, each with `*_interval(..., bound)`;
        - `steepness_relation(metric, activation_type)`: the word on each ratio, by its interval.
    """
    parts = []
    for rows in sample_ranges(experiment.sizes["sample"]):
        curve = experiment["curve"].isel(sample=rows).transpose(*DIMS, "step").to_numpy()
        parts.append(steepness(curve))
    value = np.concatenate(parts, axis=-1)
    logarithm = np.log(value)
    real = [str(name) for name in experiment["activation_type"].to_numpy()].index(reference)
    words = "steepness: largest derivative of the curve over its mean one"
    variables: dict[str, tuple[tuple[str, ...], NDArray[np.float64], Attributes]] = {
        "steepness": (DIMS, value, attrs(words, "1"))
    }
    for name, each, described in (
        ("steepness_mean", logarithm, f"geometric mean {words}"),
        ("steepness_ratio", logarithm - logarithm[:, [real]], f"geometric mean ratio to real of {words}"),
    ):
        mean, interval = _geometric(each, resampling, confidence)
        attributes = interval_attrs(described, "1", resampling, confidence) | {"method": "studentised"}
        variables[name] = (DIMS[:2], mean, attrs(described, "1"))
        variables[f"{name}_interval"] = ((*DIMS[:2], "bound"), interval, attributes)
    found = xr.Dataset(variables)
    relation = word_array(steepness_relation, found["steepness_ratio_interval"]).assign_attrs(
        attrs(f"whether curves are steeper than those towards {reference}", "1"), confidence=confidence
    )
    return found.assign(steepness_relation=relation)


def _geometric(
    logarithm: NDArray[np.float64], resampling: Resampling, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The geometric mean (...) over the last axis and its interval (..., 2), from logarithms; NaN is left out."""
    there = np.isfinite(logarithm)
    known = np.moveaxis(np.where(there, logarithm, 0.0), -1, 0)
    number = resampling.sums(np.moveaxis(there, -1, 0))
    mean = ratio(resampling.sums(known), number)
    variance = np.maximum(ratio(resampling.sums(known**2), number) - mean**2, 0.0)
    error = np.sqrt(ratio(variance, np.maximum(number - 1, 0)))
    simple = percentile_interval(mean[1:], confidence)
    return np.exp(mean[0]), np.exp(studentised_interval(mean, error, confidence, fallback=simple))
