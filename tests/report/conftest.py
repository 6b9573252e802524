"""Summaries of small synthetic runs, and ways to change what they show."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.store.reading import open_run
from plateaulens.summary.analyze import summarize

SETTINGS = AnalysisConfig(resamples=200)

Edit = Callable[..., xr.Dataset]


@pytest.fixture(scope="session")
def run(synthetic_run: Path) -> Iterator[xr.DataTree]:
    with open_run(synthetic_run) as tree:
        yield tree


@pytest.fixture(scope="session")
def summary(synthetic_summary: xr.DataTree) -> xr.DataTree:
    return synthetic_summary


@pytest.fixture(scope="session")
def reversed_summary(run: xr.DataTree) -> xr.DataTree:
    """The same run with the names of real and random exchanged, and those of structured and baseline."""
    exchanged = {"real": "random", "random": "real", "structured": "baseline", "baseline": "structured"}
    groups = {}
    for name, node in run.children.items():
        group = node.to_dataset()
        if "activation_type" in group.coords:
            types = [str(kind) for kind in group["activation_type"].values]
            renamed = np.array([exchanged.get(kind, kind) for kind in types], dtype=np.dtypes.StringDType())
            group = group.assign_coords(activation_type=renamed)
        groups[name] = group
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = run.attrs
    return summarize(tree, SETTINGS)


@pytest.fixture
def sensitivity(summary: xr.DataTree) -> xr.Dataset:
    return summary["sensitivity"].to_dataset()


@pytest.fixture
def edit() -> Edit:
    """`edit(group, variable, values, activation_type=..., ...)`: a copy of the group with these values in place."""

    def edited(group: xr.Dataset, variable: str, values: object, **where: str) -> xr.Dataset:
        copy = group.copy(deep=True)
        copy[variable].loc[where] = values
        return copy

    return edited


@pytest.fixture(scope="session")
def summarized() -> Callable[[xr.DataTree], xr.DataTree]:
    """From a run to its summary, quickly."""
    return lambda tree: summarize(tree, SETTINGS)
