"""What runs with SAEs have to say for the scale of `plateaulens.summary.sae_scale`, and whether they are comparable."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens import names
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.names import REFERENCE, SCALE_START, SCALED
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.reading import experiment_names, source_rows
from plateaulens.store.schema import RUN_KIND

PLATEAU = "plateau"
"""The experiment that plateau lengths are taken from, where there is one."""
STEP_CONSTANTS = ("minimum_slope", "nonlinearity_tolerance", "plateau_threshold")
"""The keys of `[analysis]` that say how curves become steps: a summary has its own."""


@dataclass(frozen=True)
class Evidence:
    """What a run with one SAE has to say."""

    steps: xr.Dataset
    """`step_value` and `censored` (metric, activation_type, sample) of the statistic that the scale is about."""
    plateaus: xr.Dataset
    """The same of plateau lengths, from their own experiment where there is one."""
    experiment: str
    """Whose steps they are."""
    statistic: str
    lasts: tuple[int, int]
    """The last steps of both."""
    tokens: NDArray[np.int32]
    """The base prompts, (sample, position)."""
    settings: dict[str, Any]
    """What must be equal for two runs to have the same bases and ends of the scale, measured alike, by its name."""
    linked: NDArray[np.integer] | None
    """The prompts that real targets come from, (row, sample); None where that is not known, as in a summary."""
    about: dict[str, Any]
    """Of JSON's types: where the SAE and the numbers are from."""


def own_settings(tree: xr.DataTree) -> AnalysisConfig:
    """How a run wants to be analysed, or how a summary was.

    Parameters
    ----------
    tree
        A run, or the summary of one.

    Returns
    -------
    AnalysisConfig
        From its attributes.

    Raises
    ------
    UsageError
        When they are damaged, or of another version.
    """
    with reading("the analysis section is damaged, or of another version", "analyse the run again"):
        if tree.attrs.get("kind") == RUN_KIND:
            return AnalysisConfig.model_validate(json.loads(str(tree.attrs["config"]))["analysis"])
        return AnalysisConfig.model_validate_json(str(tree.attrs["analysis"]))


def has_ends(tree: xr.DataTree) -> bool:
    """Whether a run has both ends of the scale.

    Parameters
    ----------
    tree
        A run, or the summary of one.

    Returns
    -------
    bool
        False where its experiments lack real or random targets.
    """
    known = {str(name) for name in tree[experiment_names(tree)[0]]["activation_type"].to_numpy()}
    return {REFERENCE, SCALE_START} <= known


def evidence_of(
    tree: xr.DataTree,
    settings: AnalysisConfig,
    *,
    groups: Mapping[str, xr.Dataset] | None = None,
    experiment: str | None = None,
) -> Evidence:
    """What the scale needs of a run with an SAE.

    Parameters
    ----------
    tree
        A run, complete or not, or the summary of one.
    settings
        How curves become steps; of a summary they have, and its own must be the same.
    groups
        Step statistics of its experiments, where they have been computed; see `step_dataset`.
    experiment
        Whose steps are meant; None takes the first one that is judged by the max-slope step, else the first.

    Returns
    -------
    Evidence
        In memory.

    Raises
    ------
    UsageError
        Without that experiment or without the two ends of the scale, for damaged attributes, and for a summary whose
        `STEP_CONSTANTS` are others.
    """
    known = experiment_names(tree)
    judged = [name for name in known if names.experiment(name).statistic == "max_slope"]
    chosen = experiment or (judged or list(known))[0]
    if chosen not in known:
        raise UsageError(f"there is no experiment {shown(chosen)} here, there is {', '.join(known)}")
    lengths = PLATEAU if PLATEAU in known else chosen
    is_run = tree.attrs.get("kind") == RUN_KIND
    constants = settings.model_dump(include=set(STEP_CONSTANTS))
    if not is_run:
        own_constants = own_settings(tree).model_dump(include=set(STEP_CONSTANTS))
        if other := [key for key in STEP_CONSTANTS if own_constants[key] != constants[key]]:
            raise UsageError(
                f"the steps of the summary {shown(str(tree.attrs.get('name', '')))} were made with another {other[0]}: "
                "give its run, or analyse that again"
            )

    def steps(name: str) -> xr.Dataset:
        if groups is not None and name in groups:
            return groups[name]
        group = tree[name].to_dataset()
        return group if "step_value" in group else step_dataset(group, settings, name)

    with reading("the run's attributes are damaged", "collect the run again"):
        config, identity = json.loads(str(tree.attrs["config"])), json.loads(str(tree.attrs["identity"]))
        versions = json.loads(str(tree.attrs.get("versions", "{}")))
        provenance = dict(tree["provenance"].attrs) if is_run else json.loads(str(tree.attrs.get("provenance", "{}")))
        definitions = json.loads(str(tree.attrs.get("definitions", "{}")))
        last = {each["name"]: int(each["steps"]) - 1 for each in json.loads(str(tree.attrs["layout"]))["experiments"]}
        sae = config.get("sae") or {}
        kept = {key: identity.get(key) for key in ("model", "prompts")}
        targets = {key: config["targets"].get(key) for key in ("types", "variants")}
        frozen = config["sites"].get("frozen") or []  # which earlier versions did not write down
        sites = {**config["sites"], "frozen": frozen}
        about = {
            "source": sae.get("source"),
            "identity": identity.get("sae"),
            "model": config["model"].get("source"),
            "write": config["sites"]["write"],
            "read": config["sites"]["read"],
            "frozen": frozen,
            "prompts": {key: config["prompts"].get(key) for key in ("source", "length")},
            "targets": targets,
            "seed": config.get("seed"),
            "steps": {name: last[name] + 1 for name in dict.fromkeys((chosen, lengths))},
            "dtype": config["model"].get("dtype"),
            "versions": versions,
            "commit": str(tree.attrs.get("commit", "unknown")),
            "created": provenance.get("created"),
        }
        numerics = {
            "step lengths": {name: (config.get(name) or {}).get("step_length") for name in about["steps"]},
            "processing": config["model"].get("processing"),
            "dtype": config["model"].get("dtype"),
            "precision": identity.get("precision", "float32"),  # as all were before it was written down
            "step constants": constants,
        }
        made = {
            # a type of a file or a module has its identity, too
            f"definition of {name}": [definitions.get(name), (identity.get("activation_types") or {}).get(name)]
            for name in (REFERENCE, SCALE_START)
        }
    statistic = names.experiment(chosen).statistic
    own, plateaus = _one(steps(chosen), statistic, chosen), _one(steps(lengths), "plateau_length", lengths)
    types = [str(name) for name in own["activation_type"].to_numpy()]
    if missing := [name for name in (REFERENCE, SCALE_START) if name not in types]:
        raise UsageError(f"the run has no {missing[0]}, an end of the scale: add it to the run's types")
    seeded = {"seed": config.get("seed"), "sites": sites, "experiment": chosen, "steps": about["steps"]}
    return Evidence(
        own,
        plateaus,
        chosen,
        statistic,
        (last[chosen], last[lengths]),
        tree["prompts"]["token"].transpose("sample", ...).to_numpy(),
        kept | seeded | numerics | made,
        _linked(tree["activations"].to_dataset()) if is_run else None,
        about,
    )


def _linked(activations: xr.Dataset) -> NDArray[np.integer]:
    rows = source_rows(activations)
    return rows.reshape(-1, rows.shape[-1])


def _one(steps: xr.Dataset, statistic: str, experiment: str) -> xr.Dataset:
    if statistic not in steps["statistic"].to_numpy():
        raise UsageError(f"experiment {experiment} has no statistic {statistic}: add it to analysis.statistics")
    kept = steps[["step_value", "censored"]].sel(convention="corrected", statistic=statistic, drop=True)
    own = [name for name in kept.coords if name not in {"metric", "activation_type", "metric_units"}]
    return kept.drop_vars(own).transpose("metric", "activation_type", "sample").load()


def check_paired(evidence: Mapping[str, Evidence]) -> None:
    """Refuse SAEs whose base prompts or ends of the scale are not the same, or that were not measured alike.

    Nothing could be said of their difference. Compared are the tokens, the metrics, and `Evidence.settings`: seed,
    sites, prompts, model and its numerics, experiment, steps, step constants, and how real and random are made.

    Parameters
    ----------
    evidence
        Of each SAE, by its name.

    Raises
    ------
    UsageError
        Names two SAEs and what differs.
    """
    (first, one), *others = evidence.items()
    for name, other in others:
        differing = [key for key, value in one.settings.items() if other.settings[key] != value]
        if not np.array_equal(one.tokens, other.tokens):
            differing.append("base prompts")
        if list(one.steps["metric"].to_numpy()) != list(other.steps["metric"].to_numpy()):
            differing.append("metrics")
        if differing:
            raise UsageError(
                f"the SAEs {shown(first)} and {shown(name)} cannot be compared, the {differing[0]} of their runs "
                "differ: collect them in one sweep, or with one call of score_sae"
            )


def scaled_types(evidence: Mapping[str, Evidence], wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The activation types that the scale is about.

    Parameters
    ----------
    evidence
        Of each SAE, by its name.
    wanted
        Those that are asked for; None takes `SCALED` and the variants of these.

    Returns
    -------
    tuple of str
        Those that a run has; none where there are none.
    """
    found: dict[str, None] = {}
    for each in evidence.values():
        variants = each.about["targets"]["variants"] or {}
        own = [str(name) for name in each.steps["activation_type"].to_numpy()]
        made = {name: variants[name]["type"] if name in variants else name for name in own}
        asked = [name for name in own if made[name] in SCALED] if wanted is None else wanted
        found |= dict.fromkeys(name for name in asked if name in own)
    return tuple(found)
