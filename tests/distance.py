"""The Kolmogorov-Smirnov distance by SciPy, for tests of what computes it otherwise."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import ks_2samp


def ks_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Of two samples: infinity stands for a censored observation, NaN is left out; NaN when nothing is left of one."""
    own, other = (np.asarray(sample, dtype=np.float64) for sample in (first, second))
    own, other = own[~np.isnan(own)], other[~np.isnan(other)]
    if not own.size or not other.size:
        return float("nan")
    with warnings.catch_warnings():
        # of its p-value, for samples that are small or tied
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(ks_2samp(own, other, method="asymp").statistic)
