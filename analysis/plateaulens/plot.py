"""The figures of the report, of a summary that is held as a tree; each is a `matplotlib.figure.Figure`.

Each function takes the summary, and where the figure is of one experiment its name (the first one unless told), and
hands everything else on to the figure of its name in `plateaulens.figures`. A figure is shown by being the last line
of a cell.
"""

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from plateaulens import figures
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.names import MAIN_METRICS
from plateaulens.notebook.runs import experiment_of
from plateaulens.store.reading import check_summary
from plateaulens.store.schema import SUMMARY_KIND


def max_slope_cdf(summary: xr.DataTree, experiment: str | None = None, **options: Any) -> Figure:
    """Where the steepest rise is, as a distribution by type. See `plateaulens.figures.max_slope_cdf`."""
    return figures.max_slope_cdf(_experiment(summary, experiment, options), **options)


def max_slope_histograms(summary: xr.DataTree, experiment: str | None = None, **options: Any) -> Figure:
    """The same as histograms. See `plateaulens.figures.max_slope_histograms`."""
    return figures.max_slope_histograms(_experiment(summary, experiment, options), **options)


def quantile_shifts(summary: xr.DataTree, experiment: str | None = None, **options: Any) -> Figure:
    """By how much quantiles are shifted against real. See `plateaulens.figures.quantile_shifts`."""
    return figures.quantile_shifts(_experiment(summary, experiment, options), **options)


def example_curves(summary: xr.DataTree, experiment: str | None = None, **options: Any) -> Figure:
    """Curves of single prompts, and the mean over all. See `plateaulens.figures.example_curves`."""
    return figures.example_curves(_experiment(summary, experiment, options), **options)


def survival_curves(summary: xr.DataTree, experiment: str | None = None, **options: Any) -> Figure:
    """The share of prompts that have not blown up. See `plateaulens.figures.survival_curves`."""
    return figures.survival_curves(_experiment(summary, experiment, options), **options)


def plateaus(summary: xr.DataTree, experiment: str | None = None, **options: Any) -> Figure:
    """How long plateaus are, of the experiment `plateau` where it is there. See `plateaulens.figures.plateaus`."""
    group = _experiment(summary, experiment, options, preferred="plateau")
    metric = str(options.get("metric", MAIN_METRICS[0]))
    with reading("the summary's attribute analysis is damaged", "compare the run again"):
        thresholds = AnalysisConfig.model_validate(json.loads(str(summary.attrs["analysis"]))).plateau_threshold
    if "threshold" not in options and metric not in thresholds:
        raise UsageError(f"the analysis has no plateau_threshold for {metric}: give threshold=")
    return figures.plateaus(group, **{"threshold": thresholds.get(metric), **options})


def ks_forest(summary: xr.DataTree, experiment: str | None = None, **options: Any) -> Figure:
    """How far every type is from real, with its interval. See `plateaulens.figures.ks_forest`."""
    return figures.ks_forest(_experiment(summary, experiment, options), **options)


def adjusted_differences(summary: xr.DataTree, **options: Any) -> Figure:
    """Differences to real at equal geometry. See `plateaulens.figures.adjusted_differences`."""
    return figures.adjusted_differences(_group(summary, "confounds", options), **options)


def constant_sensitivity(summary: xr.DataTree, **options: Any) -> Figure:
    """Conclusions as the constants of the analysis move. See `plateaulens.figures.constant_sensitivity`."""
    return figures.constant_sensitivity(_group(summary, "constants", options), **options)


def distinguishability(summary: xr.DataTree, **options: Any) -> Figure:
    """How well targets are told from real ones. See `plateaulens.figures.distinguishability`."""
    return figures.distinguishability(_group(summary, "distinguish"), **options)


def target_geometry(summary: xr.DataTree, **options: Any) -> Figure:
    """Where the targets lie. See `plateaulens.figures.target_geometry`."""
    return figures.target_geometry(_group(summary, "geometry", options), **options)


def sae_shares(scale: Any, **options: Any) -> Figure:
    """SAEs on their scale, of `score_sae(...).data`. See `plateaulens.figures.sae_shares`."""
    if not isinstance(scale, xr.Dataset) or "share" not in scale:
        raise UsageError("sae_shares draws the data of score_sae: give scores.data")
    _check_drawn(scale, options)
    return figures.sae_shares(scale, **options)


def _group(summary: xr.DataTree, name: str, options: Mapping[str, Any] = MappingProxyType({})) -> xr.Dataset:
    _check(summary)
    if name not in summary.children:
        raise UsageError(f"the summary has no group {name}: compare the run again")
    group = summary[name].to_dataset()
    _check_drawn(group, options)
    return group


def _experiment(
    summary: xr.DataTree, wanted: str | None, options: Mapping[str, Any], preferred: str | None = None
) -> xr.Dataset:
    _check(summary)
    return _group(summary, experiment_of(summary, wanted, preferred), options)


def _check_drawn(group: xr.Dataset, options: Mapping[str, Any]) -> None:
    """Refuse metrics and types of which there is none: the figure would be empty."""
    for option, axis in (("metric", "metric"), ("metrics", "metric"), ("types", "activation_type")):
        given = options.get(option)
        if given is None or axis not in group.coords:
            continue
        if option != "metric" and isinstance(given, str):
            raise UsageError(f"{option} is the text {shown(given)}: give a list of names")
        known = [str(name) for name in group[axis].to_numpy()]
        wanted = [given] if option == "metric" else list(given)
        if not set(map(str, wanted)) & set(known):
            raise UsageError(
                f"{option}: none of {shown(', '.join(map(str, wanted)))} is there, there is {', '.join(known)}"
            )


def _check(summary: Any) -> None:
    if not isinstance(summary, xr.DataTree) or summary.attrs.get("kind") != SUMMARY_KIND:
        raise UsageError("figures are drawn of a summary: compare(run) makes one of a run")
    check_summary(summary.attrs)


def show_in_notebooks() -> bool:
    """Have IPython, where that runs, show a figure that is the last line of a cell, also where pyplot is not in use.

    Returns
    -------
    bool
        Whether anything had to be done.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or Figure in shell.display_formatter.formatters["image/png"].type_printers:
        return False
    tools: Any = import_module("IPython.core.pylabtools")
    tools.select_figure_formats(shell, {"png"})
    return True


show_in_notebooks()
