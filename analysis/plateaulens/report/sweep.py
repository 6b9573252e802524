"""What the page of a sweep says and tabulates, all of it from the sweep's summary."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import CONTROL, label, metric_label, site_label
from plateaulens.report import setting
from plateaulens.report.contents import (
    compared,
    compared_types,
    config_of,
    main_metrics,
    settings_of,
    types_of,
    values_of,
)
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import escape, listing, number
from plateaulens.store.manifest import AXES

_FIXED = ("model", "sae", "seed")
_SITES = {"write": "write site", "read": "read site", "sae": "SAE"}
_OWN_SAE = "each write site's own"
"""What stands for the SAE of a map that the SAEs of all write sites share."""


def experiment_of(summary: xr.DataTree) -> xr.Dataset:
    """The experiment that the page is about.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    xarray.Dataset
        The group of the preset's first experiment.
    """
    return summary[config_of(summary).experiments[0]].to_dataset()


def maps(experiment: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """What is drawn as a map each: every model, SAE and seed for which there is a run.

    SAEs that belong to one write site each share a map.

    Parameters
    ----------
    experiment
        Of a sweep's summary.

    Yields
    ------
    tuple
        A title, and the experiment with no other dimension of the sweep than `write` and `read`.
    """
    whole = experiment[["ks", "ks_interval", "complete"]]
    has_run = whole["complete"].any(["model", "read", "seed"]).transpose("write", "sae").to_numpy()
    if all(np.count_nonzero(row) < 2 for row in has_run):
        # of the SAEs of a site there is one with a run, and its value
        ks = whole[["ks", "ks_interval"]].max("sae", skipna=True, keep_attrs=True)
        whole = ks.assign(complete=whole["complete"].any("sae")).expand_dims(sae=[_OWN_SAE])
    for place in np.ndindex(*(whole.sizes[axis] for axis in _FIXED)):
        chosen = whole.isel(dict(zip(_FIXED, place, strict=True)))
        if chosen["complete"].any():
            varied = [axis for axis in _FIXED if whole.sizes[axis] > 1]
            yield listing([f"{axis} {chosen[axis].item()}" for axis in varied]) if varied else "", chosen


def map_caption(title: str, count: int) -> str:
    """Which of the sweep's maps is shown.

    Parameters
    ----------
    title
        Of `maps`.
    count
        How many maps there are.

    Returns
    -------
    str
        Markdown; nothing where it is the only one.
    """
    if count == 1:
        return ""
    return f"Shown is {escape(title)}, the first of {count}; the summary has all."


def varied_sentences(summary: xr.DataTree) -> str:
    """What was varied, what was kept, and how much of it is there.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    config, experiment = config_of(summary), experiment_of(summary)
    cells = json.loads(summary.attrs["cells"])
    done = sum(cell["state"] == "complete" for cell in cells)
    varied = [f"{experiment.sizes[axis]} {_SITES.get(axis, axis)}s" for axis in AXES if experiment.sizes[axis] > 1]
    settings = config.experiment(config.experiments[0])
    what = listing(varied) if varied else "nothing"
    return (
        f"The sweep {escape(config.name)} varies {what}; {done} of its {len(cells)} runs are complete. Each has "
        f"{number(settings.samples, 0)} base prompts of {config.prompts.length} tokens, and paths of {settings.steps} "
        f"points ({names.experiment(config.experiments[0]).title}); the prompts are the same at every site. "
        f"Model: {listing([escape(name) for name in values_of(experiment, 'model')])}."
    )


def noise_sentence(summary: xr.DataTree) -> str:
    """How far two draws of real targets lie apart over the sweep.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    experiment = experiment_of(summary)
    if CONTROL not in types_of(experiment):
        return "The sweep has no second draw of real targets, so its noise floor is not known."
    distances = [values["ks"].sel(activation_type=CONTROL) for _, values in compared(experiment)]
    least = min(float(ks.min()) for ks in distances)
    most = max(float(ks.max()) for ks in distances)
    return (
        f"Two independent draws of real targets ({label(CONTROL)}) lie {number(least, KS_DIGITS)} to "
        f"{number(most, KS_DIGITS)} apart: differences of that size between sites or types mean nothing."
    )


def summary_table(summary: xr.DataTree) -> Table:
    """Per type the range of KS over the sweep, and in how many runs it is shown to differ from real.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per type.
    """
    experiment = experiment_of(summary)
    columns = {"type": TYPE}
    found: dict[str, Row] = {name: {"type": name} for name in compared_types(experiment)}
    for metric, values in compared(experiment):
        title, ks, differs = metric_label(metric), f"ks_{metric}", f"differs_{metric}"
        columns[f"{ks}_least"] = Column(f"KS on {title}", "number", KS_DIGITS, also=f"{ks}_most", pattern="{} to {}")
        columns[differs] = Column(f"differs on {title}", "text", also=f"runs_{metric}", pattern="{} of {}")
        for name, row in found.items():
            own = values.sel(activation_type=name)
            row.update(
                {
                    f"{ks}_least": float(own["ks"].min()),
                    f"{ks}_most": float(own["ks"].max()),
                    differs: np.count_nonzero(own["differs"] == 1),
                    f"runs_{metric}": int(own["ks"].count()),
                }
            )
    return Table(pd.DataFrame(list(found.values())), columns)


def output_table(layers: xr.Dataset) -> Table:
    """KS by write site and type, with its interval, on the output, which depends on no read site.

    Parameters
    ----------
    layers
        One of the `maps`.

    Returns
    -------
    Table
        A row per write site, and a column per type.
    """
    columns = {"write": Column("write")}
    for name in compared_types(layers):
        columns |= estimated(label(name), "ks", KS_DIGITS, name=name)
    rows = []
    outputs = [metric for metric in main_metrics(layers) if names.metric(metric).place == "output"]
    for _, values in compared(layers[["ks", "ks_interval"]], outputs[:1]):
        # the runs of a write site differ in where they were read, and have the same output
        at_sites = values.max("read")
        for site in values_of(values, "write"):
            row: Row = {"site": site, "write": site_label(site)}
            for name in compared_types(values):
                row |= measured(at_sites.sel(write=site, activation_type=name), "ks", name)
            rows.append(row)
    return Table(pd.DataFrame(rows), columns)


def definition_table(summary: xr.DataTree) -> Table:
    """How every activation type of the sweep makes its targets.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per type, with a dash for one that the sweep has no words for.
    """
    return setting.definition_table(summary, types_of(experiment_of(summary)))


def resampling(summary: xr.DataTree) -> str:
    """How often was resampled, at which confidence.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        A phrase.
    """
    return setting.resampling(settings_of(summary))


def provenance_table(summary: xr.DataTree) -> Table:
    """Every run of the sweep: its state, and the commit that collected it.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per run.
    """
    rows = [
        {"run": cell["name"], "state": cell["state"], "commit": str(cell.get("commit", ""))[:12]}
        for cell in json.loads(summary.attrs["cells"])
    ]
    columns = {"run": Column("run", "text"), "state": Column("state"), "commit": Column("commit", "text")}
    return Table(pd.DataFrame(rows), columns)
