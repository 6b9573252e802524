"""What variables of a summary carry: the attributes of estimates and intervals, their bounds, and texts."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling

Attributes = dict[str, str | float | int]


def attrs(long_name: str, units: str) -> Attributes:
    """The attributes that every variable has.

    Parameters
    ----------
    long_name
        What the variable is, in words.
    units
        Its units: "1" where there are none.

    Returns
    -------
    dict[str, str | float | int]
        Both, by name.
    """
    return {"long_name": long_name, "units": units}


def interval_attrs(long_name: str, units: str, resampling: Resampling, confidence: float) -> Attributes:
    """The attributes of a bootstrap interval.

    Parameters
    ----------
    long_name
        What the interval is of, in words.
    units
        Its units.
    resampling
        The resamples behind it.
    confidence
        Its nominal coverage.

    Returns
    -------
    dict[str, str | float | int]
        Those of `attrs`, the confidence and the number of resamples.

    Examples
    --------
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
    """Texts in the dtype that zarr stores them in.

    Parameters
    ----------
    values
        The texts.

    Returns
    -------
    NDArray[np.generic]
        An array of variable-length strings, with as many elements.
    """
    return np.array(list(values), dtype=np.dtypes.StringDType())


def texts(dim: str, values: Iterable[object], long_name: str) -> xr.Variable:
    """A coordinate of texts.

    Parameters
    ----------
    dim
        Its dimension.
    values
        The texts.
    long_name
        What they are, in words.

    Returns
    -------
    xarray.Variable
        One-dimensional, as `strings` has them.
    """
    return xr.Variable(dim, strings(values), attrs(long_name, "1"))


def bounds() -> xr.Variable:
    """The coordinate of the two ends of every interval.

    Returns
    -------
    xarray.Variable
        `bound`: "lower" and "upper".
    """
    return texts("bound", ["lower", "upper"], "end of interval")
