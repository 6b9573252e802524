"""Do the conclusions hang on constants that nobody has justified? A sentence, tables and captions."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import CLAIMS, label, metric_label
from plateaulens.report.contents import BLOWUP, main_metrics, synthetic_types, values_of, word_of
from plateaulens.report.phrases import confidence_of, noun_of, on, subject
from plateaulens.report.table import Column, Table
from plateaulens.report.text import listing

_EXPERIMENT = "sensitivity"
"""The experiment whose conclusions a reader asks for first."""
_CONSTANTS = {
    "minimum_slope": ("slope threshold", "\u00d7 "),
    "plateau_threshold": ("plateau threshold", "\u00d7 "),
    "nonlinearity_tolerance": ("nonlinearity tolerance", ""),
    "step_size": ("step size", ""),
}
"""By constant: its name, and what stands before the values that it is moved to, a sign where they are factors."""
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
    """How many conclusions change when one constant at a time is moved, over all experiments and statistics.

    Parameters
    ----------
    constants
        The group `constants`.

    Returns
    -------
    str
        Markdown.
    """
    sentences = []
    if not _cases(constants, experiment=_EXPERIMENT, statistic=BLOWUP).sizes["case"]:
        sentences.append("No constant was moved for the max-slope steps of relative steps.")
    if asked := [row for row in moved_table(constants).frame.to_dict("records") if row["conclusions"]]:
        changed, whole = (sum(row[name] for row in asked) for name in ("conclusions_changed", "conclusions"))
        counts = f"{changed or 'none'} of {whole} {'comes' if changed == 1 else 'come'} out otherwise"
        sentences.append(f"Every conclusion is asked again with one constant moved at a time: {counts} (@tbl-moved).")
    return " ".join(sentences) or "No constant was moved."


def moved_table(constants: xr.Dataset) -> Table:
    """How many conclusions change with each constant, of which types and where: a row per constant.

    Parameters
    ----------
    constants
        The group `constants`.

    Returns
    -------
    Table
        The counts are the summary's; below each statistic in bold.
    """
    held, noun = synthetic_types(constants), noun_of(constants)
    keys = zip(*(values_of(constants, key) for key in ("experiment", "statistic", "constant")), strict=True)
    rows = []
    for experiment, statistic, constant in dict.fromkeys(keys):
        own = _cases(constants, experiment=experiment, statistic=statistic, constant=constant)
        metrics = [each for each in main_metrics(own) if (own["conclusion"].sel(metric=each) != "undefined").any()]
        changes = [change for each in metrics for change in _changes(own, each)]
        types = [name for name in held if label(name) in {change.subject for change in changes}]
        which = [subject(types, held, noun).text] if types else []
        which += ["nearer of the pair"] if any(not change.subject for change in changes) else []
        rows.append(
            {
                "about": f"{_about(experiment, statistic)}{f', {on(metrics)}' if metrics else ''}",
                "moved": _range(own, constant),
                **{name: int(own[name].isel(case=0)) for name in ("conclusions_changed", "conclusions")},
                "values": ", ".join(f"{value:g}" for value in sorted({change.value for change in changes})),
                "which": "; ".join(which),
            }
        )
    columns = {
        "about": Column(),
        "moved": Column("constant, moved over"),
        "conclusions_changed": Column("changed", "count", also="conclusions", pattern="{} of {}"),
        "values": Column("at"),
        "which": Column("which"),
    }
    return Table(pd.DataFrame(rows), columns, grouped_by="about")


def moved_table_caption(constants: xr.Dataset) -> str:
    """For `moved_table`.

    Parameters
    ----------
    constants
        The group `constants`.

    Returns
    -------
    str
        Markdown.
    """
    pair = f"*Nearer of the pair*: whether {_FIRST} or {_SECOND} is nearer to real. "
    named = pair if _claim(constants).sizes["activation_type"] else ""
    return (
        f"How many conclusions change when a constant is moved, each alone, at which values, and of which types. "
        f"{named}A multiplication sign: by factors of the value in use. What they change to: @tbl-constants."
    )


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


def _range(cases: xr.Dataset, constant: str) -> str:
    """The constant, and over which values it is moved, as briefly as a table wants it."""
    _, sign = _CONSTANTS.get(constant, ("", ""))
    return f"{_name(constant)}, {sign}{_ends(cases)}"


def _ends(cases: xr.Dataset) -> str:
    return f"{float(cases['value'].min()):g} to {float(cases['value'].max()):g}"
