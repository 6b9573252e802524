"""Summaries of small synthetic runs, and ways to change what they show."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.store.reading import open_run
from plateaulens.summary.analyze import summarize
from plateaulens.testing import generate_run, synthetic_spec

SETTINGS = AnalysisConfig(resamples=200)

Edit = Callable[..., xr.Dataset]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xr.DataTree]:
    """Every experiment and every shipped type, 24 base prompts; random comes later than real."""
    path = tmp_path_factory.mktemp("report") / "run.zarr"
    generate_run(path, synthetic_spec(24), seed=1)
    with open_run(path) as tree:
        yield tree


@pytest.fixture(scope="session")
def summary(run: xr.DataTree) -> xr.DataTree:
    return summarize(run, SETTINGS)


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
