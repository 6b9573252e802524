"""Sentences and tables on what questions the results: geometry, the targets themselves, and unjustified constants.

As in `plateaulens.report.verdicts`, words are chosen by stored numbers alone.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens.compare.multiplicity import adjust
from plateaulens.names import MAIN_METRICS, label, metric_label
from plateaulens.report.contents import CONTROL, NOTHING_TO_COMPARE, bounds, synthetic_types, types_of
from plateaulens.report.effect_tables import PATHS
from plateaulens.report.text import Interval, listing, number, p_value
from plateaulens.report.verdicts import alike, are

_EXPERIMENTS = {"sensitivity": "relative", "sensitivity_absolute": "absolute", "plateau": "plateau"}
_STATISTICS = {"max_slope": "max slope", "first_nonlinearity": "nonlinearity", "plateau_length": "length"}
_CONSTANTS = {
    "minimum_slope": ("slope threshold", "by factors of", ""),
    "plateau_threshold": ("plateau threshold", "by factors of", ""),
    "nonlinearity_tolerance": ("nonlinearity tolerance", "over", ""),
    "step_size": ("step size", "over", " stored steps"),
}
"""By constant: its name, and what stands before and behind the values that it is moved to."""
_CLAIM = ("structured", "baseline")
_CLAIM_WORDS = {
    "nearer": f"{_CLAIM[0]} nearer than {_CLAIM[1]}",
    "farther": f"{_CLAIM[1]} nearer than {_CLAIM[0]}",
    "undecided": f"{_CLAIM[0]} or {_CLAIM[1]} undecided",
}


class Change(NamedTuple):
    """A conclusion that comes out otherwise when a constant is moved to `value`.

    The `subject` is a type, or empty for the question whether structured or baseline is nearer to real.
    """

    subject: str
    moved: str
    value: float


def adjusted_sentences(
    confounds: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, path: str = "sensitivity"
) -> str:
    """What becomes of the differences to real at equal path length, by regression and of matched base prompts.

    Each interval is for itself: these are no verdicts on all types together.
    """
    if path not in confounds["path"].values:
        return f"The run has no {PATHS[path]} to compare at equal path length."
    if not synthetic_types(confounds):
        return NOTHING_TO_COMPARE
    values = confounds.sel(path=path, statistic="max_slope")
    found = {metric_label(metric): _fates(values.sel(metric=metric)) for metric in metrics}
    text = alike(found)
    return f"At equal path length ({PATHS[path]}), {text[0].lower()}{text[1:]}"


def distinguish_sentence(group: xr.Dataset) -> str:
    """Whose targets are told from real ones, by p-values adjusted over types and tests; the second real draw beside."""
    names = synthetic_types(group)
    if not names:
        return NOTHING_TO_COMPARE
    p = np.concatenate([_tests(group, name) for name in names])
    adjusted = adjust(p, "holm").reshape(len(names), -1)
    alpha = 1 - float(group["auc_interval"].attrs["confidence"])
    told = [bool((row <= alpha).any()) for row in adjusted]
    apart = [label(name) for name, is_told in zip(names, told, strict=True) if is_told]
    alike = [label(name) for name, is_told in zip(names, told, strict=True) if not is_told]
    count = number(int(group["prompts"].max()), 0)
    found = []
    if apart:
        found.append(f"told from real ones, by a classifier or by their mean discrepancy, for {listing(apart)}")
    if alike:
        found.append(f"told from real ones by no test for {listing(alike)}")
    text = f"Targets are {'; they are '.join(found)} (n = {count}, p adjusted over types and tests)."
    if CONTROL not in types_of(group):
        return text
    least = float(_tests(group, CONTROL).min())
    smallest = f"(smallest p\u00a0{_equals(least)}, not adjusted)"
    if least > alpha:
        return (
            f"{text} {label(CONTROL).capitalize()}, the second draw of real targets, is not told from real {smallest}."
        )
    return (
        f"{text} But {label(CONTROL)}, the second draw of real targets, is told from real too {smallest}: a weak "
        f"difference need not be one of the type."
    )


def constants_sentence(constants: xr.Dataset) -> str:
    """How many conclusions on max-slope steps in relative steps change with each constant."""
    kept = _cases(constants, "sensitivity", "max_slope")
    if not kept.sizes["case"]:
        return "No constant was moved for the max-slope steps of relative steps."
    subjects = len(MAIN_METRICS) * (len(synthetic_types(kept)) + _has_claim(kept))
    clauses = []
    for constant in dict.fromkeys(str(name) for name in kept["constant"].values):
        own = kept.isel(case=np.flatnonzero(kept["constant"].values == constant))
        changed = {(metric, change.subject) for metric in MAIN_METRICS for change in _changes(own, metric)}
        clauses.append(f"{_moved(constant, own['value'].values)} changes {len(changed) or 'none'}")
    return (
        f"Of {subjects} conclusions on max-slope steps in relative steps (each type's order with real, and whether "
        f"structured or baseline is nearer, on {listing([metric_label(m) for m in MAIN_METRICS])}), "
        f"moving the {'; moving the '.join(clauses)}."
    )


def constants_table(constants: xr.Dataset) -> pd.DataFrame:
    """What changes when a constant is moved: a row per constant and metric below its statistic in bold.

    Metrics that agree share a row; those without the statistic have none.
    """
    keys = dict.fromkeys(
        zip(*(constants[name].values for name in ("experiment", "statistic", "constant")), strict=True)
    )
    rows: list[dict[str, str]] = []
    title = ""
    for experiment, statistic, constant in keys:
        own = _cases(constants, experiment, statistic)
        own = own.isel(case=np.flatnonzero(own["constant"].values == constant))
        where: dict[str, list[str]] = {}
        for metric in MAIN_METRICS:
            if (own["timing"].sel(metric=metric) != "undefined").any():
                where.setdefault(_listed(own, metric), []).append(metric_label(metric))
        heading = f"**{_EXPERIMENTS.get(experiment, experiment)}, {_STATISTICS.get(statistic, statistic)}**"
        if where and heading != title:
            title = heading
            rows.append({"constant": title})
        rows += [
            {"constant": _range(constant, own["value"].values), "on": ", ".join(metrics), "changes": changes}
            for changes, metrics in where.items()
        ]
    return pd.DataFrame(rows).fillna("")


def _fates(values: xr.Dataset) -> str:
    groups: dict[str, list[str]] = {}
    for name in synthetic_types(values):
        own = values.sel(activation_type=name)
        before = bounds(own["adjusted_difference_interval"].sel(adjustment="none"))
        regressed = _fate(before, bounds(own["adjusted_difference_interval"].sel(adjustment="path_length")))
        matched = _fate(before, bounds(own["matched_difference_interval"].sel(covariate="path_length")))
        both = f"{regressed} by regression and by matching"
        each = f"{regressed} by regression, {matched} by matching"
        groups.setdefault(both if regressed == matched else each, []).append(name)
    return "; ".join(f"{are(names)} {words}" for words, names in groups.items())


def _fate(before: Interval, after: Interval) -> str:
    """What an interval of a difference says, given the one before adjustment."""
    if np.isnan(after).any():
        return "not comparable"
    first, now = _sign(before), _sign(after)
    if now == 0:
        return "no longer shown to differ" if first else "not shown to differ"
    return f"{'still' if now == first else 'now'} {'later' if now > 0 else 'earlier'} than real"


def _sign(interval: Interval) -> int:
    return int(interval[0] > 0) - int(interval[1] < 0)


def _tests(group: xr.Dataset, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    own = group.sel(activation_type=name)
    return np.append(own["classifier_p"].values, own["mmd_p"].values)


def _equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"=\u00a0{text}"


def _cases(constants: xr.Dataset, experiment: str, statistic: str) -> xr.Dataset:
    mine = (constants["experiment"].values == experiment) & (constants["statistic"].values == statistic)
    return constants.isel(case=np.flatnonzero(mine))


def _changes(cases: xr.Dataset, metric: str) -> Iterator[Change]:
    """The conclusions on one metric that are others than with nothing moved, for the cases of one constant."""
    used, *_ = np.flatnonzero(cases["is_default"].values)
    own = cases.sel(metric=metric)
    conclusions = {label(name): own["timing"].sel(activation_type=name).values for name in synthetic_types(cases)}
    conclusions[""] = own["nearness"].values
    for place in np.argsort(cases["value"].values, kind="stable"):
        for subject, words in conclusions.items():
            if words[place] != words[used]:
                word = str(words[place])
                moved = word if subject else _CLAIM_WORDS.get(word, word)
                yield Change(subject, moved, float(cases["value"].values[place]))


def _listed(cases: xr.Dataset, metric: str) -> str:
    """The changes on one metric: those to the same word with the same subjects are put together."""
    subjects: dict[tuple[str, float], list[str]] = {}
    for change in _changes(cases, metric):
        subjects.setdefault((change.moved, change.value), []).append(change.subject)
    values: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (moved, value), names in subjects.items():
        values.setdefault((moved, tuple(names)), []).append(f"{value:g}")
    clauses = [
        f"at {listing(where)} {moved}" + (f": {listing(names)}" if any(names) else "")
        for (moved, names), where in values.items()
    ]
    return "; ".join(clauses) or "none"


def _name(constant: str) -> str:
    return _CONSTANTS[constant][0] if constant in _CONSTANTS else constant.replace("_", " ").replace(".", ": ")


def _moved(constant: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The constant, and over which values it is moved."""
    _, before, behind = _CONSTANTS.get(constant, ("", "over", ""))
    return f"{_name(constant)} {before} {float(values.min()):g} to {float(values.max()):g}{behind}"


def _range(constant: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The same, as briefly as a table wants it."""
    sign = "\u00d7 " if constant in {"minimum_slope", "plateau_threshold"} else ""
    return f"{_name(constant)}, {sign}{float(values.min()):g} to {float(values.max()):g}"


def _has_claim(constants: xr.Dataset) -> bool:
    return bool((constants["nearness"] != "undefined").any())
