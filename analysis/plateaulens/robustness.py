"""The groups of a summary that question what its experiments seem to say.

`confounds`: do types differ at equal geometry? `distinguish`: can their targets be told from real ones, before any
curve? `constants`: do the conclusions hang on constants that nobody has justified?
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from plateaulens.compare.confounds_dataset import CUT, Changes, confounds_dataset, cut_changes, stored_changes
from plateaulens.compare.constants import STATISTICS_OF, cases
from plateaulens.compare.constants_dataset import constants_dataset
from plateaulens.compare.dataset import REFERENCE
from plateaulens.compare.distinguish_dataset import distinguish_dataset
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling
from plateaulens.compare.survival import survival_dataset
from plateaulens.config import AnalysisConfig


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
    experiments = {name: run[name].to_dataset() for name in summary if name in run.children and name != "prompts"}
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
    if concluded := {name: experiments[name] for name in experiments if name in STATISTICS_OF}:
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
