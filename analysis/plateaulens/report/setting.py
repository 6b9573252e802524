"""What was measured and how, in the report's words and with the run's own constants: sentences and tables."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.config import AnalysisConfig, RunConfig, TargetConfig
from plateaulens.names import CLAIMS, label, metric_label
from plateaulens.report.contents import config_of, definitions_of, experiments_of, settings_of, step_length, types_of
from plateaulens.report.table import TYPE, Column, Row, Table
from plateaulens.report.text import duration, escape, listing, number, percent

_PROCESSING = {"none": "its weights as published", "folded": "LayerNorm folded in and its writing weights centred"}
_RECOMBINED = {name for pair in CLAIMS for name in pair}
"""The types whose targets are the base's code with other latents."""
_ANCHORED = CLAIMS[0][0]
"""The one of them whose recipe takes more than a line."""
_FROM_CONFIG = ("write_site", "read_site", "processing")


def subject(config: RunConfig) -> str:
    """The model, the prompts, the sites and the SAE of a run.

    Parameters
    ----------
    config
        The run's.

    Returns
    -------
    str
        Markdown.
    """
    sae = f"The SAE is {escape(config.sae.source)}" if config.sae else "There is no SAE"
    held = held_sentence(config)
    return (
        f"The model is {escape(config.model.source)}, {_PROCESSING[config.model.processing]}. Prompts have "
        f"{config.prompts.length} tokens ({escape(config.prompts.source)}). The write site is "
        f"{escape(config.sites.write)}, the read site {escape(config.sites.read)}. {sae}."
        f"{f' {held}' if held else ''}"
    )


def held_sentence(config: RunConfig) -> str:
    """Which parts of blocks do not answer to what is written.

    Parameters
    ----------
    config
        The run's.

    Returns
    -------
    str
        Markdown; empty where all of them do.
    """
    if not config.sites.frozen:
        return ""
    held = listing([escape(name) for name in config.sites.frozen])
    return f"These parts of the model do not answer, but are held at what they are in the unperturbed prompt: {held}."


def story(summary: xr.DataTree) -> str:
    """What was done, in the shortest words: the path, the targets, the curve, its step, and the comparison.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    str
        Markdown.
    """
    config = config_of(summary)
    types = types_of(summary["geometry"].to_dataset())
    sizes = [
        f"{number(group.sizes['sample'], 0)} ({names.experiment(name).title})"
        for name, group in experiments_of(summary).items()
    ]
    composed = " or composed of latents of a sparse autoencoder (SAE)" if _RECOMBINED & set(types) else ""
    return (
        f"One activation of {escape(config.model.source)}, that of a prompt's last token, is moved step by step from "
        f"its own value (the base) to another one (the target). Targets are real (another prompt's), drawn at "
        f"random{composed}. A curve is how far the response has moved: at the read site (L2), and in the next-token "
        f"distribution (KL). Where it rises most steeply, at its max-slope step, it blows up. A type of target is like "
        f"real when its steps are distributed like those of real targets."
        + (f" Base prompts: {listing(sizes)}." if sizes else "")
        + (f" {held}" if (held := held_sentence(config)) else "")
    )


def synthetic(targets: TargetConfig) -> str:
    """What the recipes of the run's synthetic types have in common, and the part of one that no table has room for.

    Parameters
    ----------
    targets
        The run's.

    Returns
    -------
    str
        Sentences.
    """
    sentences = []
    recombined = [label(name) for name in targets.types if name in _RECOMBINED]
    if recombined:
        sentences.append(
            f"For {listing(recombined)} the base A is encoded by the sparse autoencoder (SAE). Its active latents are "
            "replaced by others at the same activations, and the code is decoded."
        )
    if _ANCHORED in targets.types:
        sentences.append(
            f"For {label(_ANCHORED)}, candidates for the strongest latent are the {targets.anchor_pool} latents that "
            f"fire about as often. It is replaced by the one whose decoder cosine to it is nearest "
            f"{targets.anchor_cosine:g}. Every other latent is replaced by an unused one, whose cosine to this "
            "replacement is nearest to its own cosine to the strongest."
        )
    return " ".join(sentences) or "No type of this run is made of the base's latents."


def thresholds(settings: AnalysisConfig, metrics: Sequence[str]) -> dict[str, str]:
    """The constants of the step statistics as the report writes them.

    Parameters
    ----------
    settings
        Those of the analysis.
    metrics
        Those of the run: the settings may have thresholds for more.

    Returns
    -------
    dict
        Phrases by the names of the settings; `ratio_start` is the first step that an AUC ratio is looked at.
    """
    return {
        "nonlinearity_tolerance": percent(settings.nonlinearity_tolerance),
        "minimum_slope": _on_metrics(settings.minimum_slope, metrics),
        "plateau_threshold": _on_metrics(settings.plateau_threshold, metrics),
        "ratio_start": number(names.statistic("auc_ratio").start, 0),
    }


def resampling(settings: AnalysisConfig) -> str:
    """How often was resampled, at which confidence.

    Parameters
    ----------
    settings
        Those of the analysis.

    Returns
    -------
    str
        A phrase.
    """
    return f"{number(settings.resamples, 0)} resamples, confidence {percent(settings.confidence)}"


def level(settings: AnalysisConfig) -> str:
    """The level of the tests.

    Parameters
    ----------
    settings
        Those of the analysis.

    Returns
    -------
    str
        In percent.
    """
    return percent(1 - settings.confidence)


def family(settings: AnalysisConfig) -> str:
    """Over which tests Holm's adjustment runs.

    Parameters
    ----------
    settings
        Those of the analysis.

    Returns
    -------
    str
        What stands behind "adjusted by Holm's method".
    """
    if settings.family_wise:
        return "over everything that the tables of verdicts say: all types, metrics, statistics and experiments"
    return "over the types (or pairs of types) of one experiment, statistic and metric"


def experiment_table(summary: xr.DataTree) -> Table:
    """The experiments of the run with their sizes, and the margin of equivalence of each with its reason.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    Table
        A row per experiment; `step_length` is NaN for relative steps.
    """
    columns = {
        "title": Column("experiment"),
        "prompts": Column("base prompts", "count"),
        "types": Column("types", "text"),
        "points": Column("points per path", "text"),
        "step": Column("step length"),
        "margin": Column("margin"),
        "reason": Column("why this margin", "prose"),
    }
    rows = [_experiment(name, experiment) for name, experiment in experiments_of(summary).items()]
    return Table(pd.DataFrame(rows), columns)


def definition_table(summary: xr.DataTree, types: Sequence[str] | None = None) -> Table:
    """How every activation type makes its targets, in the words that the run carries along.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.
    types
        Those of the group `geometry` unless given.

    Returns
    -------
    Table
        A row per type, with a dash for one that the run has no words for.
    """
    definitions = definitions_of(summary)
    shown = types_of(summary["geometry"].to_dataset()) if types is None else types
    rows = [{"type": name, "definition": definitions.get(name)} for name in shown]
    return Table(pd.DataFrame(rows), {"type": TYPE, "definition": Column("target T", "prose")})


def example_table(summary: xr.DataTree, experiment: xr.Dataset) -> Table:
    """The example prompts by sample index, their text literally.

    Parameters
    ----------
    summary
        The summary.
    experiment
        The group with the examples.

    Returns
    -------
    Table
        A row per prompt.
    """
    texts = summary["prompts"]["text"]
    rows = [
        {"prompt": sample, "text": str(texts.isel(sample=sample).item())}
        for sample in map(int, experiment["example_sample"].values)
    ]
    return Table(pd.DataFrame(rows), {"prompt": Column("prompt", "text"), "text": Column("text", "text")})


def provenance_table(summary: xr.DataTree) -> Table:
    """Where the numbers come from: model, SAE, sites, processing, seeds, commit, versions, and the time it took.

    Parameters
    ----------
    summary
        The summary.

    Returns
    -------
    Table
        A row per item.
    """
    attributes = summary.attrs
    config, settings = config_of(summary), settings_of(summary)
    identity = _flat(json.loads(attributes["identity"]))
    items = {
        "run": config.name,
        "model": config.model.source + (f", revision {config.model.revision}" if config.model.revision else ""),
        "weight processing": config.model.processing,
        "write site": config.sites.write,
        "read site": config.sites.read,
        **({"held parts": ", ".join(config.sites.frozen)} if config.sites.frozen else {}),
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
    frame = pd.DataFrame([{"item": key, "value": value} for key, value in items.items()])
    return Table(frame, {name: Column(name, "text") for name in ("item", "value")})


def _on_metrics(values: Mapping[str, float], metrics: Sequence[str]) -> str:
    found = [f"{value:g} on {metric_label(metric)}" for metric, value in values.items() if metric in metrics]
    return listing(found) if found else "no value"


def _experiment(name: str, experiment: xr.Dataset) -> Row:
    points, length = experiment.sizes["step"], step_length(experiment)
    known, used = names.experiment(name), experiment["verdict"].attrs["margin"]
    return {
        "experiment": name,
        "title": known.title,
        "prompts": experiment.sizes["sample"],
        "types": experiment.sizes["activation_type"],
        "points": points,
        "step_length": float("nan") if length is None else length,
        "step": f"1/{points - 1} of the path" if length is None else f"{length:g} activation units",
        "margin": f"{used:g}",
        "reason": known.margin_reason if used == known.equivalence_margin else "set by the analysis",
    }


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
