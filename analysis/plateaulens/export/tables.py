"""The tables of a summary: tidy, a row for each cell of its arrays, a column for each variable.

Variables that have the same dimensions share a table, over all experiments. An interval is two columns, `NAME_lower`
and `NAME_upper`. Names, order and content depend on the summary alone.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from plateaulens.errors import reading
from plateaulens.names import NAME
from plateaulens.store.manifest import AXES

BOUND = "bound"
GROUPS = ("prompts", "geometry", "confounds", "distinguish", "constants", "ladder", "sae_scale")
"""The groups of a summary that are no experiments."""
PER_PROMPT = ("sample", "example", "position")
"""The dimensions of single base prompts."""
_EXPLORED = ("explored", "side", "rank")
"""The dimensions of what `plateaulens.summary.explored` copies from the run for the page, which has it all."""
_EXPERIMENTS = "experiments"
_CELL = ("convention", "statistic", "metric", "activation_type")
_TITLES = {
    (_EXPERIMENTS, _CELL): "comparisons",
    (_EXPERIMENTS, (*_CELL, "other_type")): "pairs",
    (_EXPERIMENTS, (*_CELL, "quantile")): "quantiles",
    (_EXPERIMENTS, _CELL[1:]): "survival",
    (_EXPERIMENTS, (*_CELL[1:], "step")): "survival_curves",
    (_EXPERIMENTS, _CELL[2:]): "by_metric",
    (_EXPERIMENTS, ("metric", "activation_type", "step")): "mean_curves",
    (_EXPERIMENTS, ("activation_type",)): "by_type",
    (_EXPERIMENTS, (*_CELL, "sample")): "steps",
    (_EXPERIMENTS, (*_CELL[2:], "sample")): "prompts_by_metric",
    (_EXPERIMENTS, (_CELL[3], "sample")): "prompts_by_type",
    (_EXPERIMENTS, ("metric", "activation_type", "step", "example")): "examples",
    (_EXPERIMENTS, ("example",)): "example_prompts",
    ("geometry", ("activation_type",)): "geometry",
    ("geometry", ("activation_type", "sample")): "geometry_by_prompt",
    ("geometry", ("sample",)): "bases",
    ("geometry", ()): "token_share",
    ("distinguish", ("activation_type",)): "distinguish",
    ("distinguish", ("activation_type", "classifier")): "classifiers",
    ("distinguish", ("activation_type", "detector")): "detectors",
    ("distinguish", ("detector",)): "detectors_of_controls",
    ("constants", ("case",)): "constants_counts",
    ("constants", ("metric", "activation_type", "case")): "constants",
    ("constants", ("metric", "activation_type", "other_type", "case")): "constants_pairs",
    ("confounds", ("path", *_CELL[1:], "covariate")): "matched",
    ("confounds", ("path", *_CELL[1:], "adjustment")): "adjusted",
    ("confounds", ("path", "activation_type", "adjustment")): "overlap",
    ("ladder", ("rung",)): "ladder",
    ("ladder", ("experiment", "metric", "rung")): "ladder_distances",
    ("ladder", ("metric", "rung")): "ladder_gains",
    ("ladder", ("metric", "dosed_type", "share")): "ladder_doses",
    ("sae_scale", ("metric", "activation_type")): "sae_scale",
    ("sae_scale", ("metric",)): "sae_scale_lengths",
    ("prompts", ("sample",)): "prompts",
    ("prompts", ("position", "sample")): "tokens",
}
_ORDER = (
    *AXES,
    "experiment",
    "path",
    *_CELL,
    "other_type",
    "quantile",
    "covariate",
    "adjustment",
    "classifier",
    "detector",
    "step",
)
_LEFT_OUT = ("definition", "family", "metric_definition", "statistic_long_name")
"""Coordinates in words, which are explanations and no data."""


def groups(summary: xr.DataTree) -> dict[str, xr.Dataset]:
    """The groups of a summary: experiments in the order in which the run has them, then the others.

    They lack what is only copied from the run, curves and tokens of single prompts.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.

    Returns
    -------
    dict
        Datasets by the name of the group.

    Raises
    ------
    UsageError
        When what says which experiments there are is damaged.
    """
    with reading("the summary's attribute layout is damaged", "analyse the run again"):
        layout = json.loads(str(summary.attrs.get("layout", '{"experiments": []}')))
        known = [str(each["name"]) for each in layout["experiments"]]
    present = sorted(map(str, summary.children))
    own = [name for name in present if name not in GROUPS]
    order = [*(name for name in known if name in own), *(name for name in own if name not in known)]
    found = (*order, *(name for name in GROUPS if name in present))
    return {name: summary[name].to_dataset().drop_dims(_EXPLORED, errors="ignore") for name in found}


def tables(summary: xr.DataTree, *, prompts: bool = True) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every table of a summary.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.
    prompts
        Whether tables of single base prompts, their texts among them, are there as well.

    Yields
    ------
    tuple
        A table's name, letters and `_` only, and the table. What does not exist is NaN, or an empty text.
    """
    wanted: dict[tuple[str, tuple[str, ...]], list[tuple[str, xr.Dataset, list[str]]]] = {}
    for name, group in groups(summary).items():
        kind = name if name in GROUPS else _EXPERIMENTS
        for dims, variables in _by_dims(group).items():
            wanted.setdefault((kind, dims), []).append((name, group, variables))
    for (kind, dims), parts in wanted.items():
        if not prompts and set(dims) & set(PER_PROMPT):
            continue
        frames = [_table(group, dims, variables, name, kind) for name, group, variables in parts]
        yield _title(kind, dims), pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def coordinate(group: xr.Dataset, dim: str) -> NDArray[Any]:
    """What the places along a dimension are called.

    Parameters
    ----------
    group
        A group of a summary.
    dim
        One of its dimensions.

    Returns
    -------
    NDArray
        (places,): texts as Python's, or the coordinate's numbers; numbers from 0 where it has no coordinate.
    """
    if dim not in group.coords:
        return np.arange(group.sizes[dim])
    return _plain(group[dim])


def ordered(dims: Sequence[object]) -> tuple[str, ...]:
    """Dimensions in the order of a table's columns, without `bound`.

    Parameters
    ----------
    dims
        A variable's.

    Returns
    -------
    tuple of str
        Those that are known first, then the others by name.

    Examples
    --------
    >>> ordered(["sample", "bound", "metric", "statistic"])
    ('statistic', 'metric', 'sample')
    """
    known = {name: place for place, name in enumerate(_ORDER)}
    kept = [str(dim) for dim in dims if dim != BOUND]
    return tuple(sorted(kept, key=lambda dim: (known.get(dim, len(known)), dim in PER_PROMPT, dim)))


def _by_dims(group: xr.Dataset) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(map(str, group.data_vars)):
        found.setdefault(ordered(group[name].dims), []).append(name)
    return dict(sorted(found.items()))


def _title(kind: str, dims: tuple[str, ...]) -> str:
    """The name of a table, which is that of a file: of names that have been checked."""
    own = tuple(dim for dim in dims if dim not in AXES)
    title = _TITLES.get((kind, own)) or "_by_".join([kind, *dims])
    whole = [axis for axis in AXES if axis not in dims]
    if kind == _EXPERIMENTS and 0 < len(whole) < len(AXES):  # of a sweep, what is said of several runs together
        title = "_over_".join([title, *whole])
    assert NAME.fullmatch(title), title
    return title


def _table(group: xr.Dataset, dims: tuple[str, ...], variables: list[str], name: str, kind: str) -> pd.DataFrame:
    shape = tuple(group.sizes[dim] for dim in dims)
    columns: dict[str, Any] = {"experiment": np.full(int(np.prod(shape)), name, object)} if kind == _EXPERIMENTS else {}
    places = np.indices(shape).reshape(len(dims), int(np.prod(shape)))
    for dim, place in zip(dims, places, strict=True):
        columns[dim] = coordinate(group, dim)[place]
        for extra in sorted(map(str, group.coords)):
            if group[extra].dims == (dim,) and extra != dim and extra not in _LEFT_OUT:
                columns[extra] = _plain(group[extra])[place]
    for variable in variables:
        values = _plain(group[variable].load().transpose(*dims, ...))  # zarr cannot take an empty part of a lazy one
        if BOUND in group[variable].dims:
            base = variable.removesuffix("_interval")
            columns |= {f"{base}_{end}": values[..., place].ravel() for place, end in enumerate(("lower", "upper"))}
        else:
            columns[variable] = values.ravel()
    return pd.DataFrame(columns)


def _plain(array: xr.DataArray) -> NDArray[Any]:
    """Its values, with texts as Python's own."""
    values = array.to_numpy()
    return values.astype(object) if values.dtype.kind in "TOU" else values
