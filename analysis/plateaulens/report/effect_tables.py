"""Tables of effect sizes, of censoring, and of what questions the results, as data frames of finished cells."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import MAIN_METRICS, label
from plateaulens.report.contents import REFERENCE, compared_types, types_of
from plateaulens.report.rows import KS_DIGITS, STEP_DIGITS, by_metric, cell
from plateaulens.report.text import MISSING, number, p_value, percent

_EFFECTS = {
    "Wasserstein": ("wasserstein", STEP_DIGITS),
    "Cliff's delta": ("cliffs_delta", KS_DIGITS),
    "mean": ("mean_difference", STEP_DIGITS),
    "median": ("median_difference", STEP_DIGITS),
}
PATHS = {
    "sensitivity": "relative steps",
    "sensitivity_absolute": "absolute steps",
    "sensitivity_absolute_to_target": "absolute, to target",
}
"""The kinds of path that are compared at equal geometry, with their titles."""


def effect_table(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> pd.DataFrame:
    """Effect sizes of every type against real with their intervals; metrics one below the other."""

    def rows(values: xr.Dataset) -> list[dict[str, str]]:
        return [
            {"type": label(name)}
            | {
                title: cell(values.sel(activation_type=name), quantity, digits)
                for title, (quantity, digits) in _EFFECTS.items()
            }
            for name in compared_types(values)
        ]

    return by_metric(experiment, metrics, statistic, rows)


def censoring_table(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> pd.DataFrame:
    """Censored curves as observations (log-rank, restricted mean) beside the authors' sentinel."""
    sentinel = experiment["mean"].sel(convention="authors", statistic=statistic)

    def rows(values: xr.Dataset) -> list[dict[str, str]]:
        return [
            _censoring_row(values, name, float(sentinel.sel(metric=values["metric"], activation_type=name)))
            for name in types_of(values)
        ]

    return by_metric(experiment, metrics, statistic, rows)


def quantile_table(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> pd.DataFrame:
    """Quantile shifts to real at the deciles with an odd number, without intervals."""

    def rows(values: xr.Dataset) -> list[dict[str, str]]:
        shown = values["quantile_shift"].isel(quantile=slice(None, None, 2))
        return [
            {"type": label(name)}
            | {
                f"{float(p):g}": _shift(float(shift))
                for p, shift in zip(shown["quantile"], shown.sel(activation_type=name), strict=True)
            }
            for name in compared_types(values)
        ]

    return by_metric(experiment, metrics, statistic, rows)


def confounds_table(
    confounds: xr.Dataset, *, metric: str, paths: Sequence[str] = tuple(PATHS), statistic: str = "max_slope"
) -> pd.DataFrame:
    """Mean differences to real as they are, at equal path length, at equal geometry, and of matched base prompts."""
    held = [path for path in paths if path in confounds["path"].values]
    table: list[dict[str, str]] = []
    for path in held:
        table.append({"type": f"**{PATHS[path]}**"})
        values = confounds.sel(path=path, statistic=statistic, metric=metric)
        table += [_confounds_row(values.sel(activation_type=name), name) for name in compared_types(values)]
    return pd.DataFrame(table).fillna("")


def distinguish_table(group: xr.Dataset) -> pd.DataFrame:
    """The classifier two-sample tests and the maximum mean discrepancy of every type's targets against real ones."""
    rows = []
    for name in compared_types(group):
        own = group.sel(activation_type=name)
        row = {"type": label(name)}
        for classifier, title in (("linear", "L"), ("gaussian", "G")):
            one = own.sel(classifier=classifier)
            row[f"{title}: AUC"] = cell(one, "auc", KS_DIGITS)
            row[f"{title}: right"] = percent(float(one["accuracy"]))
            row[f"{title}: p"] = p_value(float(one["classifier_p"]))
        row["MMD"] = number(1000 * float(own["mmd"]))
        row["MMD: p"] = p_value(float(own["mmd_p"]))
        rows.append(row)
    return pd.DataFrame(rows)


def plateau_table(experiment: xr.Dataset, *, metric: str) -> pd.DataFrame:
    """`effect_table` of plateau lengths on one metric."""
    return effect_table(experiment, metrics=(metric,), statistic="plateau_length")


def _censoring_row(values: xr.Dataset, name: str, sentinel: float) -> dict[str, str]:
    own = values.sel(activation_type=name)
    is_reference = name == REFERENCE
    return {
        "type": label(name),
        "censored": percent(float(own["censored_fraction"]), 1),
        "sentinel mean": number(sentinel, STEP_DIGITS),
        "restricted mean": cell(own, "restricted_mean", STEP_DIGITS),
        "difference": MISSING if is_reference else cell(own, "restricted_mean_difference", STEP_DIGITS),
        "p": MISSING if is_reference else p_value(float(own["logrank_p"])),
        "p, paired": MISSING if is_reference else p_value(float(own["paired_logrank_p"])),
    }


def _confounds_row(values: xr.Dataset, name: str) -> dict[str, str]:
    matched = values.sel(covariate="path_length")
    return {
        "type": label(name),
        "as it is": _adjusted(values, "none"),
        "equal path length": _adjusted(values, "path_length"),
        "equal geometry": _adjusted(values, "all"),
        "matched": cell(matched, "matched_difference", STEP_DIGITS),
        "prompts": number(int(matched["matched_prompts"]), 0),
    }


def _adjusted(values: xr.Dataset, adjustment: str) -> str:
    one = values.sel(adjustment=adjustment)
    return cell(one, "adjusted_difference", STEP_DIGITS) if bool(one["overlap"]) else "no overlap"


def _shift(value: float) -> str:
    return "beyond" if value == float("inf") else number(value, 0)
