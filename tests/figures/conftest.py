"""The summary of a small synthetic run."""

import pytest
import xarray as xr


@pytest.fixture(scope="session")
def summary(synthetic_summary: xr.DataTree) -> xr.DataTree:
    """Every experiment and every shipped type, 24 base prompts."""
    return synthetic_summary
