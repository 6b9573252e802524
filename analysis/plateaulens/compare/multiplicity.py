"""Many tests at once: Holm within a family, Benjamini-Hochberg across everything that is looked at.

Holm (1979) bounds the chance of a single false rejection in a family, under any dependence: that is for a claim about a
type. Benjamini and Hochberg (1995) bound the expected share of false ones among all rejections, under independence or
the positive dependence that shared base prompts bring: that is for reading a table.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

Method = Literal["holm", "bh"]


def adjust(p: NDArray[np.float64], method: Method) -> NDArray[np.float64]:
    """Adjusted p-values of all tests in `p`, of any shape. NaN is no test: it stays, and does not count.

    >>> adjust(np.array([0.01, np.nan, 0.04]), "holm").tolist()
    [0.02, nan, 0.04]
    """
    adjusted = np.full(p.shape, np.nan)
    tests = np.isfinite(p)
    if tests.any():
        adjusted[tests] = _holm(p[tests]) if method == "holm" else false_discovery_control(p[tests])
    return adjusted


def adjust_families(p: NDArray[np.float64], dims: int, method: Method) -> NDArray[np.float64]:
    """`adjust` for each of the families that the last `dims` axes hold."""
    families = p.reshape(-1, *p.shape[p.ndim - dims :])
    return np.stack([adjust(family, method) for family in families]).reshape(p.shape)


def once_per_pair(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values (..., type, other type) with only the upper triangle kept: [a, b] and [b, a] are the same test."""
    upper = np.triu(np.ones(p.shape[-2:], dtype=np.bool_), k=1)
    return np.where(upper, p, np.nan)


def both_ways(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """`once_per_pair`'s inverse: the upper triangle's values below the diagonal too."""
    return np.where(np.isnan(p), np.swapaxes(p, -1, -2), p)


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjustment of `p` (tests,), as `statsmodels.stats.multitest.multipletests` has it.

    That one collects the whole process's garbage on every call, a tenth of a second each, and there are many families.
    """
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted
