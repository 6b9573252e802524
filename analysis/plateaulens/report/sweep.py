"""What the page of a sweep says and tabulates, all of it from the sweep's summary."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.figures.sweep import short
from plateaulens.names import label, metric_label
from plateaulens.report.contents import CONTROL, EXPERIMENT_TITLES, REFERENCE, bounds, types_of
from plateaulens.report.definitions import recipe
from plateaulens.report.text import escape, estimate, listing, number, percent
from plateaulens.store.manifest import AXES

_WHERE = {"convention": "corrected", "statistic": "max_slope"}
_FIXED = ("model", "sae", "seed")
KS_DIGITS = 2


def config_of(summary: xr.DataTree) -> RunConfig:
    """The preset of the sweep."""
    return RunConfig.model_validate_json(summary.attrs["config"])


def experiment_of(summary: xr.DataTree) -> xr.Dataset:
    """The experiment that the page is about: the first one."""
    config = config_of(summary)
    return summary[config.experiments[0]].to_dataset()


def maps(experiment: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """What is drawn as a map each, with a title: every model, SAE and seed for which there is a run.

    SAEs that belong to one write site each share a map.
    """
    paired = bool((experiment["complete"].any(["model", "read", "seed"]).sum("sae") <= 1).all())
    whole = experiment[["ks", "ks_interval", "complete"]]
    if paired:
        ks = whole[["ks", "ks_interval"]].mean("sae", skipna=True, keep_attrs=True)
        whole = ks.assign(complete=whole["complete"].any("sae")).expand_dims(sae=["each write site's own"])
    for place in np.ndindex(*(whole.sizes[axis] for axis in _FIXED)):
        chosen = whole.isel(dict(zip(_FIXED, place, strict=True)))
        if chosen["complete"].any():
            varied = [axis for axis in _FIXED if whole.sizes[axis] > 1]
            yield listing([f"{axis} {chosen[axis].item()}" for axis in varied]) if varied else "", chosen


def caption(title: str, count: int) -> str:
    """Which of the sweep's maps is shown."""
    if count == 1:
        return ""
    return f"Shown is {escape(title)}, the first of {count}; the summary has all."


def setting(summary: xr.DataTree) -> str:
    """What was varied, what was kept, and how much of it is there."""
    config, experiment = config_of(summary), experiment_of(summary)
    cells = json.loads(summary.attrs["cells"])
    done = sum(cell["state"] == "complete" for cell in cells)
    varied = [f"{experiment.sizes[axis]} {_name(axis)}s" for axis in AXES if experiment.sizes[axis] > 1]
    settings = config.experiment(config.experiments[0])
    what = listing(varied) if varied else "nothing"
    return (
        f"The sweep {escape(config.name)} varies {what}; {done} of its {len(cells)} runs are complete. Each has "
        f"{number(settings.samples, 0)} base prompts of {config.prompts.length} tokens, and paths of {settings.steps} "
        f"points ({EXPERIMENT_TITLES[config.experiments[0]]}); the prompts are the same at every site. "
        f"Model: {_values(experiment, 'model')}."
    )


def summary_table(summary: xr.DataTree) -> pd.DataFrame:
    """Per type the range of KS over the sweep, and in how many runs it is shown to differ from real."""
    experiment = experiment_of(summary).sel(_WHERE)
    rows = []
    for name in types_of(experiment):
        if name == REFERENCE:
            continue
        row = {"type": label(name)}
        for metric in ("l2", "kl"):
            one = experiment[["ks", "ks_interval"]].sel(activation_type=name, metric=metric)
            ks, lower = one["ks"], one["ks_interval"].sel(bound="lower")
            count = int(ks.notnull().sum())
            span = f"{number(float(ks.min()), KS_DIGITS)} to {number(float(ks.max()), KS_DIGITS)}"
            row[f"KS on {metric_label(metric)}"] = span
            row[f"differs on {metric_label(metric)}"] = f"{int((lower > 0).sum())} of {count}"
        rows.append(row)
    return pd.DataFrame(rows)


def output_table(layers: xr.Dataset) -> pd.DataFrame:
    """KS on KL by write site and type, with its interval; for one of the `maps`."""
    chosen = layers[["ks", "ks_interval"]].sel({**_WHERE, "metric": "kl"}).mean("read")
    rows = []
    for site in chosen["write"].values:
        at = chosen.sel(write=site)
        row = {"write": short(site)}
        for name in types_of(at):
            if name != REFERENCE:
                one = at.sel(activation_type=name)
                row[label(name)] = estimate(float(one["ks"]), bounds(one["ks_interval"]), KS_DIGITS)
        rows.append(row)
    return pd.DataFrame(rows)


def noise_sentence(summary: xr.DataTree) -> str:
    """How far two draws of real targets lie apart over the sweep."""
    experiment = experiment_of(summary).sel(_WHERE)
    if CONTROL not in types_of(experiment):
        return "The sweep has no second draw of real targets, so its noise floor is not known."
    ks = experiment["ks"].sel(activation_type=CONTROL, metric=["l2", "kl"])
    return (
        f"Two independent draws of real targets ({label(CONTROL)}) lie {number(float(ks.min()), KS_DIGITS)} to "
        f"{number(float(ks.max()), KS_DIGITS)} apart: differences of that size between sites or types mean nothing."
    )


def definition_table(summary: xr.DataTree) -> pd.DataFrame:
    """The recipe of every activation type."""
    config = config_of(summary)
    names = types_of(experiment_of(summary))
    return pd.DataFrame([{"type": label(name), "target T": recipe(name, config.targets)} for name in names])


def resampling(summary: xr.DataTree) -> str:
    """How often was resampled, at which confidence."""
    settings = AnalysisConfig.model_validate_json(summary.attrs["analysis"])
    return f"{number(settings.resamples, 0)} resamples, confidence {percent(settings.confidence)}"


def provenance_table(summary: xr.DataTree) -> pd.DataFrame:
    """Every run of the sweep: its state, and the commit that collected it."""
    return pd.DataFrame(
        [
            {"run": escape(cell["name"]), "state": cell["state"], "commit": escape(str(cell.get("commit", ""))[:12])}
            for cell in json.loads(summary.attrs["cells"])
        ]
    )


def _name(axis: str) -> str:
    return {"write": "write site", "read": "read site", "sae": "SAE"}.get(axis, axis)


def _values(experiment: xr.Dataset, axis: str) -> str:
    return listing([escape(str(value)) for value in experiment[axis].values])
