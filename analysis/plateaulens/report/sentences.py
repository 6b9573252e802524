"""The report's findings in words, each from stored numbers through `plateaulens.compare.verdicts`.

No sentence is written by hand: which types it names, its verb and its numbers all follow from the summary, so that it
cannot claim what the run does not show. Every sentence is Markdown without markup.
"""

import numpy as np
import xarray as xr

from plateaulens.compare.verdicts import nearness, resemblance
from plateaulens.config import EXPERIMENT_NAMES
from plateaulens.figures import label
from plateaulens.figures.style import metric_name
from plateaulens.report.contents import (
    CONTROL,
    EXPERIMENT_TITLES,
    NOTHING_TO_COMPARE,
    REFERENCE,
    bounds,
    compared_types,
    experiment_of,
    level,
    types_of,
)
from plateaulens.report.text import listing, number, percent, span
from plateaulens.report.timing import BLOW_UP, PLATEAU, Wording, timing_sentences

__all__ = ["BLOW_UP", "PLATEAU", "timing_sentences"]

DIGITS = 2
PATH_TOLERANCE = 0.05
"""Relative difference of mean path lengths from which the report warns."""


def findings(summary: xr.DataTree) -> str:
    """The main results as a Markdown list, one item per experiment of the run and one on the targets' path lengths."""
    items = []
    for name in EXPERIMENT_NAMES:
        experiment = experiment_of(summary, name)
        if experiment is None:
            continue
        if name == "plateau":
            text = timing_sentences(experiment, metric="l2", wording=PLATEAU)
        else:
            nearer = [nearness_sentence(experiment, metric=metric) for metric in ("l2", "kl")]
            text = " ".join([timing_sentences(experiment, metric="kl"), *dict.fromkeys(nearer)])
        items.append(f"**{EXPERIMENT_TITLES[name].capitalize()}.** {text}")
    items.append(f"**Target lengths.** {path_length_caution(summary['geometry'].to_dataset())}")
    return "\n".join(f"- {item}" for item in items)


def distance_sentences(experiment: xr.Dataset, *, metric: str) -> str:
    """Noise floor, differences from real, and structured against baseline, on one metric."""
    parts = (control_sentence, resemblance_sentences, nearness_sentence)
    return " ".join(part(experiment, metric=metric) for part in parts)


def resemblance_sentences(experiment: xr.Dataset, *, metric: str, statistic: str = "max_slope") -> str:
    """Which types' distributions of a step are shown to differ from that of real, and which are not."""
    values = experiment.sel(convention="corrected", statistic=statistic, metric=metric)
    groups: dict[str, list[str]] = {"different": [], "undecided": [], "undefined": []}
    for name in compared_types(experiment):
        own = values.sel(activation_type=name)
        if name != CONTROL:
            groups[resemblance(bounds(own["ks_interval"]))].append(f"{label(name)} {_distance(own)}")
    on, key = metric_name(metric), f"KS distance with its {level(values)} interval"
    sentences = []
    if groups["different"]:
        sentences.append(f"On {on}, these types differ from real ({key}): {listing(groups['different'])}.")
    if groups["undecided"]:
        sentences.append(f"On {on}, no difference from real is shown for {listing(groups['undecided'])}.")
    return " ".join(sentences) or NOTHING_TO_COMPARE


def control_sentence(experiment: xr.Dataset, *, metric: str, statistic: str = "max_slope") -> str:
    """How far two independent draws of real targets lie apart: the noise floor of the KS distances."""
    if CONTROL not in types_of(experiment):
        return f"The run has no {label(CONTROL)} targets, so the noise floor of the distances was not measured."
    values = experiment.sel(convention="corrected", statistic=statistic, metric=metric, activation_type=CONTROL)
    draws = f"On {metric_name(metric)}, two independent draws of real targets are"
    distance = f"KS {_distance(values, f'{level(values)} interval ')} apart"
    if resemblance(bounds(values["ks_interval"])) == "different":
        return (
            f"{draws} {distance}, more than resampling explains: this run cannot tell a type at such a distance from a "
            f"real one."
        )
    return f"{draws} {distance}, which is compatible with no difference."


def nearness_sentence(
    experiment: xr.Dataset,
    *,
    metric: str,
    first: str = "structured",
    second: str = "baseline",
    statistic: str = "max_slope",
) -> str:
    """Which of two types is nearer to real, by the interval of the difference of their KS distances."""
    a, b, on = label(first), label(second), metric_name(metric)
    if not {first, second} <= set(types_of(experiment)):
        return f"The run does not have both {a} and {b} targets, so their nearness to real ones is not compared."
    values = experiment.sel(convention="corrected", statistic=statistic, metric=metric)
    difference = values.sel(activation_type=first, other_type=second)
    interval = bounds(difference["ks_difference_interval"])
    verdict = nearness(interval)
    if verdict == "undefined":
        return f"On {on}, {a} and {b} targets cannot be compared: one of them has no step."
    distances = [number(float(values["ks"].sel(activation_type=name)), DIGITS) for name in (first, second)]
    numbers = (
        f"KS distances {listing(distances)}, difference {number(float(difference['ks_difference']), DIGITS)} "
        f"({level(values)} interval {span(interval, DIGITS)})"
    )
    if verdict == "undecided":
        return f"Whether {a} or {b} targets are nearer to real ones on {on} is undecided: {numbers}."
    relation = "nearer to" if verdict == "nearer" else "farther from"
    return f"On {on}, {a} targets are {relation} real ones than {b} targets are: {numbers}."


def path_length_caution(geometry: xr.Dataset) -> str:
    """A warning for the types whose mean path length clearly differs from real's, by more than `PATH_TOLERANCE`.

    Clearly: the type's whole interval lies outside the tolerance around real's whole interval.
    """
    low, high = bounds(geometry["path_length_interval"].sel(activation_type=REFERENCE))
    real = float(geometry["path_length_mean"].sel(activation_type=REFERENCE))
    groups: dict[str, list[str]] = {"longer": [], "shorter": []}
    for name in compared_types(geometry):
        lower, upper = bounds(geometry["path_length_interval"].sel(activation_type=name))
        excess = float(geometry["path_length_mean"].sel(activation_type=name)) / real - 1
        if lower > (1 + PATH_TOLERANCE) * high:
            groups["longer"].append(f"{label(name)} (by {percent(excess)})")
        elif upper < (1 - PATH_TOLERANCE) * low:
            groups["shorter"].append(f"{label(name)} (by {percent(-excess)})")
    clauses = [f"{kind} than to real ones for {listing(items)}" for kind, items in groups.items() if items]
    tolerance = percent(PATH_TOLERANCE)
    if not clauses:
        return f"No type's mean path length is shown to differ from that of real targets by more than {tolerance}."
    return (
        f"Caution: the mean path to the target is {', and '.join(clauses)}. A relative step is a fixed share of the "
        f"path, so an event at a given distance from the base comes at an earlier step of a longer path: differences "
        f"in relative steps between these types and real ones mix direction with distance."
    )


def censoring_sentence(experiment: xr.Dataset, *, wording: Wording = BLOW_UP) -> str:
    """How many curves lack the event: the largest share over types and metrics."""
    fractions = experiment["censored_fraction"].sel(convention="corrected", statistic=wording.statistic)
    flat = fractions.stack(case=("metric", "activation_type")).dropna("case")
    largest = flat.isel(case=int(np.argmax(flat.values)))
    if float(largest) == 0:
        return f"No curve is censored: all {wording.event} inside the window."
    return (
        f"Curves that do not {wording.event} inside the window are censored: at most "
        f"{percent(float(largest), 1)} of a type's curves, those of {label(str(largest['activation_type'].item()))} on "
        f"{metric_name(str(largest['metric'].item()))}."
    )


def comparisons_sentence(summary: xr.DataTree) -> str:
    """How many comparisons with real the run's intervals make, none of them corrected for the others."""
    count = 0
    for name in EXPERIMENT_NAMES:
        experiment = experiment_of(summary, name)
        if experiment is not None:
            defined = experiment["ks"].sel(convention="corrected", activation_type=compared_types(experiment))
            count += int(np.isfinite(defined).sum())
    return (
        f"The summary holds {number(count, 0)} comparisons of a type's steps with those of real; each interval is for "
        f"its own comparison, and none is corrected for their number."
    )


def _distance(values: xr.Dataset, key: str = "") -> str:
    return f"{number(float(values['ks']), DIGITS)} ({key}{span(bounds(values['ks_interval']), DIGITS)})"
