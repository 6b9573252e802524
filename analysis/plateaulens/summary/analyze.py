"""From a run to its summary: every number that a figure or a sentence of the report stands on.

The groups of a summary that question what its experiments seem to say.

`confounds`: do types differ at equal geometry? `distinguish`: can their targets be told from real ones, before any
curve? `constants`: do the conclusions hang on constants that nobody has justified?
"""

import json
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens import names
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, shared_targets
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.names import CUT, REFERENCE
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.location import Location, locate
from plateaulens.store.reading import check_kind, experiment_names, open_run
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_KIND
from plateaulens.store.template import COMPRESSORS
from plateaulens.summary.comparison import compare_dataset
from plateaulens.summary.confounds import Changes, confounds_dataset, cut_changes, stored_changes
from plateaulens.summary.constants import cases, constants_dataset
from plateaulens.summary.curves import curve_dataset
from plateaulens.summary.distinguish import distinguish_dataset
from plateaulens.summary.geometry import geometry_dataset
from plateaulens.summary.labels import attrs
from plateaulens.summary.steepness import steepness_dataset
from plateaulens.summary.survival import survival_dataset

SAMPLES_PER_CHUNK = 4096
PACKAGES = ("plateaulens", "numpy", "scipy", "statsmodels", "xarray", "zarr")
"""The distributions whose versions a summary records: those that its numbers go through."""


def analyze(run_path: Location, out_path: Location, settings: AnalysisConfig | None = None) -> xr.DataTree:
    """Compute the summary of the run at `run_path`, write it to `out_path` and return it.

    `settings` are the run's own (the `analysis` section of its configuration) unless given. The run is only read; it
    may be incomplete, and what is not there yet is left out of every count. The summary is a function of the run, the
    settings and the installed versions: random numbers come from `settings.seed` and the experiment's name alone. On a
    local path it is written beside `out_path` and moved there when complete, so a summary that is already there is
    replaced at once or stays; at a URL the old one goes first, and the new one counts as a store when complete.

    Raises `UsageError` when there is no run at `run_path`, an experiment lacks the type `real`, a metric has no minimum
    slope, or `out_path` lies inside a run or holds something other than a summary.
    """
    place = locate(out_path)
    if place.lies_in(locate(run_path)):
        raise UsageError(f"{place} lies inside the run, which is only read: choose another place for the summary")
    if place.exists():
        check_kind(place, SUMMARY_KIND)
    with open_run(run_path) as run:
        settings = settings or AnalysisConfig.model_validate(json.loads(run.attrs["config"])["analysis"])
        summary = summarize(run, settings)
    with place.replace() as store:
        summary.to_zarr(store, mode="w-", consolidated=False, zarr_format=3, encoding=encoding(summary))
    return summary


def summarize(run: xr.DataTree, settings: AnalysisConfig) -> xr.DataTree:
    """The summary of an open run, in memory."""
    groups: dict[str, xr.Dataset] = {"prompts": run["prompts"].to_dataset().load()}
    activations = run["activations"].to_dataset()
    linked = _linked(activations, settings)
    resampling = _resampling(_rng("geometry", settings), activations, linked, settings)
    groups["geometry"] = geometry_dataset(activations, resampling, settings.confidence, reference=REFERENCE)
    for name in experiment_names(run):
        groups[name] = summarize_experiment(run[name].to_dataset(), name, settings, linked)
    targets = json.loads(run.attrs["config"])["targets"]

    def own(name: str) -> Resampling:
        return _resampling(_rng(name, settings), run[name].to_dataset(), linked, settings)

    groups |= robustness_groups(run, groups, targets, settings, own)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _attributes(run, settings)
    return tree


def summarize_experiment(
    experiment: xr.Dataset, name: str, settings: AnalysisConfig, source_row: NDArray[np.integer] | None = None
) -> xr.Dataset:
    """The summary of one experiment's group. Raises `UsageError` when it lacks the type `real`.

    `source_row` (type, sample) are the prompts that real targets come from; with them, base prompts that share one are
    resampled together.
    """
    if REFERENCE not in experiment["activation_type"].to_numpy():
        raise UsageError(f"experiment {name} has no activation type {REFERENCE!r}: there is nothing to compare with")
    rng = _rng(name, settings)
    resampling = _resampling(rng, experiment, source_row, settings)
    steps = step_dataset(experiment, settings)
    return xr.merge(
        [
            steps,
            compare_dataset(steps, resampling, settings, rng, last_step=experiment["step"].size - 1),
            experiment_survival(
                steps, experiment["step"].size - 1, resampling, _rng(f"{name} survival", settings), settings
            ),
            curve_dataset(experiment, resampling, settings.confidence),
            steepness_dataset(experiment, resampling, settings.confidence, reference=REFERENCE),
            _carried_over(experiment, settings.examples),
        ],
        compat="equals",
        join="exact",
        combine_attrs="override",
    )


def _rng(name: str, settings: AnalysisConfig) -> np.random.Generator:
    """The group's random numbers. They depend on the seed and its name: not on which other groups the run has."""
    return np.random.default_rng([settings.seed, *name.encode()])


def _linked(activations: xr.Dataset, settings: AnalysisConfig) -> NDArray[np.integer] | None:
    """Where real targets come from (type, sample), when base prompts that share one are to be resampled together."""
    if not settings.resample_targets:
        return None
    return activations["source_row"].transpose("activation_type", "sample").to_numpy()


def _resampling(
    rng: np.random.Generator, group: xr.Dataset, source_row: NDArray[np.integer] | None, settings: AnalysisConfig
) -> Resampling:
    samples = group["sample"].size
    clusters = None if source_row is None else shared_targets(source_row[:, :samples])
    return Resampling.draw(rng, samples=samples, resamples=settings.resamples, clusters=clusters)


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


def encoding(summary: xr.DataTree) -> dict[str, dict[str, dict[str, Any]]]:
    """Checksums as a run has them, and chunks along `sample`, whatever the run's own chunks were."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for node in summary.subtree:
        found[node.path] = {}
        for name, variable in node.variables.items():
            variable.encoding = {}
            sizes = variable.sizes.items()
            chunks = tuple(min(size, SAMPLES_PER_CHUNK) if dim == "sample" else size for dim, size in sizes)
            found[node.path][str(name)] = {"compressors": COMPRESSORS, "chunks": chunks}
    return found


def robustness_groups(
    run: xr.DataTree,
    summary: Mapping[str, xr.Dataset],
    targets: Mapping[str, Any],
    settings: AnalysisConfig,
    resampling: Callable[[str], Resampling],
) -> dict[str, xr.Dataset]:
    """The groups `confounds`, `distinguish` and, where a conclusion is drawn from an experiment, `constants`.

    `summary` holds the summary's groups so far, `geometry` and the experiments, `targets` that section of the run's
    configuration, and `resampling` gives an experiment's resamples by its name.
    """
    experiments = {name: run[name].to_dataset() for name in experiment_names(run)}
    resamplings = {name: resampling(name) for name in experiments}
    groups = {
        "confounds": _confounds(experiments, summary, resamplings, settings),
        "distinguish": distinguish_dataset(
            run["activations"].to_dataset(),
            reference=REFERENCE,
            seed=settings.seed,
            resamples=settings.resamples,
            confidence=settings.confidence,
        ),
    }
    if concluded := {name: experiments[name] for name in experiments if names.experiment(name).concluded}:
        variants = targets.get("variants", {})
        types = [str(name) for name in next(iter(concluded.values()))["activation_type"].to_numpy()]
        groups["constants"] = constants_dataset(
            concluded,
            cases(list(concluded), types, settings, targets),
            resamplings,
            types=[name for name in types if name not in variants],
            reference=REFERENCE,
            confidence=settings.confidence,
        )
    return groups


def experiment_survival(
    steps: xr.Dataset, last: int, resampling: Resampling, rng: np.random.Generator, settings: AnalysisConfig
) -> xr.Dataset:
    """The survival curves and tests of one experiment; see `survival_dataset`."""
    swaps = Swaps.draw(rng, samples=steps.sizes["sample"], swaps=settings.resamples, clusters=resampling.unit)
    return survival_dataset(steps, last, resampling, swaps, reference=REFERENCE, confidence=settings.confidence)


def _confounds(
    experiments: Mapping[str, xr.Dataset],
    summary: Mapping[str, xr.Dataset],
    resamplings: Mapping[str, Resampling],
    settings: AnalysisConfig,
) -> xr.Dataset:
    paths = {}
    for name, experiment in experiments.items():
        stored = stored_changes(summary[name], experiment.sizes["step"] - 1, REFERENCE)
        paths[name] = Changes(stored, resamplings[name])
        if name == "sensitivity_absolute":
            paths[name + CUT] = Changes(cut_changes(experiment, settings, REFERENCE), resamplings[name])
    metrics = next(iter(experiments.values()))["metric"]
    return confounds_dataset(paths, summary["geometry"], metrics, reference=REFERENCE, confidence=settings.confidence)
