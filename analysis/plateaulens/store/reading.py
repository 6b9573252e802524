"""Opening a finished or growing store for reading, and walking through its base prompts in ranges that fit in memory.

A store is opened only if it is what the caller expects: of that kind, and of no newer schema. Summaries of any version
are opened, to be queried; whatever makes words, tables or figures of one asks `check_summary` first. Variables are read
when they are asked for, without dask.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from plateaulens.config import RunConfig
from plateaulens.errors import LONGEST_VALUE, UsageError, reading, shortened, shown
from plateaulens.names import NAME
from plateaulens.store import integrity
from plateaulens.store.identity import resume_differences
from plateaulens.store.inside import LONGEST
from plateaulens.store.location import Location, locate
from plateaulens.store.schema import (
    COMPLETED,
    MIXED,
    RUN_KIND,
    SCHEMA_VERSION,
    SUMMARY_KIND,
    SUMMARY_VERSION,
    SWEEP_SUMMARY_KIND,
    RunSpec,
)

SAMPLES_PER_RANGE = 512
"""With nine activation types, three metrics and 101 steps, so many samples' curves are 11 MB in double precision."""


def open_run(path: Location) -> xr.DataTree:
    """Open a run.

    Parameters
    ----------
    path
        Where the run is.

    Returns
    -------
    DataTree
        Every variable lazy and every coordinate in memory; unwritten values are NaN, -1 or False.

    Raises
    ------
    UsageError
        When the path does not exist, is not a zarr store, is not a run, has a newer schema, or is damaged.
    """
    return _open(path, RUN_KIND, "run `plateaulens collect` first")


def open_summary(path: Location) -> xr.DataTree:
    """Open the summary of a run, of whatever summary version: `check_summary` refuses another than the present one.

    Parameters
    ----------
    path
        Where the summary is.

    Returns
    -------
    DataTree
        Every variable lazy and every coordinate in memory.

    Raises
    ------
    UsageError
        When the path does not exist, is not a zarr store, is not a summary, has a newer schema, or is damaged: a file
        that is missing is found here, one whose bytes have changed by `verify`.
    """
    return _open(path, SUMMARY_KIND, "run `plateaulens analyze` first")


def open_sweep_summary(path: Location) -> xr.DataTree:
    """Open the summary of a sweep, of whatever summary version: see `open_summary`.

    Parameters
    ----------
    path
        Where the summary is.

    Returns
    -------
    DataTree
        Every variable lazy and every coordinate in memory.

    Raises
    ------
    UsageError
        When the path does not exist, is not a zarr store, is not a sweep's summary, has a newer schema, or is damaged.
    """
    return _open(path, SWEEP_SUMMARY_KIND, "run `plateaulens analyze` on a sweep first")


def open_present_summary(path: Location) -> xr.DataTree:
    """Open the summary of a run or of a sweep, if it is of the present version.

    Parameters
    ----------
    path
        Where the summary is.

    Returns
    -------
    DataTree
        As `open_summary` or `open_sweep_summary` gives it.

    Raises
    ------
    UsageError
        As these do, and as `check_present` does.
    """
    is_sweep = check_present(path)["kind"] == SWEEP_SUMMARY_KIND
    return open_sweep_summary(path) if is_sweep else open_summary(path)


def root_attributes(path: Location) -> dict[str, Any]:
    """The root attributes of a zarr store, whatever it is one of.

    Parameters
    ----------
    path
        Where the store is.

    Returns
    -------
    dict
        Values by attribute.

    Raises
    ------
    UsageError
        When there is no readable store.
    """
    place = locate(path)
    if not place.exists():
        raise UsageError(f"{path} does not exist")
    with reading(f"{path} is not a readable zarr v3 store"):
        return dict(zarr.open_group(place.open(read_only=True), mode="r", zarr_format=3, use_consolidated=False).attrs)


def check_kind(path: Location, *kinds: str) -> dict[str, Any]:
    """The root attributes of a store that must be of a certain kind, or of one of several.

    Parameters
    ----------
    path
        Where the store is.
    *kinds
        What its attribute `kind` may be; the first is named where it is another.

    Returns
    -------
    dict
        Values by attribute.

    Raises
    ------
    UsageError
        When there is no readable store, for another kind, and for a newer schema.
    """
    attributes = root_attributes(path)
    if attributes.get("kind") not in kinds:
        raise UsageError(f"{path} is not a {kinds[0]}: its `kind` is {shown(attributes.get('kind'))}")
    version = attributes.get("schema_version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema version {shown(version)}, but only up to {SCHEMA_VERSION} is known: update plateaulens"
        )
    return attributes


def check_present(path: Location) -> dict[str, Any]:
    """The root attributes of a store that must be the summary of a run or of a sweep, of the present version.

    Parameters
    ----------
    path
        Where the store is.

    Returns
    -------
    dict
        Values by attribute.

    Raises
    ------
    UsageError
        As `check_kind` and `check_summary` do.
    """
    attributes = check_kind(path, SUMMARY_KIND, SWEEP_SUMMARY_KIND)
    check_summary(attributes, path)
    return attributes


def check_summary(attributes: Mapping[Any, Any], where: Location | None = None) -> None:
    """Refuse to word a summary that has not the groups, variables and words of the present version.

    Parameters
    ----------
    attributes
        Root attributes of the summary of a run or of a sweep.
    where
        Where it is, to be named; None for one in memory.

    Raises
    ------
    UsageError
        When another version made it, or anything but an integer says which.
    """
    version = attributes.get("summary_version")
    if type(version) is int and version == SUMMARY_VERSION:
        return
    is_newer = type(version) is int and version > SUMMARY_VERSION
    by, remedy = ("a newer", "update plateaulens") if is_newer else ("another", "run `plateaulens analyze` again")
    name = shortened(str(attributes.get("name", "without a name")), LONGEST_VALUE)
    raise UsageError(
        f"the summary {name}{'' if where is None else f' at {where}'} was made by {by} version "
        f"(its summary_version is {shown(version)}, not {SUMMARY_VERSION}): {remedy}"
    )


def experiment_names(run: xr.DataTree) -> tuple[str, ...]:
    """The experiments that an open run says it has.

    Parameters
    ----------
    run
        As `open_run` returns it.

    Returns
    -------
    tuple of str
        In the run's own order.

    Raises
    ------
    UsageError
        When what says so is damaged.
    """
    with reading("the run's attribute layout is damaged", "see `plateaulens verify`"):
        return tuple(each.name for each in RunSpec.from_json(str(run.attrs.get("layout"))).experiments)


def sample_ranges(samples: int, size: int = SAMPLES_PER_RANGE) -> Iterator[slice]:
    """Consecutive ranges of base prompts that together cover all of them.

    Parameters
    ----------
    samples
        How many base prompts there are.
    size
        How many a range has at most.

    Returns
    -------
    iterator of slice
        In order; the last may be short. They need not be the ranges that a run was written in.

    Examples
    --------
    >>> list(sample_ranges(5, size=2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return (slice(start, min(start + size, samples)) for start in range(0, samples, size))


def source_rows(activations: xr.Dataset) -> NDArray[np.int32]:
    """The rows of the prompt file that every target came from: of a real one its own, of a mixture all of its parts'.

    Parameters
    ----------
    activations
        A run's `/activations`.

    Returns
    -------
    ndarray of int
        (source, activation_type, sample), in memory; -1 where there is none.
    """
    dims = ("activation_type", "sample")
    own = activations["source_row"].transpose(*dims).to_numpy()[np.newaxis]
    if MIXED.name not in activations:
        return own
    return np.concatenate([own, activations[MIXED.name].transpose("mixed", *dims).to_numpy()])


def _open(path: Location, kind: str, remedy: str) -> xr.DataTree:
    place = locate(path)
    if not place.exists():
        raise UsageError(f"no {kind} at {path}: {remedy}")
    attributes = check_kind(place, kind)
    integrity.check_metadata(place, attributes["schema_version"])
    with reading(f"{path} is damaged", "see `plateaulens verify`"):
        spec = RunSpec.from_json(str(attributes.get("layout"))) if kind == RUN_KIND else None
        bare = place.open(read_only=True)
        store: Any = integrity.Checked(bare, integrity.Digests(bare, str(place), spec))  # not in xarray's annotations
        tree = xr.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
        missing = sorted(_promised(tree, spec) - place.files())
        odd = sorted(name for name in _names(tree) if not NAME.fullmatch(name))
    if odd:
        raise UsageError(f"{path} has the name {shown(odd[0])}, which is none: a name is letters, digits and _ . + -")
    if missing:
        again = "run `plateaulens verify --repair`, then `collect`" if kind == RUN_KIND else "analyse the run again"
        first = shortened(missing[0], LONGEST)
        raise UsageError(f"{path} lacks {len(missing)} of its files, {first} among them: {again}")
    if integrity.GROUP in tree.children:
        del tree[integrity.GROUP]  # of this store's files: a copy has others
    return tree


_NAMED = (
    *("activation_type", "other_type", "metric", "statistic", "convention", "experiment", "path", "adjustment"),
    "detector",
)


def run_differences(path: Location, config: RunConfig) -> tuple[Mapping[str, Any], list[str]]:
    """What forbids to take the run at a path for that of a configuration, as far as its attributes tell.

    Parameters
    ----------
    path
        Where a run is.
    config
        The configuration.

    Returns
    -------
    Mapping
        The run's root attributes.
    list of str
        As `plateaulens.store.identity.resume_differences` gives them, with the run's own identity.

    Raises
    ------
    UsageError
        When there is no run, or its attributes are damaged.
    """
    stored = check_kind(path, RUN_KIND)
    asked = {"config": config.model_dump_json(), "identity": stored.get("identity", "")}
    with reading(f"{path}: root attributes are damaged", "see `plateaulens verify`"):
        return stored, resume_differences(stored, asked)


def is_complete(run: xr.DataTree, experiments: Iterable[str]) -> bool:
    """Whether nothing is missing of a run, and it says so.

    Parameters
    ----------
    run
        A run, as `open_run` gives it.
    experiments
        Names of those that it should have.

    Returns
    -------
    bool
        True when every span of each is completed, and a run that has digests is sealed: until then the loss of a span
        cannot be told from one that is still to come.
    """
    has_all = all(name in run.children and bool(run[name][COMPLETED].all()) for name in experiments)
    return has_all and (int(run.attrs["schema_version"]) < integrity.SINCE or _is_sealed(run))


def _is_sealed(tree: xr.DataTree) -> bool:
    return "provenance" in tree.children and integrity.SEAL in tree["provenance"].attrs


def _names(tree: xr.DataTree) -> set[str]:
    """The names of groups, and of what they have along their axes: pages print them as they are, whoever made them."""
    found = set(map(str, tree.children))
    for group in tree.children.values():
        for name in _NAMED:
            if name in group.coords:
                found.update(map(str, np.ravel(group.coords[name].to_numpy())))
    return found


def _promised(tree: xr.DataTree, spec: RunSpec | None) -> set[str]:
    """The files that must be there: what was written with the store, and the chunks of completed spans.

    One that is not there would be read as fill values, without a word. Of a run that has been sealed every span was
    completed, so that a mark which is lost is no span that is still to come.
    """
    has_digests = integrity.GROUP in tree.children
    whole = tree[integrity.GROUP].attrs.get(integrity.FILES) if has_digests else None
    found = set(map(str, whole)) if isinstance(whole, dict) else set()
    sealed = _is_sealed(tree)
    for name, layout in (spec.groups if spec is not None else {}).items():
        if layout.has_completed:
            completed = tree[name][COMPLETED].transpose("sample", ...).to_numpy()
            for number, span in enumerate(layout.spans):
                if sealed or completed[span].all():
                    if has_digests:
                        found.add(f"{integrity.GROUP}/{name}/c/{number}/0/0")
                    found |= {f"{name}/{one.name}/{layout.chunk_key(one, span)}" for one in layout.variables}
    return found
