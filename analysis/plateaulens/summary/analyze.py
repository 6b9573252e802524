"""From a run to its summary: every number that a figure or a sentence of the report stands on.

A summary has the groups `prompts` and `geometry`, one for each experiment, and three that question what the experiments
seem to say. `confounds`: do types differ at equal geometry? `distinguish`: can their targets be told from real ones,
before any curve? `constants`: do the conclusions hang on constants that nobody has justified?
"""

import json
import platform
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from math import ceil
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
from plateaulens.names import CONTROL, CUT, REFERENCE
from plateaulens.progress import stage
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.integrity import write_files
from plateaulens.store.location import Location, locate
from plateaulens.store.reading import check_kind, experiment_names, open_run, source_rows
from plateaulens.store.schema import FIT_DISTANCE, MIXED, SCHEMA_VERSION, SUMMARY_KIND, SUMMARY_VERSION
from plateaulens.store.template import COMPRESSORS
from plateaulens.store.verify import blaming_damage
from plateaulens.summary.attributes import attrs
from plateaulens.summary.comparison import compare_dataset, controls_of, with_recorded_margin
from plateaulens.summary.confounds import Changes, compared, confounds_dataset, cut_changes, stored_changes
from plateaulens.summary.constants import cases, constants_dataset
from plateaulens.summary.curves import curve_dataset
from plateaulens.summary.distinguish import distinguish_dataset, with_detectors
from plateaulens.summary.explored import explored_dataset, most_explored
from plateaulens.summary.geometry import geometry_dataset
from plateaulens.summary.ladder import PLATEAU, RELATIVE, PlateauDraws, ladder_dataset, own_token_of
from plateaulens.summary.looks import as_attribute, take
from plateaulens.summary.power import power_dataset
from plateaulens.summary.realism import realism_dataset
from plateaulens.summary.steepness import steepness_dataset
from plateaulens.summary.survival import survival_dataset
from plateaulens.summary.tokens import token_dataset


def analyze(run_path: Location, out_path: Location, settings: AnalysisConfig | None = None) -> xr.DataTree:
    """Compute the summary of a run, write it and return it.

    The run is only read; it may be incomplete, and what is not there yet is left out of every count. The summary is a
    function of the run, the settings and the installed versions: random numbers come from `settings.seed` and the
    experiment's name alone. It also says at how many base prompts the run was analysed before, as far as a summary that
    it replaces knows (`plateaulens.summary.looks`).

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
        that an experiment is judged by, or a metric its minimum slope; for too few resamples, and where earlier looks
        have spent the level; or when `out_path` lies inside a store or holds something other than a summary.
    """
    place = locate(out_path)
    if place.lies_in(locate(run_path)):
        raise UsageError(f"{place} lies inside the run, which is only read: choose another place for the summary")
    before = check_kind(place, SUMMARY_KIND) if place.exists() else {}
    place.check_outside()
    with open_run(run_path) as run, blaming_damage(run_path):
        summary = analyze_open(run, settings or settings_of(run), before)
    write_summary(summary, out_path)
    return summary


def analyze_open(run: xr.DataTree, settings: AnalysisConfig, before: Mapping[Any, Any] | None = None) -> xr.DataTree:
    """The summary of an open run as `analyze` stores it.

    Parameters
    ----------
    run
        An open run, or one in memory; it may be incomplete.
    settings
        How to analyse it.
    before
        Root attributes of an earlier summary of the run, which knows how often it was looked at.

    Returns
    -------
    DataTree
        In memory; see `summarize`.

    Raises
    ------
    UsageError
        As `analyze` does for the run and the settings.
    """
    looks, at_this_look = take(run, before or {}, settings)
    summary = summarize(run, at_this_look)
    summary.attrs |= as_attribute(looks)
    return summary


def write_summary(summary: xr.DataTree, path: Location) -> None:
    """Store a summary with the digests of its files, without which it would not be opened.

    Parameters
    ----------
    summary
        As `summarize` gives it, or changed.
    path
        Where it goes; what is there is replaced as `analyze` does.
    """
    with locate(path).replace() as store:
        summary.to_zarr(store, mode="w-", consolidated=False, zarr_format=3, encoding=encoding(summary))
        write_files(store)


def settings_of(run: xr.DataTree) -> AnalysisConfig:
    """How a run itself wants to be analysed.

    Parameters
    ----------
    run
        An open run.

    Returns
    -------
    AnalysisConfig
        The `analysis` section of its configuration.

    Raises
    ------
    UsageError
        When there is none that can be read.
    """
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
        The groups `prompts`, `geometry`, one for each experiment (see `summarize_experiment`, and `explored_dataset`
        for what is carried over of single prompts), `confounds`,
        `distinguish`, where a conclusion is drawn from an experiment `constants`, and in runs with fitted types
        `ladder`. Its attributes are the run's, and what it was computed with.
    """
    experiments = {name: run[name].to_dataset() for name in experiment_names(run)}
    config = json.loads(run.attrs["config"])
    controls = controls_of(config["targets"])
    activations = run["activations"].to_dataset()
    linked = _linked(activations, settings, config["targets"])
    groups: dict[str, xr.Dataset] = {"prompts": run["prompts"].to_dataset().load()}
    resampling = _resampling(_rng("geometry", settings), activations, linked, settings)
    stage("geometry")
    geometry = geometry_dataset(activations, resampling, settings.confidence, reference=REFERENCE)
    token = groups["prompts"]["token"].isel(position=config["prompts"].get("position", -1))
    tokens = token_dataset(activations, token, resampling, settings.confidence)
    groups["geometry"] = geometry.assign(tokens.data_vars)
    prompts = most_explored(experiments)
    for name, experiment in experiments.items():
        stage(names.experiment(name).title)
        found = summarize_experiment(experiment, name, settings, linked, controls=controls, tables=len(experiments))
        found = found.merge(explored_dataset(experiment, found, prompts), join="exact", combine_attrs="override")
        groups[name] = with_recorded_margin(found, config.get("analysis", {}), name)
    # The resamples of an experiment's own group, drawn once more from the same random numbers.
    resamplings = {
        name: _resampling(_rng(name, settings), experiment, linked, settings)
        for name, experiment in experiments.items()
    }
    stage("differences at equal geometry")
    groups["confounds"] = _confounds(experiments, groups, resamplings, settings, controls)
    stage("whether targets can be told from real ones")
    told = distinguish_dataset(
        activations,
        reference=REFERENCE,
        seed=settings.seed,
        resamples=settings.resamples,
        confidence=settings.confidence,
        controls=controls,
    )
    stage("how realistic targets are")
    realistic = realism_dataset(
        activations,
        reference=REFERENCE,
        controls=controls,
        seed=settings.seed,
        resamples=settings.resamples,
        confidence=settings.confidence,
    )
    named = {name: realistic[name] for name in ("detector", "is_control")}
    groups["distinguish"] = with_detectors(told.assign_coords(named).assign(realistic.data_vars))
    if concluded := {name: group for name, group in experiments.items() if names.experiment(name).concluded}:
        stage("constants")
        groups["constants"] = _constants(concluded, config["targets"], settings, linked, len(experiments))
    if FIT_DISTANCE.name in activations and RELATIVE in experiments:
        stage("the ladder of types")
        types = [str(name) for name in activations["activation_type"].to_numpy()]
        draws = _plateau_draws(resamplings, settings) if own_token_of(config["targets"], types) else None
        kept = json.loads(run.attrs["identity"]).get("own_token", {})
        groups["ladder"] = ladder_dataset(groups, config["targets"], draws, kept)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _attributes(run, settings)
    return tree


def summarize_experiment(
    experiment: xr.Dataset,
    name: str,
    settings: AnalysisConfig,
    source_row: NDArray[np.integer] | None = None,
    *,
    controls: Collection[str] = (CONTROL,),
    tables: int = 1,
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
        The prompts that real targets come from, (row, sample): base prompts that share one are resampled together. None
        resamples single base prompts.
    controls
        The types that are real targets drawn again.
    tables
        How many experiments are judged beside each other, which `settings.family_wise` allows for.

    Returns
    -------
    xarray.Dataset
        What `step_dataset`, `compare_dataset`, `survival_dataset`, `curve_dataset` and `steepness_dataset` find, and
        what is taken from the run as it is: `path_length`, `end_value` (the curves' last points), and `example_curve`
        and `example_sample`, the curves of the first complete base prompts and their numbers.

    Raises
    ------
    UsageError
        When the experiment lacks the type `real`, or `settings.statistics` the statistic that it is judged by; when
        there are so few resamples that no test could reject after its adjustment.
    """
    if REFERENCE not in experiment["activation_type"].to_numpy():
        raise UsageError(f"experiment {name} has no activation type {REFERENCE!r}: there is nothing to compare with")
    judged = names.experiment(name).statistic
    if judged not in settings.statistics:
        raise UsageError(f"experiment {name} is judged by {judged}: add it to analysis.statistics")
    types = [str(each) for each in experiment["activation_type"].to_numpy()]
    _check_resamples(
        settings, [each for each in types if each != REFERENCE], controls, experiment["metric"].size * tables
    )
    last = experiment["step"].size - 1
    steps = step_dataset(experiment, settings, name)
    rng = _rng(name, settings)
    resampling = _resampling(rng, experiment, source_row, settings)
    swaps = Swaps.draw(
        _rng(f"{name} survival", settings),
        samples=experiment["sample"].size,
        swaps=settings.resamples,
        clusters=resampling.unit,
    )
    compared_types = compare_dataset(
        steps,
        resampling,
        settings,
        rng,
        last_step=last,
        margin=settings.margin(name),
        controls=controls,
        tables=tables,
    )
    return xr.merge(
        [
            steps,
            compared_types,
            power_dataset(xr.merge([steps, compared_types], join="exact"), name, settings, resampling.unit),
            survival_dataset(steps, last, resampling, swaps, reference=REFERENCE, confidence=settings.confidence),
            curve_dataset(experiment, resampling, settings.confidence),
            steepness_dataset(experiment, resampling, settings.confidence, settings.minimum_slope, reference=REFERENCE),
            _carried_over(experiment, settings.examples),
        ],
        compat="equals",
        join="exact",
        combine_attrs="override",
    )


def _check_resamples(settings: AnalysisConfig, types: Collection[str], controls: Collection[str], columns: int) -> None:
    """Whether the least p-value that random swaps can have is below the level after Holm's adjustment."""
    tests = max(sum(name in controls for name in types), sum(name not in controls for name in types))
    tests *= columns * len(settings.statistics) if settings.family_wise else 1
    alpha = 1 - settings.confidence
    if tests / (1 + settings.resamples) > alpha:
        raise UsageError(
            f"analysis.resamples: {settings.resamples} are too few for {tests} "
            f"{'tests' if settings.family_wise else 'types'} at level {alpha:.3g}, no type "
            f"could ever be found different: take {ceil(tests / alpha) - 1} or more"
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
    controls: Collection[str],
) -> xr.Dataset:
    """The group `confounds`; `summary` holds the groups so far, `geometry` and the experiments."""
    paths = {}
    for name, experiment in experiments.items():
        stored = stored_changes(summary[name], experiment.sizes["step"] - 1, REFERENCE)
        length = experiment["path_length"].transpose("activation_type", "sample").to_numpy()
        paths[name] = Changes(stored, length, resamplings[name].unit)
        if names.experiment(name).is_cut:
            paths[name + CUT] = paths[name]._replace(change=cut_changes(experiment, settings, REFERENCE))
    metrics = next(iter(experiments.values()))["metric"]
    return confounds_dataset(
        paths,
        summary["geometry"],
        metrics,
        statistics=compared(settings.statistics),
        reference=REFERENCE,
        controls=controls,
        confidence=settings.confidence,
    )


def _constants(
    concluded: Mapping[str, xr.Dataset],
    targets: Mapping[str, Any],
    settings: AnalysisConfig,
    linked: NDArray[np.integer] | None,
    tables: int,
) -> xr.Dataset:
    """The group `constants` of some experiments; `targets` is that section of the run's configuration."""
    variants, controls = targets.get("variants", {}), controls_of(targets)
    types = [str(name) for name in next(iter(concluded.values()))["activation_type"].to_numpy()]

    def compare(name: str, steps: xr.Dataset, last: int) -> xr.Dataset:
        rng = _rng(name, settings)  # as `summarize_experiment` has it
        resampling = _resampling(rng, concluded[name], linked, settings)
        margin = settings.margin(name)
        return compare_dataset(
            steps, resampling, settings, rng, last_step=last, margin=margin, controls=controls, tables=tables
        )

    return constants_dataset(
        concluded,
        cases(list(concluded), types, settings, targets),
        compare,
        types=[name for name in types if name not in variants],
    )


def _plateau_draws(resamplings: Mapping[str, Resampling], settings: AnalysisConfig) -> PlateauDraws | None:
    if PLATEAU not in resamplings:
        return None
    own = resamplings[PLATEAU]
    rng = _rng("ladder", settings)
    return PlateauDraws(own, Swaps.draw(rng, samples=len(own.unit), swaps=settings.resamples, clusters=own.unit))


def _resampling(
    rng: np.random.Generator, group: xr.Dataset, source_row: NDArray[np.integer] | None, settings: AnalysisConfig
) -> Resampling:
    """Resamples of a group; base prompts that share a target of `source_row` (row, sample) come up together."""
    samples = group["sample"].size
    clusters = None if source_row is None else shared_targets(source_row[:, :samples])
    return Resampling.draw(rng, samples=samples, resamples=settings.resamples, clusters=clusters)


MIXTURE = "real_mixture"
"""The type that ships and mixes real activations; runs did not always write down which."""


def _linked(
    activations: xr.Dataset, settings: AnalysisConfig, targets: Mapping[str, Any]
) -> NDArray[np.integer] | None:
    """Where real targets come from (row, sample), when base prompts that share one are to be resampled together."""
    if not settings.resample_targets:
        return None
    kinds = {name: each["type"] for name, each in targets.get("variants", {}).items()}
    types = [str(name) for name in activations["activation_type"].to_numpy()]
    mixtures = [name for name in types if kinds.get(name, name) == MIXTURE]
    if mixtures and MIXED.name not in activations:
        raise UsageError(
            f"analysis.resample_targets: this run does not say which prompts {mixtures[0]} is made of, as those of "
            f"today do: collect it again, leave {MIXTURE} out, or switch it off"
        )
    rows = source_rows(activations)
    return rows.reshape(-1, rows.shape[-1])


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
        "summary_version": SUMMARY_VERSION,
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
            own = (min(size, SAMPLES_PER_CHUNK) if dim == "sample" else size for dim, size in sizes)
            chunks = tuple(max(size, 1) for size in own)  # zarr 3.4 takes no chunks of nothing
            found[node.path][str(name)] = {"compressors": COMPRESSORS, "chunks": chunks}
    return found
