from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from plateaulens.compare.resampling import Resampling
from plateaulens.store.reading import open_run
from plateaulens.testing import generate_run, synthetic_spec

SPEC = synthetic_spec(20, activation_types=("real", "random", "isotropic"), samples_per_chunk=8)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    path: Path = tmp_path_factory.mktemp("runs") / "synthetic.zarr"
    generate_run(path, SPEC)
    return open_run(path)


@pytest.fixture
def resampling() -> Resampling:
    """200 resamples of the 20 samples of `run`."""
    return Resampling.draw(np.random.default_rng(0), samples=20, resamples=200)
