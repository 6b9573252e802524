"""From a run to its summary: every number that a figure or a sentence of the report stands on."""

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from plateaulens.compare.curves import curve_dataset
from plateaulens.compare.dataset import REFERENCE, compare_dataset
from plateaulens.compare.geometry import geometry_dataset
from plateaulens.compare.labels import label
from plateaulens.compare.resampling import Resampling
from plateaulens.config import EXPERIMENT_NAMES, AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.location import local
from plateaulens.store.reading import check_kind, open_run
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_KIND
from plateaulens.store.template import COMPRESSORS

SAMPLES_PER_CHUNK = 4096
PACKAGES = ("plateaulens", "numpy", "xarray", "zarr")
"""The distributions whose versions a summary records: those that its numbers go through."""


def analyze(run_path: str | Path, out_path: str | Path, settings: AnalysisConfig | None = None) -> xr.DataTree:
    """Compute the summary of the run at `run_path`, write it to `out_path` and return it.

    `settings` are the run's own (the `analysis` section of its configuration) unless given. The run is only read; it
    may be incomplete, and what is not there yet is left out of every count. The summary is a function of the run, the
    settings and the installed versions: random numbers come from `settings.seed` and the experiment's name alone. It is
    written beside `out_path` and moved there when complete, so a summary that is already there is replaced at once or
    stays.

    Raises `UsageError` when there is no run at `run_path`, an experiment lacks the type `real`, a metric has no minimum
    slope, or `out_path` lies inside a run or holds something other than a summary.
    """
    place = local(out_path)
    if local(run_path).resolve() in place.resolve().parents:
        raise UsageError(f"{place} lies inside the run, which is only read: choose another place for the summary")
    if place.exists():
        check_kind(place, SUMMARY_KIND)
    with open_run(run_path) as run:
        settings = settings or AnalysisConfig.model_validate(json.loads(run.attrs["config"])["analysis"])
        summary = summarize(run, settings)
    _replace(place, summary)
    return summary


def summarize(run: xr.DataTree, settings: AnalysisConfig) -> xr.DataTree:
    """The summary of an open run, in memory."""
    groups: dict[str, xr.Dataset] = {"prompts": run["prompts"].to_dataset().load()}
    activations = run["activations"].to_dataset()
    resampling = _resampling(activations, "geometry", settings)
    groups["geometry"] = geometry_dataset(activations, resampling, settings.confidence)
    for name in EXPERIMENT_NAMES:
        if name in run.children:
            groups[name] = summarize_experiment(run[name].to_dataset(), name, settings)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _attributes(run, settings)
    return tree


def summarize_experiment(experiment: xr.Dataset, name: str, settings: AnalysisConfig) -> xr.Dataset:
    """The summary of one experiment's group. Raises `UsageError` when it lacks the type `real`."""
    if REFERENCE not in experiment["activation_type"].to_numpy():
        raise UsageError(f"experiment {name} has no activation type {REFERENCE!r}: there is nothing to compare with")
    resampling = _resampling(experiment, name, settings)
    steps = step_dataset(experiment, settings)
    return xr.merge(
        [
            steps,
            compare_dataset(steps, resampling, settings.confidence),
            curve_dataset(experiment, resampling, settings.confidence),
            _carried_over(experiment, settings.examples),
        ],
        compat="equals",
        join="exact",
        combine_attrs="override",
    )


def _resampling(group: xr.Dataset, name: str, settings: AnalysisConfig) -> Resampling:
    """The group's resamples. They depend on the seed and its name: not on which other groups the run has."""
    rng = np.random.default_rng([settings.seed, *name.encode()])
    return Resampling.draw(rng, samples=group["sample"].size, resamples=settings.resamples)


def _carried_over(experiment: xr.Dataset, examples: int) -> xr.Dataset:
    """What is taken from the run as it is: path lengths, last points, and the curves of the first complete samples.

    The examples are the first base prompts that are complete, so that nobody has chosen them; there are fewer when the
    run has fewer.
    """
    chosen = np.flatnonzero(experiment["completed"].all("activation_type").to_numpy())[:examples]
    curve = experiment["curve"]
    last = curve.isel(step=-1, drop=True).load()
    example = curve.isel(sample=chosen).load().rename(sample="example")
    return xr.Dataset(
        {
            "path_length": experiment["path_length"].load(),
            "end_value": last.assign_attrs(label("last point of the curve", curve.attrs["units"])),
            "example_curve": example.transpose("example", "activation_type", "step", "metric").assign_attrs(
                label("curve of an example", curve.attrs["units"])
            ),
            "example_sample": ("example", chosen, label("base prompt of the example", "1")),
        }
    )


def _attributes(run: xr.DataTree, settings: AnalysisConfig) -> dict[str, Any]:
    versions = {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES}
    return {
        **{str(key): value for key, value in run.attrs.items()},
        "kind": SUMMARY_KIND,
        "schema_version": SCHEMA_VERSION,
        "analysis": settings.model_dump_json(),
        "analysis_versions": json.dumps(versions),
        "provenance": json.dumps(run["provenance"].attrs, sort_keys=True),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # A source tree on the path is enough to run PlateauLens, and has no version of its own.
        return "not installed"


def _replace(place: Path, summary: xr.DataTree) -> None:
    """Write the summary beside its place, then exchange it for what is there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    building, old = (place.with_name(f".{place.name}.{os.getpid()}.{role}") for role in ("new", "old"))
    try:
        summary.to_zarr(building, mode="w-", consolidated=False, zarr_format=3, encoding=_encoding(summary))
        if place.exists():
            # A directory cannot be renamed onto another: the old one steps aside for a moment.
            place.rename(old)
        building.rename(place)
    finally:
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _encoding(summary: xr.DataTree) -> dict[str, dict[str, dict[str, Any]]]:
    """Checksums as a run has them, and chunks along `sample`, whatever the run's own chunks were."""
    encoding: dict[str, dict[str, dict[str, Any]]] = {}
    for node in summary.subtree:
        encoding[node.path] = {}
        for name, variable in node.variables.items():
            variable.encoding = {}
            sizes = variable.sizes.items()
            chunks = tuple(min(size, SAMPLES_PER_CHUNK) if dim == "sample" else size for dim, size in sizes)
            encoding[node.path][str(name)] = {"compressors": COMPRESSORS, "chunks": chunks}
    return encoding
