"""What a run shows, and what to be careful about, in words.

No sentence is written by hand: which types it names, its verb and its numbers all follow from the summary, so that it
cannot claim what the run does not show. Every sentence is Markdown without markup.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from plateaulens.names import EXPERIMENTS, label
from plateaulens.names import metric_label
from plateaulens.report.contents import (
    ABSENT,
    NO_THRESHOLD,
    REFERENCE,
    bounds,
    compared_types,
    experiment_of,
    plateau_metric,
    settings_of,
)
from plateaulens.report.robustness import adjusted_sentences, constants_sentence, distinguish_sentence
from plateaulens.report.text import listing, number, percent
from plateaulens.report.timing import BLOW_UP, PLATEAU, Wording, timing_sentences
from plateaulens.report.verdicts import claim_sentences, control_excess, control_sentence, verdict_sentences

__all__ = ["BLOW_UP", "PLATEAU", "timing_sentences"]

PATH_TOLERANCE = 0.05
"""Relative difference of mean path lengths from which the report warns."""


def findings(summary: xr.DataTree) -> str:
    """The main results as a Markdown list; an item without its group says that the summary does not have it."""
    geometry = summary["geometry"].to_dataset()
    answers = {
        "Like real ones?": _of(summary, "sensitivity", verdict_sentences),
        "The paper's claim.": _of(summary, "sensitivity", claim_sentences),
        "Noise floor.": _noise_floor(summary),
        "Plateaus.": _of(summary, "plateau", lambda group: _plateau_verdicts(summary, group)),
        "Path lengths.": f"{path_length_caution(geometry)} {_of(summary, 'confounds', adjusted_sentences)}",
        "The targets themselves.": _of(summary, "distinguish", distinguish_sentence),
        "Constants.": _of(summary, "constants", constants_sentence),
    }
    items: dict[str, str] = {}
    for title, text in answers.items():
        items.setdefault(text, title)
    return "\n".join(f"- **{title}** {text}" for text, title in items.items())


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
    return f"Caution: the mean path to the target is {', and '.join(clauses)}."


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
        f"{metric_label(str(largest['metric'].item()))}."
    )


def comparisons_sentence(summary: xr.DataTree) -> str:
    """How many comparisons with real the summary makes, and for which of them that is taken into account."""
    count = 0
    for name in EXPERIMENTS:
        experiment = experiment_of(summary, name)
        if experiment is not None:
            defined = experiment["ks"].sel(convention="corrected", activation_type=compared_types(experiment))
            count += int(np.isfinite(defined).sum())
    return (
        f"The summary holds {number(count, 0)} comparisons of a type's steps with those of real. Verdicts hold for all "
        f"types of one table and metric together; intervals, and comparisons at equal geometry or with other "
        f"constants, are each for themselves."
    )


def _noise_floor(summary: xr.DataTree) -> str:
    text = _of(summary, "sensitivity", control_sentence)
    absolute = experiment_of(summary, "sensitivity_absolute")
    beyond = control_excess(absolute) if absolute is not None else []
    more = f" In absolute steps the two draws differ by more than chance gives {listing(beyond)}." if beyond else ""
    return text + more


def plateau_sentences(experiment: xr.Dataset, *, metric: str) -> str:
    """Verdicts, noise floor, the paper's pairs and censoring of plateau lengths on one metric."""
    return "\n\n".join(
        [
            verdict_sentences(experiment, metrics=(metric,), wording=PLATEAU),
            control_sentence(experiment, metrics=(metric,), statistic=PLATEAU.statistic),
            claim_sentences(experiment, metrics=(metric,), statistic=PLATEAU.statistic),
            censoring_sentence(experiment, wording=PLATEAU),
        ]
    )


def _of(summary: xr.DataTree, name: str, make: Callable[[xr.Dataset], str]) -> str:
    group = experiment_of(summary, name)
    return ABSENT[name] if group is None else make(group)


def _plateau_verdicts(summary: xr.DataTree, experiment: xr.Dataset) -> str:
    metric = plateau_metric(settings_of(summary))
    return verdict_sentences(experiment, metrics=(metric,), wording=PLATEAU) if metric else NO_THRESHOLD
