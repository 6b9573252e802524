"""Sentences on which activation types come earlier or later than real ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from plateaulens.names import label, metric_label
from plateaulens.report.contents import NOTHING_TO_COMPARE, REFERENCE, alpha_of, bounds, level, synthetic_types
from plateaulens.report.text import listing, number, percent, span
from plateaulens.summary.verdicts import MINIMUM_PAIRS, Timing, timing

DIGITS = 1

Verdict = Timing | Literal["censored", "too few", "uncorrected"]


@dataclass(frozen=True)
class Wording:
    """How an experiment's comparisons with real are worded; `{types}` stands for the types concerned."""

    statistic: str
    earlier: str
    later: str
    question: str
    event: str
    before: str
    after: str


BLOW_UP = Wording(
    statistic="max_slope",
    earlier="{types} targets blow up earlier than real ones",
    later="{types} targets blow up later than real ones",
    question="whether {types} targets blow up earlier or later than real ones",
    event="blow up",
    before="earlier",
    after="later",
)
PLATEAU = Wording(
    statistic="plateau_length",
    earlier="plateaus around {types} bases are shorter than around real ones",
    later="plateaus around {types} bases are longer than around real ones",
    question="whether plateaus around {types} bases are shorter or longer than around real ones",
    event="leave the plateau",
    before="shorter",
    after="longer",
)


def timing_sentences(experiment: xr.Dataset, *, metric: str, wording: Wording = BLOW_UP) -> str:
    """Which types come earlier than real on one metric, which later, and for which that is undecided, and why.

    A direction is claimed when the interval of the mean paired difference (type minus real, in steps) excludes 0, and
    its p-value, adjusted by Holm's method for the number of types, is significant as well. `real_control` is left out:
    it is not a type of its own.
    """
    values = experiment.sel(convention="corrected", statistic=wording.statistic, metric=metric)
    groups: dict[Verdict, list[str]] = {
        "later": [],
        "earlier": [],
        "undecided": [],
        "censored": [],
        "too few": [],
        "uncorrected": [],
        "undefined": [],
    }
    for name in synthetic_types(experiment):
        groups[direction(values, name)].append(name)
    sentences = [_sentence(values, names, verdict, metric, wording) for verdict, names in groups.items() if names]
    return " ".join(sentences) or NOTHING_TO_COMPARE


def direction(values: xr.Dataset, name: str) -> Verdict:
    """The verdict on one type, or why it is withheld although the interval of the mean difference excludes 0.

    `values` are of one convention, statistic and metric.
    """
    own, reference = values.sel(activation_type=name), values.sel(activation_type=REFERENCE)
    pairs = int(own["n_pairs"])
    interval = bounds(own["mean_difference_interval"])
    verdict = timing(
        interval, pairs, bounds(own["censored_fraction_interval"]), bounds(reference["censored_fraction_interval"])
    )
    if verdict in {"earlier", "later"}:
        return verdict if float(own["mean_difference_p_holm"]) <= alpha_of(values) else "uncorrected"
    if verdict != "undecided" or interval[0] <= 0 <= interval[1]:
        return verdict
    return "too few" if pairs < MINIMUM_PAIRS else "censored"


def _sentence(values: xr.Dataset, names: Sequence[str], verdict: Verdict, metric: str, wording: Wording) -> str:
    on = f"On {metric_label(metric)}"
    if verdict == "undefined":
        words = listing([label(name) for name in names])
        return f"{on} there is nothing to compare for {words}: no base prompt has a step both for it and for real."
    claim = {"earlier": wording.earlier, "later": wording.later}.get(verdict, f"{wording.question} is undecided")
    reason = {
        "too few": f", because fewer than {MINIMUM_PAIRS} base prompts have both steps",
        "uncorrected": ", because the p-value does not hold once adjusted for the number of types",
        "censored": f", because the differences leave out curves that do not {wording.event}, and their shares differ",
    }.get(verdict, "")
    real = percent(float(values["censored_fraction"].sel(activation_type=REFERENCE)), 1)
    share = f" and share censored, real {real}" if verdict == "censored" else ""
    if len(names) == 1:
        types, key = label(names[0]), f"mean difference in steps ({level(values)} interval{share})"
        return f"{on}, {claim.format(types=types)}{reason}: {key} {_difference(values, names[0], verdict)}."
    items = [f"{label(name)} {_difference(values, name, verdict)}" for name in names]
    key = f"mean differences in steps ({level(values)} intervals{share})"
    return f"{on}, {claim.format(types='these')}{reason}: {key} {listing(items)}."


def _difference(values: xr.Dataset, name: str, verdict: Verdict) -> str:
    own = values.sel(activation_type=name)
    share = f"; {percent(float(own['censored_fraction']), 1)}" if verdict == "censored" else ""
    interval = span(bounds(own["mean_difference_interval"]), DIGITS)
    return f"{number(float(own['mean_difference']), DIGITS)} ({interval}{share})"
