"""How steeply the curves of each type jump, in words and in a table."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import MAIN_METRICS, label, metric_label
from plateaulens.report.captions import prompts
from plateaulens.report.contents import (
    NOTHING_TO_COMPARE,
    REFERENCE,
    bounds,
    compared_types,
    confidence_of,
    synthetic_types,
    types_of,
)
from plateaulens.report.rows import cell
from plateaulens.report.text import MISSING, listing, number, span

DIGITS = 2
LESS, MORE, UNKNOWN = "less steep than", "steeper than", "not shown to differ in steepness from"


def steepness_sentences(experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS) -> str:
    """Which types' curves are less steep than those towards real targets, and which steeper, on each metric."""
    if not synthetic_types(experiment):
        return NOTHING_TO_COMPARE
    return "\n\n".join(_sentence(experiment.sel(metric=metric), metric) for metric in metrics)


def steepness_table(experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS) -> pd.DataFrame:
    """Every type's geometric mean steepness, and its ratio to real within base prompts; a pair of columns a metric."""
    rows = []
    for name in types_of(experiment):
        row = {"type": label(name)}
        for metric in metrics:
            values = experiment.sel(metric=metric, activation_type=name)
            row[metric_label(metric)] = cell(values, "steepness_mean", DIGITS)
            compared = name in compared_types(experiment)
            row[f"{metric_label(metric)}, to real"] = cell(values, "steepness_ratio", DIGITS) if compared else MISSING
        rows.append(row)
    return pd.DataFrame(rows)


def steepness_caption(experiment: xr.Dataset) -> str:
    """For `steepness_table`."""
    confidence = confidence_of(experiment["steepness_ratio_interval"])
    return (
        f"Steepness of the curves, {prompts(experiment)}: the largest rise of one step over the mean rise; geometric "
        f"means, and geometric mean ratios to real within base prompts, with {confidence} bootstrap intervals in "
        "brackets, each for itself."
    )


def _sentence(values: xr.Dataset, metric: str) -> str:
    groups: dict[str, list[str]] = {LESS: [], MORE: [], UNKNOWN: []}
    for name in synthetic_types(values):
        own = values.sel(activation_type=name)
        interval = bounds(own["steepness_ratio_interval"])
        low, high = interval
        relation = LESS if high < 1 else MORE if low > 1 else UNKNOWN
        ratio = number(float(own["steepness_ratio"]), DIGITS)
        groups[relation].append(f"{label(name)} ({ratio}, {span(interval, DIGITS)})")
    clauses = [f"those towards {listing(items)} are {relation} them" for relation, items in groups.items() if items]
    real = values.sel(activation_type=REFERENCE)
    steepest, ends = number(float(real["steepness_mean"]), 1), span(bounds(real["steepness_mean_interval"]))
    confidence = confidence_of(values["steepness_ratio_interval"])
    return (
        f"On {metric_label(metric)}, curves towards real targets are at their steepest {steepest} times ({ends}) as "
        f"steep as a straight line; {'; '.join(clauses)} (ratios of steepness, {confidence} intervals)."
    )
