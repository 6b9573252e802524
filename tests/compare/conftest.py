import numpy as np
import pytest

from plateaulens.compare.resampling import Resampling


@pytest.fixture
def resampling() -> Resampling:
    """200 resamples of 20 samples."""
    return Resampling.draw(np.random.default_rng(0), samples=20, resamples=200)
