"""Do the conclusions hang on constants that nobody has justified? A sentence, a table and captions."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import CLAIMS, label, metric_label
from plateaulens.report.contents import BLOWUP, main_metrics, synthetic_types, values_of, word_of
from plateaulens.report.phrases import confidence_of, on
from plateaulens.report.table import Column, Table
from plateaulens.report.text import listing

_EXPERIMENT = "sensitivity"
"""The experiment whose conclusions a reader asks for first."""
_CONSTANTS = {
    "minimum_slope": ("slope threshold", "by factors of", ""),
    "plateau_threshold": ("plateau threshold", "by factors of", ""),
    "nonlinearity_tolerance": ("nonlinearity tolerance", "over", ""),
    "step_size": ("step size", "over", " stored steps"),
}
"""By constant: its name, and what stands before and behind the values that it is moved to."""
_FIRST, _SECOND = CLAIMS[0]
_CLAIM_WORDS = {
    "nearer": f"{_FIRST} nearer than {_SECOND}",
    "farther": f"{_SECOND} nearer than {_FIRST}",
    "undecided": f"{_FIRST} or {_SECOND} undecided",
}


class Change(NamedTuple):
    """A conclusion that comes out otherwise when a constant is moved to `value`.

    The `subject` is a type, or empty for the question which type of the paper's first claim is nearer to real.
    """

    subject: str
    moved: str
    value: float


def constants_sentence(constants: xr.Dataset) -> str:
    """How many conclusions change with each constant, of every experiment and statistic, as the summary counts them.

    Parameters
    ----------
    constants
        The group `constants`.

    Returns
    -------
    str
        Markdown; where all changes are at one value, with that value.
    """
    sentences = []
    if not _cases(constants, experiment=_EXPERIMENT, statistic=BLOWUP).sizes["case"]:
        sentences.append("No constant was moved for the max-slope steps of relative steps.")
    keys = zip(*(values_of(constants, key) for key in ("experiment", "statistic", "constant")), strict=True)
    for experiment, statistic, constant in dict.fromkeys(keys):
        own = _cases(constants, experiment=experiment, statistic=statistic, constant=constant)
        asked, count = (int(own[name].isel(case=0)) for name in ("conclusions", "conclusions_changed"))
        if not asked:
            continue
        metrics = [each for each in main_metrics(own) if (own["conclusion"].sel(metric=each) != "undefined").any()]
        places = list(dict.fromkeys(change.value for each in metrics for change in _changes(own, each)))
        who = "It changes" if count == 1 else "They change"
        only = f" {who} only at {_value(constant, places[0])}." if len(places) == 1 else ""
        what = f"{asked} conclusions on {_about(experiment, statistic)} {on(metrics)}"
        sentences.append(f"Moving the {_moved(own, constant)} changes {count or 'none'} of {what}.{only}")
    return " ".join(sentences) or "No constant was moved."


def constants_table(constants: xr.Dataset) -> Table:
    """What changes when a constant is moved: a row per constant and metric below its statistic in bold.

    Metrics that agree share a row; those without the statistic have none.

    Parameters
    ----------
    constants
        The group `constants`.

    Returns
    -------
    Table
        The changes in words, beside the constant and the ends of the values that it was moved to.
    """
    moved = ("experiment", "statistic", "constant")
    rows = []
    for experiment, statistic, constant in dict.fromkeys(
        zip(*(values_of(constants, key) for key in moved), strict=True)
    ):
        own = _cases(constants, experiment=experiment, statistic=statistic, constant=constant)
        where: dict[str, list[str]] = {}
        for metric in main_metrics(own):
            if (own["conclusion"].sel(metric=metric) != "undefined").any():
                where.setdefault(_listed(own, metric), []).append(metric_label(metric))
        rows += [
            {
                "about": _about(experiment, statistic),
                "experiment": experiment,
                "statistic": statistic,
                "constant": constant,
                "lowest": float(own["value"].min()),
                "highest": float(own["value"].max()),
                "moved": _range(own, constant),
                "metrics": ", ".join(metrics),
                "changes": changes,
            }
            for changes, metrics in where.items()
        ]
    columns = {"about": Column(), "moved": Column("constant"), "metrics": Column("on"), "changes": Column("changes")}
    return Table(pd.DataFrame(rows), columns, grouped_by="about")


def constants_table_caption(constants: xr.Dataset) -> str:
    """For `constants_table`.

    Parameters
    ----------
    constants
        The group `constants`.

    Returns
    -------
    str
        Markdown.
    """
    alpha = constants["conclusion"].attrs["alpha"]
    return (
        f"What changes when a constant is moved: the verdict on each type and its direction, and whether {_FIRST} or "
        f"{_SECOND} is nearer to real. These are the conclusions of the other sections, by the same tests. Their level "
        f"is {alpha:.2g}, adjusted by Holm's method."
    )


def constant_sensitivity_caption(constants: xr.Dataset, *, metric: str) -> str:
    """For `plateaulens.figures.constant_sensitivity`.

    Parameters
    ----------
    constants
        The group `constants`.
    metric
        Value of the coordinate `metric`.

    Returns
    -------
    str
        Markdown.
    """
    confidence = confidence_of(constants["mean_difference_interval"])
    return (
        f"Mean paired difference to real on {metric_label(metric)} as each constant is moved, with {confidence} "
        f"bootstrap intervals (bands). The dashed line is the value in use."
    )


def _cases(constants: xr.Dataset, **wanted: str) -> xr.Dataset:
    """The cases whose coordinates have these values."""
    found = [constants[name].to_numpy() == value for name, value in wanted.items()]
    return constants.isel(case=np.flatnonzero(np.all(found, axis=0)))


def _claim(cases: xr.Dataset) -> xr.Dataset:
    """The pair of types of the paper's first claim; of no element where one of them is not there."""
    pair = {"activation_type": [_FIRST], "other_type": [_SECOND]}
    kept = {dim: [name for name in wanted if name in values_of(cases, dim)] for dim, wanted in pair.items()}
    return cases[["nearness", "nearness_changed"]].sel(kept)


def _changes(cases: xr.Dataset, metric: str) -> Iterator[Change]:
    """The conclusions on one metric that are others than with nothing moved, for the cases of one constant."""
    own = cases.sel(metric=metric)
    values = own["value"].to_numpy().tolist()
    for place in sorted(range(len(values)), key=values.__getitem__):
        case = own.isel(case=place)
        for name in synthetic_types(case):
            if case["conclusion_changed"].sel(activation_type=name):
                yield Change(label(name), word_of(case, "conclusion", name), values[place])
        claim = _claim(case)
        if claim["nearness_changed"].any():
            word = str(claim["nearness"].item())
            yield Change("", _CLAIM_WORDS.get(word, word), values[place])


def _listed(cases: xr.Dataset, metric: str) -> str:
    """The changes on one metric: those to the same word with the same subjects are put together."""
    subjects: dict[tuple[str, float], list[str]] = {}
    for change in _changes(cases, metric):
        subjects.setdefault((change.moved, change.value), []).append(change.subject)
    values: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (moved, value), types in subjects.items():
        values.setdefault((moved, tuple(types)), []).append(f"{value:g}")
    clauses = [
        f"at {listing(where)} {moved}" + (f": {listing(types)}" if any(types) else "")
        for (moved, types), where in values.items()
    ]
    return "; ".join(clauses) or "none"


def _about(experiment: str, statistic: str) -> str:
    """An experiment and a statistic, as briefly as a table wants them."""
    short = names.experiment(experiment).short
    return f"{short}, {names.statistic(statistic).title.removeprefix(f'{short} ')}"


def _name(constant: str) -> str:
    return _CONSTANTS[constant][0] if constant in _CONSTANTS else constant.replace("_", " ").replace(".", ": ")


def _moved(cases: xr.Dataset, constant: str) -> str:
    """The constant, and over which values it is moved."""
    _, before, behind = _CONSTANTS.get(constant, ("", "over", ""))
    return f"{_name(constant)} {before} {_ends(cases)}{behind}"


def _value(constant: str, value: float) -> str:
    """One of the values, as the end of a sentence."""
    _, before, behind = _CONSTANTS.get(constant, ("", "over", ""))
    return f"a factor of {value:g}" if before == "by factors of" else f"{value:g}{behind}"


def _range(cases: xr.Dataset, constant: str) -> str:
    """The same, as briefly as a table wants it."""
    _, before, _ = _CONSTANTS.get(constant, ("", "over", ""))
    sign = "\u00d7 " if before == "by factors of" else ""
    return f"{_name(constant)}, {sign}{_ends(cases)}"


def _ends(cases: xr.Dataset) -> str:
    return f"{float(cases['value'].min()):g} to {float(cases['value'].max()):g}"
