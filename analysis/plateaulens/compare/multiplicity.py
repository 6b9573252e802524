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
    """Adjusted p-values of one family of tests.

    Parameters
    ----------
    p
        The p-values of the family, of any shape. NaN is no test: it stays, and does not count.
    method
        Holm's ("holm") or that of Benjamini and Hochberg ("bh").

    Returns
    -------
    NDArray[np.float64]
        Adjusted p-values, of the same shape.

    Examples
    --------
    >>> adjust(np.array([0.01, np.nan, 0.04]), "holm").tolist()
    [0.02, nan, 0.04]
    """
    adjusted = np.full(p.shape, np.nan)
    tests = np.isfinite(p)
    if tests.any():
        adjusted[tests] = _holm(p[tests]) if method == "holm" else false_discovery_control(p[tests])
    return adjusted


def adjust_families(p: NDArray[np.float64], dims: int, method: Method) -> NDArray[np.float64]:
    """Adjusted p-values of several families of tests; see `adjust`.

    Parameters
    ----------
    p
        p-values, (..., tests of a family), which may have several dimensions.
    dims
        How many of the last dimensions hold the tests of one family.
    method
        Holm's ("holm") or that of Benjamini and Hochberg ("bh").

    Returns
    -------
    NDArray[np.float64]
        Adjusted p-values, of the same shape.
    """
    families = p.reshape(-1, *p.shape[p.ndim - dims :])
    return np.stack([adjust(family, method) for family in families]).reshape(p.shape)


def once_per_pair(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values with each pair of types kept once: [a, b] and [b, a] are the same test.

    Parameters
    ----------
    p
        p-values, (..., type, other type).

    Returns
    -------
    NDArray[np.float64]
        The upper triangle, and NaN elsewhere, (..., type, other type).
    """
    upper = np.triu(np.ones(p.shape[-2:], dtype=np.bool_), k=1)
    return np.where(upper, p, np.nan)


def both_ways(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """`once_per_pair`'s inverse: the upper triangle's values below the diagonal too.

    Parameters
    ----------
    p
        p-values, (..., type, other type), NaN below the diagonal.

    Returns
    -------
    NDArray[np.float64]
        Symmetric p-values, (..., type, other type).
    """
    return np.where(np.isnan(p), np.swapaxes(p, -1, -2), p)


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjustment of `p` (tests,), as `statsmodels.stats.multitest.multipletests` has it.

    That one collects the whole process's garbage on every call, a tenth of a second each, and there are many families.
    """
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted
