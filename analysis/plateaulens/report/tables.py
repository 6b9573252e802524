"""The report's tables, as data frames of finished cells (see `plateaulens.report.text.markdown`)."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import xarray as xr

from plateaulens.names import EXPERIMENTS, MAIN_METRICS, label, metric_label
from plateaulens.report.contents import (
    EXPERIMENT_TITLES,
    bounds,
    compared_types,
    config_of,
    experiment_of,
    settings_of,
    step_length,
    types_of,
)
from plateaulens.report.definitions import recipe
from plateaulens.report.rows import KS_DIGITS, STEP_DIGITS, by_metric, cell
from plateaulens.report.text import duration, escape, estimate, number, percent

STATISTICS = {
    "max_slope": "max slope",
    "first_nonlinearity": "nonlinearity",
    "auc_ratio": "AUC ratio",
    "plateau_length": "plateau length",
}
_FROM_CONFIG = ("write_site", "read_site", "processing")
_GEOMETRY = {
    "target_norm": ("norm", 1),
    "path_length": ("path length", 1),
    "cosine": ("cosine to base", 2),
    "distance_from_mean": ("to mean base", 1),
}


def step_table(
    experiment: xr.Dataset, *, metrics: Sequence[str] = MAIN_METRICS, statistic: str = "max_slope"
) -> pd.DataFrame:
    """Mean and standard deviation of every type's steps with intervals; metrics one below the other.

    Both are in steps, over the prompts whose curve has the event; the last column is the share of those whose curve
    does not.
    """

    def rows(values: xr.Dataset) -> list[dict[str, str]]:
        return [_step_row(values.sel(activation_type=name), name) for name in types_of(values)]

    return by_metric(experiment, metrics, statistic, rows)


def plateau_table(experiment: xr.Dataset, *, metric: str) -> pd.DataFrame:
    """`step_table` of plateau lengths on one metric."""
    return step_table(experiment, metrics=(metric,), statistic="plateau_length")


def _step_row(values: xr.Dataset, name: str) -> dict[str, str]:
    return {
        "type": label(name),
        "mean": cell(values, "mean", STEP_DIGITS),
        "SD": cell(values, "sd", STEP_DIGITS),
        "prompts": number(int(values["n"]), 0),
        "censored": percent(float(values["censored_fraction"]), 1),
    }


def ks_table(experiment: xr.Dataset) -> pd.DataFrame:
    """KS distance to real in the first nonlinear step and the AUC-ratio step, on L2 and on KL."""
    columns = {
        f"{STATISTICS[statistic]}, {metric_label(metric)}": {"statistic": statistic, "metric": metric}
        for statistic in ("first_nonlinearity", "auc_ratio")
        for metric in MAIN_METRICS
    }
    corrected = experiment.sel(convention="corrected")
    return pd.DataFrame(
        [
            {"type": label(name)}
            | {
                title: cell(corrected.sel(where | {"activation_type": name}), "ks", KS_DIGITS)
                for title, where in columns.items()
            }
            for name in compared_types(experiment)
        ]
    )


def geometry_table(geometry: xr.Dataset) -> pd.DataFrame:
    """Mean norm, path length, cosine to the base and distance from the mean base of every type's targets."""
    return pd.DataFrame(
        [
            {"type": label(name)}
            | {
                title: estimate(
                    float(geometry[f"{quantity}_mean"].sel(activation_type=name)),
                    bounds(geometry[f"{quantity}_interval"].sel(activation_type=name)),
                    digits,
                )
                for quantity, (title, digits) in _GEOMETRY.items()
            }
            for name in types_of(geometry)
        ]
    )


def definition_table(summary: xr.DataTree) -> pd.DataFrame:
    """The recipe of every activation type of the run."""
    targets = config_of(summary).targets
    names = types_of(summary["geometry"].to_dataset())
    return pd.DataFrame([{"type": label(name), "target T": recipe(name, targets)} for name in names])


def experiment_table(summary: xr.DataTree) -> pd.DataFrame:
    """The experiments of the run with their sizes."""
    rows = []
    for name in EXPERIMENTS:
        experiment = experiment_of(summary, name)
        if experiment is None:
            continue
        points, length = experiment.sizes["step"], step_length(experiment)
        rows.append(
            {
                "experiment": EXPERIMENT_TITLES[name],
                "base prompts": number(experiment.sizes["sample"], 0),
                "types": str(experiment.sizes["activation_type"]),
                "points per path": str(points),
                "step length": f"1/{points - 1} of the path" if length is None else f"{length:g} activation units",
            }
        )
    return pd.DataFrame(rows)


def example_table(summary: xr.DataTree, experiment: xr.Dataset) -> pd.DataFrame:
    """The example prompts by sample index, their text escaped."""
    texts = summary["prompts"]["text"]
    return pd.DataFrame(
        [
            {"prompt": str(sample), "text": escape(str(texts.isel(sample=sample).item()))}
            for sample in map(int, experiment["example_sample"].values)
        ]
    )


def provenance_table(summary: xr.DataTree) -> pd.DataFrame:
    """Where the numbers come from: model, SAE, sites, processing, seeds, commit, versions, and the time it took."""
    attributes = summary.attrs
    config, settings = config_of(summary), settings_of(summary)
    identity = _flat(json.loads(attributes["identity"]))
    rows = {
        "run": config.name,
        "model": config.model.source + (f", revision {config.model.revision}" if config.model.revision else ""),
        "weight processing": config.model.processing,
        "write site": config.sites.write,
        "read site": config.sites.read,
        "SAE": config.sae.source if config.sae else "none",
        "prompts": f"{config.prompts.source}, {config.prompts.length} tokens each",
        "seed of the run": str(attributes["seed"]),
        "seed of the analysis": str(settings.seed),
        "resamples": number(settings.resamples, 0),
        "commit": str(attributes["commit"]),
        **_times(json.loads(attributes["provenance"])),
        **{f"identity: {key}": value for key, value in identity.items() if key not in _FROM_CONFIG},
        **_versions(attributes),
    }
    return pd.DataFrame([{"item": escape(key), "value": escape(value)} for key, value in rows.items()])


def _versions(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """The versions that the run was collected with, and those of the analysis where they are others."""
    collected, analysed = (_flat(json.loads(attributes[key])) for key in ("versions", "analysis_versions"))
    others = {name: value for name, value in analysed.items() if collected.get(name) != value}
    return {f"version: {name}": value for name, value in collected.items()} | {
        f"version in the analysis: {name}": value for name, value in others.items()
    }


def _times(provenance: Mapping[str, Any]) -> dict[str, str]:
    """When the run was created and how long its sessions took."""
    sessions = json.loads(provenance["sessions"])
    created = datetime.fromisoformat(provenance["created"]).astimezone(UTC)
    count = "1 session" if len(sessions) == 1 else f"{len(sessions)} sessions"
    return {
        "created": f"{created:%Y-%m-%d %H:%M} UTC",
        "time taken": f"{duration(sum(session['seconds'] for session in sessions))} in {count}",
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys, without those that have no value."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = str(value)
    return flat
