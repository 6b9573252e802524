"""What can be done with a run or a summary that is held as a tree: compare, report on, save, list."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from pydantic import ValidationError

from plateaulens import names
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError, explain, reading, shown
from plateaulens.export.tables import tables
from plateaulens.names import REFERENCE
from plateaulens.replacing import prepare, publish, scratch
from plateaulens.report.build import FORMATS, Renderer, build
from plateaulens.steps.dataset import step_dataset
from plateaulens.store.location import Location, locate
from plateaulens.store.reading import check_kind, check_summary, experiment_names
from plateaulens.store.run import open_or_create
from plateaulens.store.schema import COMPLETED, RUN_ATTRIBUTES, RUN_KIND, SCHEMA_VERSION, SUMMARY_KIND, RunSpec
from plateaulens.summary.analyze import analyze_open, settings_of, write_summary

CORRECTED = "corrected"


def compare(run: xr.DataTree, *, margin: float | Mapping[str, float] | None = None, **options: Any) -> xr.DataTree:
    """Compare every type of a run with `real`: the analysis that `plateaulens analyze` makes, in memory.

    Parameters
    ----------
    run
        A run, as `walk` and `open_run` give it; it may be incomplete.
    margin
        The KS distance below which a type counts as equivalent to `real`, for all experiments or by experiment; None
        takes the run's.
    **options
        Other keys of `[analysis]`: `resamples`, `seed`, `confidence`, `statistics` and so on. What is not given is as
        the run says.

    Returns
    -------
    DataTree
        The summary, as `open_summary` gives one.

    Raises
    ------
    UsageError
        When it is no run, for options that there are not, and as `plateaulens.summary.analyze.analyze` does.
    """
    _check_kind(run, RUN_KIND, "give what walk or open_run returned")
    given = options if margin is None else {**options, "equivalence_margin": margin}
    try:
        settings = AnalysisConfig.model_validate(settings_of(run).model_dump() | given)
    except ValidationError as error:
        raise UsageError(f"compare: {explain(error)}") from None
    return analyze_open(run, settings)


def report(
    summary: xr.DataTree, path: str | Path, *, beside: Location | None = None, renderer: Renderer = "auto"
) -> Path:
    """Write the report of a summary: the page or the PDF that `plateaulens report` makes.

    Parameters
    ----------
    summary
        As `compare` and `open_summary` give it.
    path
        A file that ends in .html or .pdf; one that is there is replaced.
    beside
        Where the summary of another model's run is that this one is set beside.
    renderer
        `auto`, `quarto` or `builtin`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        When it is no summary, when another version made it, for another ending, and as `plateaulens.report.build.build`
        does.
    """
    _check_summary(summary)
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"the report's file is a {type(path).__name__}: give a path that ends in .html or .pdf")
    place = Path(path)
    wanted = next((each for each in FORMATS if place.suffix == f".{each}"), None)
    if wanted is None:
        raise UsageError(f"report {shown(str(path))}: the name must end with {' or '.join(f'.{e}' for e in FORMATS)}")
    prepare(place.parent)  # before a minute is spent on what could not be kept
    if place.is_dir():
        raise UsageError(f"report {shown(str(path))}: there is a folder of that name, choose another")
    with scratch("plateaulens-notebook-") as folder:
        write_summary(summary.copy(), folder / "summary.zarr")
        (made,) = build(folder / "summary.zarr", folder, formats=(wanted,), renderer=renderer, beside=beside)
        (done,) = publish([made.rename(folder / place.name)], place.parent)
    return done


def save(tree: xr.DataTree, path: Location) -> None:
    """Store a run or a summary with the digests of its files, as `open_run`, `verify` and `analyze` want one.

    Parameters
    ----------
    tree
        As `walk`, `compare`, `open_run` or `open_summary` give it.
    path
        Where it goes, a path or a URL. A summary replaces one that is there; of the same run, what is missing there is
        added.

    Raises
    ------
    UsageError
        When it is neither, or a part of a run, when it was opened from a store of an earlier schema, when something
        other than a summary is where one is to go, when another run is at `path`, and where nobody may write.
    """
    place = locate(path)
    if getattr(tree, "attrs", {}).get("kind") == SUMMARY_KIND:
        if place.exists():
            check_kind(place, SUMMARY_KIND)
        write_summary(tree.copy(), place)
        return
    _check_kind(tree, RUN_KIND, "give what walk or open_run returned, or a summary")
    if tree.attrs.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"the run has schema version {shown(tree.attrs.get('schema_version'))}: copy its store instead"
        )
    with reading("the run's attributes are damaged", "walk again"):
        spec = RunSpec.from_json(str(tree.attrs["layout"]))
        attributes = {key: tree.attrs[key] for key in RUN_ATTRIBUTES}
    if lacking := [name for name in (*spec.groups, "provenance") if name not in tree.children]:
        raise UsageError(f"the run lacks {lacking[0]}, which it was collected with: save it whole")
    for name, layout in spec.groups.items():
        own = tree[name].sizes
        if cut := [dim for dim, size in layout.sizes.items() if own.get(dim, size) != size]:
            raise UsageError(
                f"the run has {layout.sizes[cut[0]]} along {cut[0]} in {name}, and {own[cut[0]]} of them are here: "
                "save it whole, and cut what is opened"
            )
    with open_or_create(place, spec, attributes, _values(tree["prompts"].to_dataset(), slice(None))) as store:
        for name, layout in spec.groups.items():
            if layout.has_completed:
                group = tree[name].to_dataset()
                done = group[COMPLETED].transpose(..., "sample").to_numpy()
                for span in store.pending(name):
                    if done[..., span].all():
                        store.write(name, span, _values(group, span))
        store.seal()
        provenance = zarr.open_group(place.open(), mode="r+", use_consolidated=False)["provenance"]
        if provenance.attrs["sessions"] == "[]":  # what another writer has noted of a store that was there stays
            provenance.update_attributes({key: tree["provenance"].attrs[key] for key in ("created", "sessions")})


def max_slopes(tree: xr.DataTree, experiment: str | None = None) -> xr.DataArray:
    """The max-slope step of every curve.

    Parameters
    ----------
    tree
        A run or a summary.
    experiment
        Its name; None is the first one.

    Returns
    -------
    DataArray
        (metric, activation_type, sample), in steps; NaN where a curve never rises steeply enough, or is not there yet.

    Raises
    ------
    UsageError
        When there is no such experiment, or another version made the summary.
    """
    is_run = tree.attrs.get("kind") == RUN_KIND
    if not is_run and tree.attrs.get("kind") != SUMMARY_KIND:
        raise UsageError(
            "this is no run or summary of PlateauLens: of the group of an experiment take group.to_dataset().plateau"
        )
    if not is_run:
        check_summary(tree.attrs)
    name = experiment_of(tree, experiment)
    group = tree[name].to_dataset()
    steps = step_dataset(group, settings_of(tree), name) if is_run else group
    return steps["step_value"].sel(convention=CORRECTED, statistic="max_slope")


def verdict_table(summary: xr.DataTree) -> pd.DataFrame:
    """What a summary concludes of every type, by what each experiment is judged by.

    Parameters
    ----------
    summary
        As `compare` and `open_summary` give it.

    Returns
    -------
    DataFrame
        A row for each experiment, metric and type but `real`, with the columns of the table `comparisons` that
        `plateaulens export` writes.

    Raises
    ------
    UsageError
        When it is no summary, or another version made it.
    """
    _check_summary(summary)
    found: pd.DataFrame = next(table for name, table in tables(summary, prompts=False) if name == "comparisons")
    judged = found["experiment"].map(lambda each: names.experiment(str(each)).statistic)
    rows = (found["convention"] == CORRECTED) & (found["statistic"] == judged) & (found["activation_type"] != REFERENCE)
    return found[rows & found["ks"].notna()].reset_index(drop=True)


def experiment_of(tree: xr.DataTree, wanted: str | None, preferred: str | None = None) -> str:
    """Which experiment of a run or a summary is meant.

    Parameters
    ----------
    tree
        The run or summary.
    wanted
        Its name; None leaves the choice.
    preferred
        The one that is chosen where there is a choice; None, and where it is missing, is the first one.

    Returns
    -------
    str
        Its name.

    Raises
    ------
    UsageError
        When there is none of that name, naming those that there are.
    """
    known = experiment_names(tree)
    if wanted is None:
        return preferred if preferred in known else known[0]
    if wanted not in known:
        raise UsageError(f"there is no experiment {shown(wanted)} here, there is {', '.join(known)}")
    return wanted


def _check_kind(tree: Any, kind: str, remedy: str) -> None:
    own = tree.attrs.get("kind") if isinstance(tree, xr.DataTree) else type(tree).__name__
    if own != kind:
        raise UsageError(f"{shown(own)} is no {kind}: {remedy}")


def _check_summary(tree: Any) -> None:
    _check_kind(tree, SUMMARY_KIND, "compare(run) makes one of a run")
    check_summary(tree.attrs)


def _values(group: xr.Dataset, span: slice) -> dict[str, Any]:
    found = {}
    for name in map(str, group.data_vars):
        if name != COMPLETED:
            values = group[name].isel(sample=span).to_numpy()
            found[name] = values.astype(np.dtypes.StringDType()) if values.dtype.kind in "TOU" else values
    return found
