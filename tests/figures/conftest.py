"""The summary of a small synthetic run."""

import pytest
import xarray as xr

from plateaulens.config import AnalysisConfig
from plateaulens.summary.analyze import analyze
from plateaulens.testing import generate_run, synthetic_spec


@pytest.fixture(scope="session")
def summary(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    """Every experiment and every shipped type, 24 base prompts."""
    folder = tmp_path_factory.mktemp("figures")
    generate_run(folder / "run.zarr", synthetic_spec(24), seed=1)
    return analyze(folder / "run.zarr", folder / "summary.zarr", AnalysisConfig(resamples=200))
