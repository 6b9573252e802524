"""Adjusted p-values and the verdicts that rest on them, for a comparison dataset."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.labels import label
from plateaulens.compare.multiplicity import Method, adjust_families, both_ways, once_per_pair
from plateaulens.compare.variables import P_VALUES
from plateaulens.compare.verdicts import equivalence, order
from plateaulens.config import AnalysisConfig

CONTROL = "real_control"
"""The second real set. What is tested about it checks the procedure, and is no claim about a type."""

_LEADING = ("convention", "statistic", "metric")
_IN_WORDS = {"holm": "Holm within a family", "bh": "Benjamini-Hochberg over the experiment"}


def adjusted_p_values(comparison: xr.Dataset) -> xr.Dataset:
    """`NAME_holm` and `NAME_bh` of every p-value of `plateaulens.compare.variables.P_VALUES`.

    A Holm family is the types (or pairs of types) of one convention, statistic and metric. Benjamini-Hochberg runs over
    all types, metrics and statistics of a convention: conventions are two readings of the same curves, not two sets of
    tests. Tests that involve the control are families of their own, so that they take nothing from the others.
    """
    with_control = comparison["activation_type"].to_numpy() == CONTROL
    variables = {}
    for name, described in P_VALUES.items():
        p = comparison[name].transpose(*_LEADING, *described.dims)
        pairs = "other_type" in described.dims
        tests = once_per_pair(p.to_numpy()) if pairs else p.to_numpy()
        apart = with_control[:, np.newaxis] | with_control if pairs else with_control
        sizes: dict[Method, int] = {"holm": apart.ndim, "bh": apart.ndim + len(_LEADING) - 1}
        for method, dims in sizes.items():
            adjusted = [adjust_families(np.where(members, tests, np.nan), dims, method) for members in (apart, ~apart)]
            values = np.where(apart, *adjusted)
            attributes = label(f"{described.long_name}, {_IN_WORDS[method]}", "1")
            variables[f"{name}_{method}"] = (p.dims, both_ways(values) if pairs else values, attributes)
    return xr.Dataset(variables)


def verdicts(comparison: xr.Dataset, reference: str, settings: AnalysisConfig) -> xr.Dataset:
    """`verdict` of each type and `nearness` of each pair of types, from p-values adjusted by Holm's method.

    `verdict` is that of `plateaulens.compare.verdicts.equivalence`, "undefined" for the reference itself; `nearness`
    that of `plateaulens.compare.verdicts.order`: whether `activation_type` is "nearer" to the reference than
    `other_type`, or "farther".
    """
    alpha = 1 - settings.confidence
    attributes = {"alpha": alpha, "adjustment": "Holm"}
    verdict = _words(
        lambda same, different: equivalence(same, different, alpha),
        comparison["ks_equivalence_p_holm"],
        comparison["ks_p_holm"],
    ).assign_attrs(
        label(f"verdict on {reference} and the type, by Kolmogorov-Smirnov distance", "1"),
        margin=settings.equivalence_margin,
        **attributes,
    )
    nearness = _words(
        lambda difference, p: order(difference, p, alpha),
        comparison["ks_difference"],
        comparison["ks_difference_p_holm"],
    ).assign_attrs(label(f"whether the type is nearer to {reference} than the other type", "1"), **attributes)
    return xr.Dataset({"verdict": verdict, "nearness": nearness})


def _words(function: Callable[[float, float], str], first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    words: NDArray[np.object_] = np.empty(first.shape, dtype=object)
    for index in np.ndindex(first.shape):
        words[index] = function(float(first.values[index]), float(second.values[index]))
    return xr.DataArray(words.astype(np.dtypes.StringDType()), dims=first.dims)
