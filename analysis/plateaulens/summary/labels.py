"""The attributes of estimates and of their intervals in a summary, and the coordinate of their bounds."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling

Attributes = dict[str, str | float | int]


def attrs(long_name: str, units: str) -> Attributes:
    """The attributes that every variable has."""
    return {"long_name": long_name, "units": units}


def interval_attrs(long_name: str, units: str, resampling: Resampling, confidence: float) -> Attributes:
    """The attributes of a bootstrap interval of the quantity of that name.

    >>> resampling = Resampling.draw(np.random.default_rng(0), samples=4, resamples=10)
    >>> interval_attrs("mean step", "step", resampling, 0.95)
    {'long_name': '95 % interval: mean step', 'units': 'step', 'confidence': 0.95, 'resamples': 10}
    """
    return {
        **attrs(f"{100 * confidence:g} % interval: {long_name}", units),
        "confidence": confidence,
        "resamples": resampling.resamples,
    }


def strings(values: Iterable[object]) -> NDArray[np.generic]:
    """Texts in the dtype that zarr stores them in."""
    return np.array(list(values), dtype=np.dtypes.StringDType())


def bounds() -> xr.Variable:
    """The coordinate of the two ends of every interval."""
    return xr.Variable("bound", strings(["lower", "upper"]), attrs("end of interval", "1"))
