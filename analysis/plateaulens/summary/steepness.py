"""How steep a blowup is, on a scale that models share: a straight line has steepness 1.

Janiak et al. (2024, arXiv:2409.17113) draw the distance d(a) of the output at a part a of the way as d(a) / d(1), and
take its largest derivative for how sharply one stable region ends. Step statistics say when that happens; this says how
sharply, and it does not depend on the size of a model's residual stream. Whether it happens at all it cannot say: noise
has no scale either. So a curve has a steepness only where it counts as blowing up, by the minimum slope of its metric.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.intervals import AT_LEAST_STUDENTS, mean_interval
from plateaulens.compare.resampling import Resampling, ratio
from plateaulens.store.reading import sample_ranges
from plateaulens.summary.attributes import Attributes, attrs, interval_attrs
from plateaulens.summary.verdicts import steepness_relation, word_array

DIMS = ("metric", "activation_type", "sample")


def steepness(curve: NDArray[np.floating], minimum_slope: float = 0.0) -> NDArray[np.float64]:
    """The largest derivative of y(a) / y(1), K max_k (y_k - y_{k-1}) / y_K, of curves with y_0 = 0.

    Parameters
    ----------
    curve
        Curves y, (..., 1 + K).
    minimum_slope
        The rise of one step that a curve's steepest one, and its end, must exceed, in units of the curve: the threshold
        of the max-slope step.

    Returns
    -------
    NDArray[np.float64]
        Steepness, (...): at least 1, and 1 for a straight line. NaN for a curve that rises too little, does not end
        above 0, or holds a NaN.

    Examples
    --------
    >>> steepness(np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 3.0, 4.0], [0.0, 1.0, 1.0, 1.0, 0.0]]))
    array([ 1.,  3., nan])
    >>> steepness(np.array([0.0, 0.0, 1e-6]), minimum_slope=0.02)
    np.float64(nan)
    """
    rise = np.diff(curve.astype(np.float64), axis=-1).max(axis=-1)
    end = curve[..., -1].astype(np.float64)
    blows_up = (rise > minimum_slope) & (end > minimum_slope)
    return int(curve.shape[-1] - 1) * ratio(np.where(blows_up, rise, np.nan), np.where(blows_up, end, 1.0))


def steepness_dataset(
    experiment: xr.Dataset,
    resampling: Resampling,
    confidence: float,
    minimum_slope: Mapping[str, float],
    *,
    reference: str,
) -> xr.Dataset:
    """The steepness of every curve, and its geometric means over base prompts.

    Means are geometric because a curve that ends near 0 can be any number of times steeper than a straight line;
    intervals are those of mean logarithms, studentised and at least Student's. The last step stands for the end: the
    target in relative steps, the end of the window in absolute ones.

    Parameters
    ----------
    experiment
        An experiment's group of a run, whose curves are read in ranges of base prompts.
    resampling
        Resamples of its base prompts.
    confidence
        The nominal coverage of intervals.
    minimum_slope
        Of each metric, the rise of one step that a curve must exceed to have a steepness.
    reference
        The activation type that the others are compared with.

    Returns
    -------
    xarray.Dataset
        - `steepness(metric, activation_type, sample)` of every curve, a number without units; NaN for one that does
          not blow up, which means leave out;
        - `steepness_n` and `steepness_n_pairs(metric, activation_type)`: how many curves have one, and how many base
          prompts have one for the type and for the reference;
        - `steepness_mean(metric, activation_type)`, a type's own, and `steepness_ratio`, that of its steepness over the
          reference's within base prompts, each with `*_interval(..., bound)`;
        - `steepness_relation(metric, activation_type)`: the word on each ratio, by its interval, on at least
          `plateaulens.summary.verdicts.MINIMUM_PAIRS` base prompts.
    """
    thresholds = [minimum_slope[str(name)] for name in experiment["metric"].to_numpy()]
    parts = []
    for rows in sample_ranges(experiment.sizes["sample"]):
        curve = experiment["curve"].isel(sample=rows).transpose(*DIMS, "step").to_numpy()
        parts.append(np.stack([steepness(own, least) for own, least in zip(curve, thresholds, strict=True)]))
    value = np.concatenate(parts, axis=-1)
    logarithm = np.log(value)
    real = [str(name) for name in experiment["activation_type"].to_numpy()].index(reference)
    words = "steepness: largest derivative of the curve over its mean one"
    variables: dict[str, tuple[tuple[str, ...], NDArray[np.float64], Attributes]] = {
        "steepness": (DIMS, value, attrs(words, "1")),
        "steepness_n": (DIMS[:2], np.isfinite(value).sum(axis=-1), attrs("curves that blow up", "1")),
        "steepness_n_pairs": (
            DIMS[:2],
            (np.isfinite(value) & np.isfinite(value[:, [real]])).sum(axis=-1),
            attrs("base prompts whose curves blow up for the type and for real", "1"),
        ),
    }
    for name, each, described in (
        ("steepness_mean", logarithm, f"geometric mean {words}"),
        ("steepness_ratio", logarithm - logarithm[:, [real]], f"geometric mean ratio to real of {words}"),
    ):
        mean, interval = _geometric(each, resampling, confidence)
        attributes = interval_attrs(described, "1", resampling, confidence) | {"method": AT_LEAST_STUDENTS}
        variables[name] = (DIMS[:2], mean, attrs(described, "1"))
        variables[f"{name}_interval"] = ((*DIMS[:2], "bound"), interval, attributes)
    found = xr.Dataset(variables)
    relation = word_array(
        steepness_relation, found["steepness_ratio_interval"], found["steepness_n_pairs"]
    ).assign_attrs(attrs(f"whether curves are steeper than those towards {reference}", "1"), confidence=confidence)
    return found.assign(steepness_relation=relation)


def _geometric(
    logarithm: NDArray[np.float64], resampling: Resampling, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The geometric mean (...) over the last axis and its interval (..., 2), from logarithms; NaN is left out."""
    there = np.isfinite(logarithm)
    found = mean_interval(np.where(there, logarithm, 0.0), there, resampling, confidence)
    with np.errstate(over="ignore"):  # of a handful of curves a bound may lie beyond every number: it is infinite
        return np.exp(found.estimate), np.exp(found.interval)
