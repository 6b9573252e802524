"""Rows of weights for base prompts, and the sums they give: what the bootstrap, the jackknife and swaps share.

Base prompts that belong together, or that there are too many of to weigh one by one, form a unit, and a row has one
weight for each unit. A sum over base prompts is then a sum over units of what each unit adds up to, so that the work
of many rows does not grow with the number of base prompts beyond `MAXIMUM_UNITS`.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", bound=np.floating[Any])

MAXIMUM_UNITS = 4096
"""More base prompts (or clusters of them) than this are put into so many units of equal size.

Units of independent base prompts are independent and alike, so to draw, leave out or swap whole units is as valid as to
do it with single ones. What is lost is precision of the interval's width: a standard error from u units is itself known
to 1 / sqrt(2 u), here 1 %, and the noise of 2,000 resamples is half as much again.
"""


def units_of(samples: int, clusters: NDArray[np.int_] | None) -> NDArray[np.int_]:
    """The number 0, 1, ... of the unit that each base prompt belongs to, (samples,).

    A unit is one cluster (numbered 0, 1, ... in `clusters`), or one base prompt without clusters, up to
    `MAXIMUM_UNITS` of them; beyond that, every `MAXIMUM_UNITS`-th of these.

    >>> units_of(4, np.array([0, 1, 0, 2])).tolist()
    [0, 1, 0, 2]
    """
    single = np.arange(samples) if clusters is None else clusters
    return single % MAXIMUM_UNITS


def count_clusters(clusters: NDArray[np.int_]) -> int:
    """How many clusters the numbers 0, 1, ... of `clusters` name; 0 without any."""
    return int(clusters.max(initial=-1)) + 1


class Weights:
    """`rows` (rows, units) of weights, and the `unit` (samples,) of each base prompt, numbered from 0."""

    def __init__(self, rows: NDArray[np.int8] | NDArray[np.uint8], unit: NDArray[np.int_]) -> None:
        assert unit.max(initial=-1) < rows.shape[1]
        self.rows = rows
        self.unit = unit

    @property
    def of_prompts(self) -> NDArray[np.int8] | NDArray[np.uint8]:
        """The weight of each base prompt, (rows, samples)."""
        return self.rows[:, self.unit]

    @property
    def units(self) -> int:
        """The number of units."""
        return int(self.rows.shape[1])

    def totals(self, values: NDArray[np.number | np.bool_]) -> NDArray[np.float64]:
        """What finite `values` (samples, ...) add up to in each unit, (units, ...)."""
        total = np.zeros((self.units, *values.shape[1:]))
        self.add(values, total, first=0)
        return total

    def add(self, values: NDArray[np.number | np.bool_], total: NDArray[np.float64], *, first: int) -> None:
        """Add the finite `values` (some samples, ...) of the samples from `first` on to `total` (units, ...)."""
        own = self.unit[first : first + len(values)]
        order = np.argsort(own, kind="stable")
        present, starts = np.unique(own[order], return_index=True)
        if present.size:
            total[present] += np.add.reduceat(values[order], starts, axis=0, dtype=np.float64)

    def tallies(self, codes: NDArray[np.int_], bins: int) -> NDArray[np.float32]:
        """How often each code 0..bins-1 of `codes` (samples, ...) occurs in each unit, (units, ..., bins).

        Negative codes are counted nowhere.
        """
        flat = codes.reshape(len(codes), -1)
        total = np.empty((self.units, flat.shape[1], bins), dtype=np.float32)
        for column, own in enumerate(flat.T):
            there = own >= 0
            place = self.unit[there] * bins + own[there]
            total[:, column] = np.bincount(place, minlength=self.units * bins).reshape(self.units, bins)
        return total.reshape(self.units, *codes.shape[1:], bins)

    def weigh(self, totals: NDArray[_Real]) -> NDArray[_Real]:
        """The weighted sums of units' `totals` or tallies (units, ...), as (rows, ...) of the same type.

        Tallies come out exact: whole numbers of single precision are, up to 2^24 base prompts.
        """
        weighted: NDArray[_Real] = self.rows.astype(totals.dtype) @ totals.reshape(len(totals), -1)
        return weighted.reshape(len(self.rows), *totals.shape[1:])

    def sums(self, values: NDArray[np.number | np.bool_]) -> NDArray[np.float64]:
        """Weighted sums over base prompts of finite `values` (samples, ...), as (rows, ...)."""
        return self.weigh(self.totals(values))

    def histograms(self, codes: NDArray[np.int_], bins: int) -> NDArray[np.float32]:
        """Weighted numbers of the codes 0..bins-1 in `codes` (samples, ...), as (rows, ..., bins)."""
        return self.weigh(self.tallies(codes, bins))
