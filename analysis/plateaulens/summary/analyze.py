"""From a run to its summary: every number that a figure or a sentence of the report stands on.

A summary has the groups `prompts` and `geometry`, one for each experiment, and three that question what the experiments
seem to say. `confounds`: do types differ at equal geometry? `distinguish`: can their targets be told from real ones,
before any curve? `constants`: do the conclusions hang on constants that nobody has justified?
"""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import ValidationError

from plateaulens import names
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, shared_targets
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError, explain, first_line
from plateaulens.names import CUT, REFERENCE
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.integrity import write_files
from plateaulens.store.location import Location, locate
from plateaulens.store.reading import check_kind, experiment_names, open_run
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_KIND
from plateaulens.store.template import COMPRESSORS
from plateaulens.store.verify import blaming_damage
from plateaulens.summary.attributes import attrs
from plateaulens.summary.comparison import compare_dataset
from plateaulens.summary.confounds import Changes, compared, confounds_dataset, cut_changes, stored_changes
from plateaulens.summary.constants import cases, constants_dataset
from plateaulens.summary.curves import curve_dataset
from plateaulens.summary.distinguish import distinguish_dataset
from plateaulens.summary.geometry import geometry_dataset
from plateaulens.summary.steepness import steepness_dataset
from plateaulens.summary.survival import survival_dataset


def analyze(run_path: Location, out_path: Location, settings: AnalysisConfig | None = None) -> xr.DataTree:
    """Compute the summary of a run, write it and return it.

    The run is only read; it may be incomplete, and what is not there yet is left out of every count. The summary is a
    function of the run, the settings and the installed versions: random numbers come from `settings.seed` and the
    experiment's name alone.

    Parameters
    ----------
    run_path
        Where the run is.
    out_path
        Where the summary goes. On a local path it is written beside `out_path` and moved there when complete, so a
        summary that is already there is replaced at once or stays; at a URL the old one goes first, and the new one
        counts as a store when complete.
    settings
        The run's own (the `analysis` section of its configuration) unless given.

    Returns
    -------
    xarray.DataTree
        The summary, in memory; see `summarize`.

    Raises
    ------
    UsageError
        When there is no run at `run_path`, an experiment lacks the type `real`, `settings.statistics` the statistic
        that an experiment is judged by, or a metric its minimum slope; or when `out_path` lies inside a run or holds
        something other than a summary.
    """
    place = locate(out_path)
    if place.lies_in(locate(run_path)):
        raise UsageError(f"{place} lies inside the run, which is only read: choose another place for the summary")
    if place.exists():
        check_kind(place, SUMMARY_KIND)
    with open_run(run_path) as run, blaming_damage(run_path):
        summary = summarize(run, settings or _settings_of(run))
    with place.replace() as store:
        summary.to_zarr(store, mode="w-", consolidated=False, zarr_format=3, encoding=encoding(summary))
        write_files(store)
    return summary


def _settings_of(run: xr.DataTree) -> AnalysisConfig:
    """How a run itself wants to be analysed."""
    try:
        return AnalysisConfig.model_validate(json.loads(str(run.attrs["config"]))["analysis"])
    except (ValueError, KeyError, TypeError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else first_line(error)
        raise UsageError(f"the run's analysis section is of another version, or damaged ({reason})") from None


def summarize(run: xr.DataTree, settings: AnalysisConfig) -> xr.DataTree:
    """The summary of an open run, in memory.

    Parameters
    ----------
    run
        An open run; it may be incomplete.
    settings
        How to analyse it.

    Returns
    -------
    xarray.DataTree
        The groups `prompts`, `geometry`, one for each experiment (see `summarize_experiment`), `confounds`,
        `distinguish` and, where a conclusion is drawn from an experiment, `constants`. Its attributes are the run's,
        and what it was computed with.
    """
    experiments = {name: run[name].to_dataset() for name in experiment_names(run)}
    activations = run["activations"].to_dataset()
    linked = _linked(activations, settings)
    groups: dict[str, xr.Dataset] = {"prompts": run["prompts"].to_dataset().load()}
    resampling = _resampling(_rng("geometry", settings), activations, linked, settings)
    groups["geometry"] = geometry_dataset(activations, resampling, settings.confidence, reference=REFERENCE)
    for name, experiment in experiments.items():
        groups[name] = summarize_experiment(experiment, name, settings, linked)
    # The resamples of an experiment's own group, drawn once more from the same random numbers.
    resamplings = {
        name: _resampling(_rng(name, settings), experiment, linked, settings)
        for name, experiment in experiments.items()
    }
    groups["confounds"] = _confounds(experiments, groups, resamplings, settings)
    groups["distinguish"] = distinguish_dataset(
        activations,
        reference=REFERENCE,
        seed=settings.seed,
        resamples=settings.resamples,
        confidence=settings.confidence,
    )
    if concluded := {name: group for name, group in experiments.items() if names.experiment(name).concluded}:
        targets = json.loads(run.attrs["config"])["targets"]
        groups["constants"] = _constants(concluded, resamplings, targets, settings)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _attributes(run, settings)
    return tree


def summarize_experiment(
    experiment: xr.Dataset, name: str, settings: AnalysisConfig, source_row: NDArray[np.integer] | None = None
) -> xr.Dataset:
    """The summary of one experiment.

    Parameters
    ----------
    experiment
        The experiment's group of a run.
    name
        The experiment's name, which its random numbers depend on.
    settings
        How to analyse it.
    source_row
        The prompts that real targets come from, (type, sample): base prompts that share one are resampled together.
        None resamples single base prompts.

    Returns
    -------
    xarray.Dataset
        What `step_dataset`, `compare_dataset`, `survival_dataset`, `curve_dataset` and `steepness_dataset` find, and
        what is taken from the run as it is: `path_length`, `end_value` (the curves' last points), and `example_curve`
        and `example_sample`, the curves of the first complete base prompts and their numbers.

    Raises
    ------
    UsageError
        When the experiment lacks the type `real`, or `settings.statistics` the statistic that it is judged by.
    """
    if REFERENCE not in experiment["activation_type"].to_numpy():
        raise UsageError(f"experiment {name} has no activation type {REFERENCE!r}: there is nothing to compare with")
    judged = names.experiment(name).statistic
    if judged not in settings.statistics:
        raise UsageError(f"experiment {name} is judged by {judged}: add it to analysis.statistics")
    last = experiment["step"].size - 1
    steps = step_dataset(experiment, settings)
    rng = _rng(name, settings)
    resampling = _resampling(rng, experiment, source_row, settings)
    swaps = Swaps.draw(
        _rng(f"{name} survival", settings),
        samples=experiment["sample"].size,
        swaps=settings.resamples,
        clusters=resampling.unit,
    )
    return xr.merge(
        [
            steps,
            compare_dataset(steps, resampling, settings, rng, last_step=last),
            survival_dataset(steps, last, resampling, swaps, reference=REFERENCE, confidence=settings.confidence),
            curve_dataset(experiment, resampling, settings.confidence),
            steepness_dataset(experiment, resampling, settings.confidence, reference=REFERENCE),
            _carried_over(experiment, settings.examples),
        ],
        compat="equals",
        join="exact",
        combine_attrs="override",
    )


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
            "end_value": last.assign_attrs(attrs("last point of the curve", curve.attrs["units"])),
            "example_curve": example.transpose("example", "activation_type", "step", "metric").assign_attrs(
                attrs("curve of an example", curve.attrs["units"])
            ),
            "example_sample": ("example", chosen, attrs("base prompt of the example", "1")),
        }
    )


def _confounds(
    experiments: Mapping[str, xr.Dataset],
    summary: Mapping[str, xr.Dataset],
    resamplings: Mapping[str, Resampling],
    settings: AnalysisConfig,
) -> xr.Dataset:
    """The group `confounds`; `summary` holds the groups so far, `geometry` and the experiments."""
    paths = {}
    for name, experiment in experiments.items():
        stored = stored_changes(summary[name], experiment.sizes["step"] - 1, REFERENCE)
        paths[name] = Changes(stored, resamplings[name])
        if names.experiment(name).is_cut:
            paths[name + CUT] = Changes(cut_changes(experiment, settings, REFERENCE), resamplings[name])
    metrics = next(iter(experiments.values()))["metric"]
    return confounds_dataset(
        paths,
        summary["geometry"],
        metrics,
        statistics=compared(settings.statistics),
        reference=REFERENCE,
        confidence=settings.confidence,
    )


def _constants(
    concluded: Mapping[str, xr.Dataset],
    resamplings: Mapping[str, Resampling],
    targets: Mapping[str, Any],
    settings: AnalysisConfig,
) -> xr.Dataset:
    """The group `constants` of some experiments; `targets` is that section of the run's configuration."""
    variants = targets.get("variants", {})
    types = [str(name) for name in next(iter(concluded.values()))["activation_type"].to_numpy()]
    return constants_dataset(
        concluded,
        cases(list(concluded), types, settings, targets),
        resamplings,
        types=[name for name in types if name not in variants],
        reference=REFERENCE,
        confidence=settings.confidence,
    )


def _resampling(
    rng: np.random.Generator, group: xr.Dataset, source_row: NDArray[np.integer] | None, settings: AnalysisConfig
) -> Resampling:
    """Resamples of a group; base prompts that share a target of `source_row` (type, sample) come up together."""
    samples = group["sample"].size
    clusters = None if source_row is None else shared_targets(source_row[:, :samples])
    return Resampling.draw(rng, samples=samples, resamples=settings.resamples, clusters=clusters)


def _linked(activations: xr.Dataset, settings: AnalysisConfig) -> NDArray[np.integer] | None:
    """Where real targets come from (type, sample), when base prompts that share one are to be resampled together."""
    if not settings.resample_targets:
        return None
    return activations["source_row"].transpose("activation_type", "sample").to_numpy()


def _rng(name: str, settings: AnalysisConfig) -> np.random.Generator:
    """The group's random numbers. They depend on the seed and its name: not on which other groups the run has."""
    return np.random.default_rng([settings.seed, *name.encode()])


PACKAGES = ("plateaulens", "numpy", "scipy", "statsmodels", "xarray", "zarr")
"""The distributions whose versions a summary records: those that its numbers go through."""


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


SAMPLES_PER_CHUNK = 4096
"""So that a large summary is read in parts."""


def encoding(summary: xr.DataTree) -> dict[str, dict[str, dict[str, Any]]]:
    """How a summary is written: with a run's checksums, and in chunks along `sample`, whatever the run's own were.

    Parameters
    ----------
    summary
        The summary; encodings that its variables bring along are removed from it.

    Returns
    -------
    dict[str, dict[str, dict[str, Any]]]
        `encoding` of `xarray.DataTree.to_zarr`: for each group, by its path, that of each variable.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for node in summary.subtree:
        found[node.path] = {}
        for name, variable in node.variables.items():
            variable.encoding = {}
            sizes = variable.sizes.items()
            chunks = tuple(min(size, SAMPLES_PER_CHUNK) if dim == "sample" else size for dim, size in sizes)
            found[node.path][str(name)] = {"compressors": COMPRESSORS, "chunks": chunks}
    return found
