"""Captions of the report's figures and tables: what is shown, of how many prompts, and what bands and intervals are."""

import xarray as xr

from plateaulens.figures.style import present
from plateaulens.names import MAIN_TYPES, label, metric_label
from plateaulens.report.contents import CONTROL, confidence_of, config_of, level, types_of
from plateaulens.report.text import escape, listing, number


def max_slope_cdf(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.max_slope_cdf`."""
    return (
        f"Distribution functions of the max-slope step on L2 and KL for every activation type; {prompts(experiment)}. "
        f"A line that ends below 1 belongs to a type with censored curves."
    )


def example_curves(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.example_curves`."""
    examples = experiment.sizes["example"]
    return (
        f"Curves on L2 (top) and KL (bottom) of the first {examples} base prompts, with a dot at each max-slope step; "
        f"in the last column the mean over {prompts(experiment)}. Bands are {_bands(experiment)}."
    )


def max_slope_histograms(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.max_slope_histograms`."""
    shown = listing([label(name) for name in present(experiment, "activation_type", MAIN_TYPES)])
    return (
        f"Max-slope steps on L2 (left) and KL (right) for {shown}; {prompts(experiment)}. Bars are shares of all "
        f"prompts, vertical lines means, black outlines the histogram of real; below, the distribution functions."
    )


def plateaus(experiment: xr.Dataset, *, metric: str) -> str:
    """For `plateaulens.figures.plateaus`."""
    return (
        f"Left: mean {metric_label(metric)} curves by type of base on the way to a Gaussian draw, "
        f"{prompts(experiment)}; bands are {_bands(experiment)}. Right: share of prompts still on their plateau after "
        f"a path of that length; a plus sign marks the share that is censored at the end of the window."
    )


def target_geometry(geometry: xr.Dataset) -> str:
    """For `plateaulens.figures.target_geometry`."""
    confidence = confidence_of(geometry["path_length_interval"])
    return (
        f"Norms of the targets and lengths of the paths to them, {prompts(geometry)}: kernel density estimates, with "
        f"the mean (tick) and its {confidence} bootstrap interval (bar). The dashed "
        f"line is the mean of real."
    )


def ks_forest(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.ks_forest`."""
    control = (
        f" The grey band is the interval of {label(CONTROL)}, two independent draws of real targets: distances within "
        f"it are what chance alone produces."
        if CONTROL in types_of(experiment)
        else ""
    )
    return (
        f"Kolmogorov-Smirnov distance of each type's max-slope steps to those of real, with {level(experiment)} "
        f"uniform bands; {prompts(experiment)}.{control}"
    )


def step_table(experiment: xr.Dataset, *, what: str = "Max-slope steps") -> str:
    """For `plateaulens.report.tables.step_table`; `what` names the statistic."""
    return (
        f"{what} by activation type, {prompts(experiment)}: mean and standard deviation in steps over the prompts "
        f"whose curve has one, with {level(experiment)} bootstrap intervals in brackets."
    )


def ks_table(experiment: xr.Dataset) -> str:
    """For `plateaulens.report.tables.ks_table`."""
    return (
        f"Kolmogorov-Smirnov distance to real in the other step statistics, {prompts(experiment)}, with "
        f"{level(experiment)} uniform bands in brackets."
    )


def geometry_table(geometry: xr.Dataset) -> str:
    """For `plateaulens.report.tables.geometry_table`."""
    confidence = confidence_of(geometry["path_length_interval"])
    return (
        f"Mean norm of the targets, length of the path, cosine of target and base, and distance of the target from the "
        f"mean base, {prompts(geometry)}, with {confidence} bootstrap intervals in brackets."
    )


def authors_table(summary: xr.DataTree) -> str:
    """For `plateaulens.report.authors.authors_table`."""
    model = config_of(summary).model.source
    return (
        f"Means (population SD) of steps, and Kolmogorov-Smirnov distances to real: what the authors printed for "
        f"GPT-2, and this run ({escape(model)}) under the authors' conventions; in the last column, the KS distance "
        f"under the corrected ones. Intervals are uniform bands."
    )


def prompts(group: xr.Dataset) -> str:
    """How many base prompts the group has."""
    return f"n = {number(group.sizes['sample'], 0)} base prompts per type"


def _bands(experiment: xr.Dataset) -> str:
    confidence = confidence_of(experiment["curve_interval"])
    return f"pointwise {confidence} bootstrap intervals of the mean over base prompts"
