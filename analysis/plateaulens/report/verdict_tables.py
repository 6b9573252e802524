"""The tables of verdicts, as data frames of finished cells (see `plateaulens.report.text.markdown`)."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import EXPERIMENTS, MAIN_METRICS, label, metric_label
from plateaulens.report.contents import compared_types, experiment_of, plateau_metric, settings_of, synthetic_types
from plateaulens.report.rows import KS_DIGITS, by_metric, cell
from plateaulens.report.text import MISSING, number, p_value
from plateaulens.report.timing import BLOW_UP, PLATEAU, Wording
from plateaulens.report.verdicts import CLAIMS, short_verdict

PAIRS = (*CLAIMS, ("structured", "random"), ("baseline", "random"))
"""The pairs of the table of pairs; all others are in the matrix."""

_SHORT_TITLES = {
    "sensitivity": "relative",
    "sensitivity_absolute": "absolute",
    "plateau": "plateau",
    "sensitivity_reconstructed": "reconstructed",
}
_SIGNS = {"undecided": "?", "undefined": MISSING}


def overview_table(summary: xr.DataTree) -> pd.DataFrame:
    """The verdict on every type in every experiment: a column per experiment and metric."""
    columns: dict[str, dict[str, str]] = {}
    for name in EXPERIMENTS:
        experiment = experiment_of(summary, name)
        if experiment is None:
            continue
        plateau = plateau_metric(settings_of(summary))
        metrics = MAIN_METRICS if name != "plateau" else ((plateau,) if plateau else ())
        wording = PLATEAU if name == "plateau" else BLOW_UP
        for metric in metrics:
            values = experiment.sel(convention="corrected", statistic=wording.statistic, metric=metric)
            columns[f"{_SHORT_TITLES[name]}, {metric_label(metric)}"] = {
                label(kind): short_verdict(values, kind, wording) for kind in compared_types(experiment)
            }
    types = dict.fromkeys(kind for column in columns.values() for kind in column)
    return pd.DataFrame(
        [{"type": kind} | {title: column.get(kind, MISSING) for title, column in columns.items()} for kind in types]
    )


def verdict_table(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, wording: Wording = BLOW_UP
) -> pd.DataFrame:
    """Every type's KS distance to real with what its verdict rests on; metrics one below the other."""

    def rows(values: xr.Dataset) -> list[dict[str, str]]:
        return [_verdict_row(values, name, wording) for name in compared_types(values)]

    return by_metric(experiment, metrics, wording.statistic, rows)


def pair_table(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> pd.DataFrame:
    """Which of two types is nearer to real, for the pairs of `PAIRS` that the run has."""

    def rows(values: xr.Dataset) -> list[dict[str, str]]:
        held = set(synthetic_types(values))
        return [_pair_row(values, first, second) for first, second in PAIRS if {first, second} <= held]

    return by_metric(experiment, metrics, statistic, rows)


def pair_matrix(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> pd.DataFrame:
    """Whether the row's type is nearer to real than the column's, for all types; metrics one below the other."""

    def rows(values: xr.Dataset) -> list[dict[str, str]]:
        types = synthetic_types(values)
        return [
            {"type": label(first)}
            | {label(second): "" if first == second else _relation(values, first, second) for second in types}
            for first in types
        ]

    return by_metric(experiment, metrics, statistic, rows)


def plateau_table(experiment: xr.Dataset, *, metric: str) -> pd.DataFrame:
    """`verdict_table` of plateau lengths on one metric."""
    return verdict_table(experiment, metrics=(metric,), wording=PLATEAU)


def plateau_matrix(experiment: xr.Dataset, *, metric: str) -> pd.DataFrame:
    """`pair_matrix` of plateau lengths on one metric."""
    return pair_matrix(experiment, metrics=(metric,), statistic=PLATEAU.statistic)


def _verdict_row(values: xr.Dataset, name: str, wording: Wording) -> dict[str, str]:
    own = values.sel(activation_type=name)
    p = {title: p_value(float(own[variable])) for title, variable in _P_VALUES.items()}
    return {
        "type": label(name),
        "KS to real": cell(own, "ks", KS_DIGITS),
        "chance": number(float(own["ks_null"]), KS_DIGITS),
        **p,
        "bound": number(float(own["ks_upper_bound"]), KS_DIGITS),
        "p, margin": p_value(float(own["ks_equivalence_p_holm"])),
        "verdict": short_verdict(values, name, wording),
    }


_P_VALUES = {"p": "ks_p", "Holm": "ks_p_holm", "BH": "ks_p_bh"}


def _pair_row(values: xr.Dataset, first: str, second: str) -> dict[str, str]:
    pair = values.sel(activation_type=first, other_type=second)
    nearer = {"nearer": label(first), "farther": label(second)}
    verdict = str(pair["nearness"].item())
    return {
        "pair": f"{label(first)}, {label(second)}",
        "KS": ", ".join(number(float(values["ks"].sel(activation_type=name)), KS_DIGITS) for name in (first, second)),
        "difference": cell(pair, "ks_difference", KS_DIGITS),
        "p": p_value(float(pair["ks_difference_p"])),
        "Holm": p_value(float(pair["ks_difference_p_holm"])),
        "BH": p_value(float(pair["ks_difference_p_bh"])),
        "nearer to real": nearer.get(verdict, verdict),
    }


def _relation(values: xr.Dataset, first: str, second: str) -> str:
    verdict = str(values["nearness"].sel(activation_type=first, other_type=second).item())
    return _SIGNS.get(verdict, verdict)
