"""Placing SAEs on one scale: what a notebook has (SAEs, prompts, or runs that are there) to shares and a ranking."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import xarray as xr
from pydantic import ValidationError

from plateaulens.config import AnalysisConfig, stem_of
from plateaulens.errors import UsageError, explain, shown
from plateaulens.names import CONTROL, DEFAULT_METRICS, REFERENCE, SCALE_START, SCALED
from plateaulens.store.location import locate
from plateaulens.store.reading import check_summary
from plateaulens.store.schema import RUN_KIND, SUMMARY_KIND, SWEEP_SUMMARY_KIND
from plateaulens.summary.sae_evidence import PLATEAU, STEP_CONSTANTS, evidence_of, own_settings
from plateaulens.summary.sae_scale import GROUP, ranking, sae_scale_dataset

if TYPE_CHECKING:
    from sae_lens import SAE

    from plateaulens.notebook.subject import Subject, Texts, TokenIds
    from plateaulens.notebook.walk import Activations


class Scores(NamedTuple):
    """SAEs on one scale."""

    data: xr.Dataset
    """(sae, activation_type, metric); see `plateaulens.summary.sae_scale.sae_scale_dataset`."""
    ranking: pd.DataFrame
    """The same as a table, the best SAE of each type and metric first."""


def score_sae(
    subject: "Subject | Mapping[str, xr.DataTree] | xr.DataTree",
    saes: "Mapping[str, SAE[Any] | str | Path] | None" = None,
    tokens: "TokenIds | Texts | None" = None,
    *,
    samples: int | None = None,
    pool: "Activations | TokenIds | Texts | None" = None,
    types: Sequence[str] | None = None,
    steps: int = 101,
    step_length: float | None = None,
    length: int | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    seed: int = 0,
    out: str | Path | None = None,
    engine: Mapping[str, Any] | None = None,
    constants: Mapping[str, float] | None = None,
    quiet: bool = False,
    **options: Any,
) -> Scores:
    """Say of each SAE how much of the way from random to real its activations come, and which one comes farthest.

    The share of the way is 1 - KS(type, real) / KS(random, real), of the distributions of max-slope steps: 1 for
    activations that blow up where real ones do, 0 for those that are as far from real as `random`, negative for those
    that are farther. It is not defined, NaN, and the standing "undefined", where `random` is not shown to differ from
    `real`. All SAEs have the same base prompts, real and random targets, so that their differences are paired.

    Parameters
    ----------
    subject
        The model and its sites. Or what has been measured: runs or summaries by the name of their SAE, one such tree,
        or the summary of a sweep over SAEs; nothing else is then given but `types` and `options`.
    saes
        By their names: SAELens SAEs, folders, or `release:id`.
    tokens, pool, samples, steps, length, metrics, seed, engine, constants, quiet
        As `plateaulens.walk` takes them.
    types
        The activation types to place; None takes `reconstruction`, `baseline` and `structured`. A second draw of real
        is walked as a yardstick: its share, `control_share`, is 1 but for chance.
    step_length
        With it plateaus are walked in steps of this length, in units of the residual stream; without it plateau lengths
        are those of the relative steps.
    out
        A folder or a URL for the runs, one for each SAE: an interrupted call goes on there. None keeps nothing.
    **options
        Keys of `[analysis]`: `resamples`, `confidence`, `plateau_threshold`, `resample_targets` and so on. Those that
        say how curves become steps (`minimum_slope`, `nonlinearity_tolerance`, `plateau_threshold`, `statistics`) are
        for runs: a summary has its steps.

    Returns
    -------
    Scores
        `data`, an xarray Dataset, and `ranking`, a DataFrame. The word `standing` of an SAE is "best", "tied for best",
        "worse" (than the best, at 1 - `confidence`, Holm over all pairs of SAEs), "not shown worse", "too few" (base
        prompts for an order), "only one", or "undefined".

    Raises
    ------
    UsageError
        For what is missing or does not fit, for summaries of another version, for runs with other prompts, targets or
        step constants than those of the first, and for options that would change a summary's steps.
    """
    measured = isinstance(subject, xr.DataTree | Mapping)
    if measured and (saes is not None or tokens is not None):
        raise UsageError("score_sae: runs bring their SAEs and prompts along, leave saes and tokens out")
    if isinstance(subject, xr.DataTree) and subject.attrs.get("kind") == SWEEP_SUMMARY_KIND:
        return _of_sweep(subject, types, options)
    trees = _trees(subject) if isinstance(subject, xr.DataTree | Mapping) else {}
    if not measured:
        if not isinstance(saes, Mapping) or not saes:
            raise UsageError('score_sae: give SAEs by their names, saes={"name": sae}')
        if tokens is None:
            raise UsageError("score_sae: give prompts, tokens=")
        trees = _walks(
            subject,
            saes,
            tokens,
            out=out,
            pool=pool,
            types=types,
            step_length=step_length,
            length=length,
            samples=samples,
            steps=steps,
            metrics=metrics,
            seed=seed,
            engine=engine,
            constants=constants,
            quiet=quiet,
        )
    try:
        own = own_settings(next(iter(trees.values()))).model_dump()
        settings = AnalysisConfig.model_validate(own | options)
    except ValidationError as error:
        raise UsageError(f"score_sae: {explain(error)}") from None
    fixed = [name for name, tree in trees.items() if tree.attrs.get("kind") == SUMMARY_KIND]
    if fixed and (changing := [key for key in (*STEP_CONSTANTS, "statistics") if key in options]):
        raise UsageError(f"score_sae: {changing[0]} is of no use to the summary {shown(fixed[0])}: give its run")
    evidence = {name: evidence_of(tree, settings) for name, tree in trees.items()}
    data = sae_scale_dataset(evidence, settings, types=types)
    return Scores(data, ranking(data))


def _of_sweep(summary: xr.DataTree, types: Sequence[str] | None, options: Mapping[str, Any]) -> Scores:
    check_summary(summary.attrs)
    if options:
        raise UsageError(f"score_sae: {next(iter(options))} is the sweep's own, analyse it again with another")
    if GROUP not in summary.children:
        raise UsageError(
            f"the sweep has no SAEs with {SCALE_START} and one of {', '.join(SCALED)}: collect it with these"
        )
    data = summary[GROUP].to_dataset().load()
    if types is not None:
        if missing := [name for name in types if name not in data["activation_type"].to_numpy()]:
            raise UsageError(f"score_sae: the sweep does not place {shown(missing[0])}")
        data = data.sel(activation_type=list(types))
    return Scores(data, ranking(data))


def _trees(given: xr.DataTree | Mapping[str, xr.DataTree]) -> dict[str, xr.DataTree]:
    trees = {str(given.attrs.get("name", "run")): given} if isinstance(given, xr.DataTree) else dict(given)
    for name, tree in trees.items():
        kind = getattr(tree, "attrs", {}).get("kind", type(tree).__name__)
        if kind not in {RUN_KIND, SUMMARY_KIND}:
            raise UsageError(f"score_sae: {shown(name)} is {shown(kind)}, wanted are runs or summaries")
        if kind == SUMMARY_KIND:
            check_summary(tree.attrs)
    if not trees:
        raise UsageError("score_sae: give at least one run")
    return trees


def _walks(
    subject: Any,
    saes: Mapping[str, Any],
    tokens: Any,
    *,
    out: str | Path | None,
    pool: Any,
    types: Sequence[str] | None,
    step_length: float | None,
    length: int | None,
    **options: Any,
) -> dict[str, xr.DataTree]:
    """A run with each SAE, all with the same bases, real and random targets."""
    from plateaulens.notebook.subject import prompts_of  # noqa: PLC0415  needs torch, and what runs say does not
    from plateaulens.notebook.walk import check_subject, walk  # noqa: PLC0415

    check_subject(subject, "score_sae")
    if isinstance(types, str):
        raise UsageError(f"score_sae: types is the text {shown(types)}: give a list of names")
    ids = prompts_of(subject.loaded, tokens, length)
    if pool is not None and not str(getattr(pool, "dtype", "")).removeprefix("torch.").startswith(("float", "bfloat")):
        pool = subject.activations(pool, length=ids.shape[1])  # once for all SAEs
    kinds = dict.fromkeys([REFERENCE, CONTROL, SCALE_START, *(types or SCALED)])
    files = {name: stem_of(name) for name in saes}
    name, count = Counter(files.values()).most_common(1)[0]
    if out is not None and count > 1:
        raise UsageError(f"score_sae: {count} SAEs would be stored as {name}: give them other names")
    experiments = ("sensitivity",) if step_length is None else ("sensitivity", PLATEAU)
    return {
        name: walk(
            subject,
            ids,
            {kind: kind for kind in kinds},
            sae=sae,
            pool=pool,
            experiments=experiments,
            step_length=step_length,
            out=None if out is None else f"{locate(out)}/{files[name]}.zarr",
            name=files[name],
            **options,
        )
        for name, sae in saes.items()
    }
