"""From a sweep to its summary: the comparisons of all its runs in arrays that have what was varied as dimensions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.config import AnalysisConfig
from plateaulens.errors import LONGEST_MESSAGE, UsageError, shortened, shown
from plateaulens.progress import stage
from plateaulens.store.location import Location, locate
from plateaulens.store.manifest import AXES, NO_SAE, Entry, Manifest, config_of, read_manifest
from plateaulens.store.reading import check_kind, is_complete, open_run, run_differences
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_VERSION, SWEEP_SUMMARY_KIND
from plateaulens.summary.analyze import summarize_experiment, write_summary
from plateaulens.summary.attributes import attrs
from plateaulens.summary.comparison import controls_of
from plateaulens.summary.pooling import changes_of, pooled_dataset
from plateaulens.summary.sae_evidence import Evidence, evidence_of, has_ends
from plateaulens.summary.sae_scale import GROUP as SAE_SCALE
from plateaulens.summary.sae_scale import sweep_scale_dataset

VARIABLES = (
    "n", "mean", "mean_interval", "sd", "mean_difference", "mean_difference_interval", "ks", "ks_interval", "ks_null",
    "censored_fraction", "verdict", "conclusion", "nearness",
)  # fmt: skip
"""What is kept of a run's summary as it is, its words among it; single base prompts, curves and p-values are in the
summary of that run alone."""

NOWHERE = "nowhere"
"""`told_from` of a type that is not told from real at the last read site."""

_COORDINATES = (
    "convention", "statistic", "statistic_long_name", "metric", "activation_type", "other_type", "bound", "is_control",
)  # fmt: skip
_LONG_NAMES = {
    "model": "model",
    "sae": "sparse autoencoder",
    "write": "write site",
    "read": "read site",
    "seed": "seed of every draw",
}


def analyze_sweep(folder: Path, out: Location, settings: AnalysisConfig | None = None) -> xr.DataTree:
    """Summarize the complete runs of a sweep, write the summary and return it.

    Parameters
    ----------
    folder
        Where the sweep is.
    out
        Where the summary goes; a summary of a sweep that is there already is replaced.
    settings
        Those of the sweep's preset unless given.

    Returns
    -------
    xarray.DataTree
        The summary, in memory; see `summarize_sweep`.

    Raises
    ------
    UsageError
        When no run is complete, or one is not that of its entry in the manifest; when `out` lies inside a store, or
        holds something other than a sweep's summary.
    """
    place = locate(out)
    if place.exists():
        check_kind(place, SWEEP_SUMMARY_KIND)
    place.check_outside()
    manifest = read_manifest(folder)
    check_runs(folder, manifest)
    summary = summarize_sweep(folder, manifest, settings or manifest.config.analysis)
    write_summary(summary, out)
    return summary


def check_runs(folder: Path, manifest: Manifest) -> None:
    """Refuse runs that are not those that a sweep's manifest says: two exchanged would be two wrong places.

    Parameters
    ----------
    folder
        Where the sweep is.
    manifest
        Its manifest.

    Raises
    ------
    UsageError
        Names the first complete run with another configuration or seed than its entry's, and what differs.
    """
    for entry in manifest.cells:
        if entry.state != "complete":
            continue
        path = folder / entry.run
        stored, found = run_differences(path, config_of(manifest.config, entry))
        if stored.get("seed") != entry.seed:
            found.append(f"attribute seed: stored {shown(stored.get('seed'))}, asked {entry.seed}")
        if found:
            raise UsageError(
                f"{path} is not the run that the sweep's manifest says: {shortened(found[0], LONGEST_MESSAGE)}"
                f"{f', and {len(found) - 1} more' if len(found) > 1 else ''}: put each run back in its place, or "
                "continue `plateaulens collect`"
            )


def summarize_sweep(folder: Path, manifest: Manifest, settings: AnalysisConfig) -> xr.DataTree:
    """The summary of a sweep, in memory.

    Parameters
    ----------
    folder
        Where the sweep is.
    manifest
        Its manifest, which says which runs it has.
    settings
        How to analyse each run.

    Returns
    -------
    xarray.DataTree
        A group for each experiment: `VARIABLES`, `exceeds_chance` (1 or 0) and `path_length`, with the dimensions
        `AXES` before those that they have in the summary of one run, and `complete` over `AXES`. Where a run is not
        complete, numbers are NaN and words are empty. `told_from` has no dimension `read`, and what `map_dataset`
        counts no `write` either. Each run's words are adjusted for that run's own tests. Without these dimensions
        there is what all runs say together, see `plateaulens.summary.pooling.pooled_dataset`. Where runs have an SAE
        and targets at random, the group `sae_scale` has what
        `plateaulens.summary.sae_scale.sweep_scale_dataset` finds.

    Raises
    ------
    UsageError
        When no run is complete, and when one is not that the manifest says so of.
    """
    done = [entry for entry in manifest.cells if entry.state == "complete"]
    if not done:
        raise UsageError(f"no run of the sweep at {folder} is complete: continue `plateaulens collect`")
    axes = {axis: list(dict.fromkeys(getattr(entry, axis) for entry in manifest.cells)) for axis in AXES}
    groups: dict[str, xr.Dataset] = {}
    changes: dict[str, dict[Entry, xr.DataArray]] = {}
    evidence: dict[Entry, Evidence] = {}
    software: dict[str, dict[str, Any]] = {}
    definitions: dict[str, str] = {}
    for count, entry in enumerate(done, start=1):
        stage(f"run {count} of {len(done)}")
        with open_run(folder / entry.run) as run:
            if not is_complete(run, manifest.config.experiments):
                raise UsageError(
                    f"{folder / entry.run} is not complete, as the sweep's manifest says that it is: continue "
                    "`plateaulens collect`"
                )
            definitions |= json.loads(str(run.attrs.get("definitions", "{}")))
            software[entry.name] = {key: run.attrs[key] for key in ("identity", "versions", "commit")}
            steps: dict[str, xr.Dataset] = {}
            for name, summary in _summaries(run, manifest, settings):
                found = _kept(summary)
                if name not in groups:
                    groups[name] = _empty(found, axes)
                _fill(groups[name], entry, found)
                changes.setdefault(name, {})[entry] = changes_of(summary, name)
                steps[name] = summary[["step_value", "censored"]]
            if entry.sae != NO_SAE and has_ends(run):
                evidence[entry] = evidence_of(run, settings, groups=steps)
    for name, own in changes.items():
        pooled = pooled_dataset(own, name, settings.confidence)
        group = groups[name].assign(pooled).assign(told_from=told_from(groups[name]))
        groups[name] = group.assign(map_dataset(group))
    stage("SAEs on one scale")
    scale = sweep_scale_dataset(evidence, axes, settings)
    tree = xr.DataTree.from_dict(groups if scale is None else {**groups, SAE_SCALE: scale})
    tree.attrs = {
        "kind": SWEEP_SUMMARY_KIND,
        "schema_version": SCHEMA_VERSION,
        "summary_version": SUMMARY_VERSION,
        "name": manifest.config.name,
        "config": manifest.config.model_dump_json(),
        "analysis": settings.model_dump_json(),
        "definitions": json.dumps(definitions),
        "cells": json.dumps([{**entry.model_dump(), **software.get(entry.name, {})} for entry in manifest.cells]),
    }
    return tree


def _summaries(run: xr.DataTree, manifest: Manifest, settings: AnalysisConfig) -> Iterator[tuple[str, xr.Dataset]]:
    """The name and the summary of each experiment of a run."""
    controls = controls_of(manifest.config.targets.model_dump())
    for name in manifest.config.experiments:
        yield name, summarize_experiment(run[name].to_dataset(), name, settings, controls=controls)


def told_from(group: xr.Dataset) -> xr.DataArray:
    """From which read site on a type is told from real, there and at every later one.

    Parameters
    ----------
    group
        A sweep's group of an experiment, with `exceeds_chance` and `complete`. Read sites are in the order of the
        sweep, which is that of depth for whoever wants to read this.

    Returns
    -------
    DataArray
        The site's name, `NOWHERE` where the type is not told from real at the last one, and empty where fewer than two
        read sites are complete. Where a run has no verdict (no step at all) the type is not told.
    """
    told = (group["exceeds_chance"] == 1).transpose(..., "read")
    done = group["complete"].broadcast_like(told).transpose(*told.dims)
    sites = group["read"].to_numpy()
    counted = np.where(done, told, True)[..., ::-1]  # what was not read says nothing
    onwards = np.logical_and.accumulate(counted, axis=-1)[..., ::-1] & done.to_numpy()
    found = np.where(onwards.any(axis=-1), sites[onwards.argmax(axis=-1)], NOWHERE)
    found = np.where(done.sum("read").to_numpy() > 1, found, "").astype(np.dtypes.StringDType())
    about = attrs("from which read site on the type is told from real at every one", "1")
    return told.isel(read=0, drop=True).copy(data=found).assign_attrs(about)


def map_dataset(group: xr.Dataset) -> xr.Dataset:
    """At how many cells of a map of write and read sites each type differs from real, and is equivalent to it.

    Parameters
    ----------
    group
        A sweep's group of an experiment, with `exceeds_chance`, `verdict` and `complete`.

    Returns
    -------
    xarray.Dataset
        `map_cells`, those with a test, whose attribute `over` has the dimensions of a map; `map_differing` and
        `map_equivalent` of them; `differs_at` and `equivalent_at`, each `all`, `some` or `none` of them, and empty
        where there is no test. SAEs that belong to one write site each share a map, and have the same values.
    """
    over = ["write", "read"]
    has_run = group["complete"].any(["model", "read", "seed"])
    if bool((has_run.sum("sae") < 2).all()):
        over.append("sae")
    told, near = group["exceeds_chance"], group["verdict"] == "equivalent"
    counted = {
        name: there.sum(over).broadcast_like(told.isel(write=0, read=0, drop=True))
        for name, there in (("cells", told.notnull()), ("differing", told == 1), ("equivalent", near & told.notnull()))
    }
    about = {
        "cells": {**attrs("cells of the map with a test of the type", "1"), "over": " ".join(over)},
        "differing": attrs("cells of the map at which the type differs from real", "1"),
        "equivalent": attrs("cells of the map at which the type is equivalent to real", "1"),
    }
    found = {f"map_{name}": values.assign_attrs(about[name]) for name, values in counted.items()}
    for name, of in (("differs_at", "differing"), ("equivalent_at", "equivalent")):
        count, cells = counted[of], counted["cells"]
        word = np.select([cells == 0, count == cells, count == 0], ["", "all", "none"], "some")
        words = count.copy(data=word.astype(np.dtypes.StringDType()))
        found[name] = words.assign_attrs(attrs(f"share of the {about[of]['long_name']}", "1"))
    return xr.Dataset(found)


def _kept(summary: xr.Dataset) -> xr.Dataset:
    """What is kept of a run's summary."""
    beyond = summary["exceeds_chance"]
    tested = beyond.astype(np.float64).where(summary["verdict"] != "undefined").assign_attrs(beyond.attrs)
    kept = summary[list(VARIABLES)].assign(exceeds_chance=tested)
    length = summary["path_length"].mean("sample").assign_attrs(attrs("mean path length", "residual stream"))
    return kept.drop_vars(set(kept.coords) - set(_COORDINATES)).assign(path_length=length)


def _empty(like: xr.Dataset, axes: dict[str, list[Any]]) -> xr.Dataset:
    """The variables of one run's comparison with the sweep's dimensions in front, all NaN or empty."""
    shape = tuple(len(values) for values in axes.values())
    variables: dict[str, xr.Variable] = {
        str(name): xr.Variable((*axes, *values.dims), _nothing(shape + values.shape, values), values.attrs)
        for name, values in like.data_vars.items()
    }
    variables["complete"] = xr.Variable(
        tuple(axes), np.zeros(shape, dtype=np.bool_), attrs("whether the run is complete", "1")
    )
    coordinates = {axis: _coordinate(axis, values) for axis, values in axes.items()}
    return xr.Dataset(variables, coords={**like.coords, **coordinates})


def _nothing(shape: tuple[int, ...], like: xr.DataArray) -> NDArray[Any]:
    """NaN, or empty words where there are words."""
    return np.full(shape, "", like.dtype) if np.dtypes.StringDType() == like.dtype else np.full(shape, np.nan)


def _coordinate(axis: str, values: list[Any]) -> xr.Variable:
    dtype: Any = np.dtype(np.int64) if axis == "seed" else np.dtypes.StringDType()
    return xr.Variable(axis, np.array(values, dtype=dtype), attrs(_LONG_NAMES[axis], "1"))


def _fill(group: xr.Dataset, entry: Entry, found: xr.Dataset) -> None:
    """Put what was found for one run into its place in a group."""
    where = {axis: getattr(entry, axis) for axis in AXES}
    for name, values in found.data_vars.items():
        group[name].loc[where] = values.to_numpy()
    group["complete"].loc[where] = True
