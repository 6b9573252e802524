"""Rows of weights for base prompts, and the sums they give: what the bootstrap, the jackknife and swaps share.

The bootstrap draws base prompts with replacement, once, and everything else is computed from how often each came up.
All statistics, metrics and activation types of an experiment share the same resamples. That keeps a base prompt's
curves together (they are paired across types and correlated across metrics), and turns every bootstrap sum into one
matrix product of resampling counts with values.

Base prompts that belong together, or that there are too many of to weigh one by one, form a unit, and a row has one
weight for each unit. A sum over base prompts is then a sum over units of what each unit adds up to, so that the work of
many rows does not grow with the number of base prompts beyond `MAXIMUM_UNITS`.

Base prompts belong together when they share a real target. Two base prompts whose real targets come from the same
prompt are not independent: what is peculiar to that target is in both of their curves. With the graph that links two
base prompts whenever they share a target prompt, in the same type or in two different ones, its connected components
(clusters) are independent of each other, and the bootstrap draws components.

The alternative for crossed designs, to draw base prompts and target prompts separately and to multiply their counts
(the pigeonhole bootstrap; Owen 2007, Annals of Applied Statistics 1:386), does not need components to be small, but
counts the variance of what belongs to a single pair of prompts three times: where most targets serve one base, as here,
its intervals are up to 1.7 times too wide.
"""

from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plateaulens.errors import UsageError

_Real = TypeVar("_Real", bound=np.floating[Any])


class Weights:
    """Rows of weights, each with one weight for every unit of base prompts.

    Values to be summed have base prompts on the first axis, (samples, ...), and sums have rows there, (rows, ...).

    Parameters
    ----------
    rows
        The weights, (rows, units).
    unit
        The unit that each base prompt belongs to, numbered from 0, (samples,).
    """

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

    @property
    def is_grouped(self) -> bool:
        """Whether a unit holds more than one base prompt."""
        return self.units < len(self.unit)

    @property
    def worth(self) -> float:
        """How many independent units there are for each base prompt, at most 1."""
        return min(1.0, self.units / max(len(self.unit), 1))

    def totals(self, values: NDArray[np.number | np.bool_]) -> NDArray[np.float64]:
        """What values add up to in each unit.

        Parameters
        ----------
        values
            Finite values, (samples, ...).

        Returns
        -------
        NDArray[np.float64]
            Sums over the base prompts of each unit, (units, ...); 0 for a unit without one.
        """
        total = np.zeros((self.units, *values.shape[1:]))
        self.add(values, total, first=0)
        return total

    def add(self, values: NDArray[np.number | np.bool_], total: NDArray[np.float64], *, first: int) -> None:
        """Add the values of some base prompts to the totals of their units, for values that are read in parts.

        Parameters
        ----------
        values
            Finite values of consecutive base prompts, (some samples, ...).
        total
            The totals so far, (units, ...), which are changed in place.
        first
            The number of the base prompt that `values` begin with.
        """
        own = self.unit[first : first + len(values)]
        order = np.argsort(own, kind="stable")
        present, starts = np.unique(own[order], return_index=True)
        if present.size:
            total[present] += np.add.reduceat(values[order], starts, axis=0, dtype=np.float64)

    def tallies(self, codes: NDArray[np.int_], bins: int) -> NDArray[np.float32]:
        """How often each code occurs in each unit.

        Parameters
        ----------
        codes
            Codes 0..bins-1, (samples, ...). Negative codes are counted nowhere.
        bins
            The number of codes.

        Returns
        -------
        NDArray[np.float32]
            Counts, (units, ..., bins).
        """
        flat = codes.reshape(len(codes), -1)
        total = np.empty((self.units, flat.shape[1], bins), dtype=np.float32)
        for column, own in enumerate(flat.T):
            there = own >= 0
            place = self.unit[there] * bins + own[there]
            total[:, column] = np.bincount(place, minlength=self.units * bins).reshape(self.units, bins)
        return total.reshape(self.units, *codes.shape[1:], bins)

    def weigh(self, totals: NDArray[_Real]) -> NDArray[_Real]:
        """The weighted sums of what the units hold.

        Parameters
        ----------
        totals
            Totals or tallies of the units, (units, ...).

        Returns
        -------
        NDArray
            Sums over units, (rows, ...), of the type of `totals`. Those of tallies are exact: whole numbers of single
            precision are, up to 2^24 base prompts.
        """
        weighted: NDArray[_Real] = self.rows.astype(totals.dtype) @ totals.reshape(len(totals), -1)
        return weighted.reshape(len(self.rows), *totals.shape[1:])

    def sums(self, values: NDArray[np.number | np.bool_]) -> NDArray[np.float64]:
        """Weighted sums over base prompts.

        Parameters
        ----------
        values
            Finite values, (samples, ...).

        Returns
        -------
        NDArray[np.float64]
            Sums, (rows, ...).
        """
        return self.weigh(self.totals(values))

    def histograms(self, codes: NDArray[np.int_], bins: int) -> NDArray[np.float32]:
        """Weighted numbers of codes over base prompts.

        Parameters
        ----------
        codes
            Codes 0..bins-1, (samples, ...). Negative codes are counted nowhere.
        bins
            The number of codes.

        Returns
        -------
        NDArray[np.float32]
            Histograms, (rows, ..., bins); exact, see `weigh`.
        """
        return self.weigh(self.tallies(codes, bins))


JACKKNIFE_GROUPS = 512
"""An acceleration needs no more; see `Resampling.jackknife`."""


class Resampling(Weights):
    """How often each unit of base prompts occurs in each resample.

    Row 0 of the weights is the sample itself, every unit once, so that whatever is computed from the rows has the point
    estimate in front and the bootstrap draws behind it. Rows of other counts, those of `jackknife`, go through the same
    sums.
    """

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, samples: int, resamples: int, clusters: NDArray[np.int_] | None = None
    ) -> Self:
        """Draw base prompts with replacement, as many as there are.

        Parameters
        ----------
        rng
            Random numbers; those of one row are drawn after those of the row before.
        samples
            The number of base prompts.
        resamples
            How often to draw.
        clusters
            The cluster of each base prompt, numbered from 0, (samples,): whole clusters are drawn, as many as there
            are, about `samples` base prompts in all. None draws single base prompts. Very many of either are drawn as
            whole units, see `units_of`.

        Returns
        -------
        Resampling
            Counts, (1 + resamples, units), the sample's own in row 0.

        Examples
        --------
        >>> Resampling.draw(np.random.default_rng(0), samples=4, resamples=2).rows
        array([[1, 1, 1, 1],
               [0, 1, 2, 1],
               [3, 1, 0, 0]], dtype=uint8)
        """
        unit = units_of(samples, clusters)
        number = count_clusters(unit)
        # uint8 holds them: a unit's count is about Poisson(1), and 256 of the same unit have probability 1e-507.
        counts = np.ones((1 + resamples, number), dtype=np.uint8)
        for row in counts[1:]:
            row[:] = np.bincount(rng.integers(number, size=number), minlength=number)
        return cls(counts, unit)

    @property
    def resamples(self) -> int:
        """The number of resamples, the sample itself not counted."""
        return len(self.rows) - 1

    @cached_property
    def jackknife(self) -> "Resampling":
        """The sample (row 0) and the samples without one group of base prompts each (the other rows).

        There are at most `JACKKNIFE_GROUPS` groups of equal size, of one unit each when these are no more. An
        acceleration is the same from groups as from single prompts, up to noise: a group's influence is a sum of d,
        whose skewness falls with the root of d just as the number of groups does.
        """
        groups = min(JACKKNIFE_GROUPS, self.units)
        counts = np.ones((1 + groups, self.units), dtype=np.uint8)
        if groups:
            counts[1 + np.arange(self.units) % groups, np.arange(self.units)] = 0
        return Resampling(counts, self.unit)


MAXIMUM_UNITS = 4096
"""More base prompts (or clusters of them) than this are put into so many units of equal size.

Units of independent base prompts are independent and alike, so to draw, leave out or swap whole units is as valid as to
do it with single ones. What is lost is precision of the interval's width: a standard error from u units is itself known
to 1 / sqrt(2 u), here 1 %, and the noise of 2,000 resamples is half as much again.
"""


def units_of(samples: int, clusters: NDArray[np.int_] | None) -> NDArray[np.int_]:
    """The unit that each base prompt belongs to.

    A unit is one cluster, or one base prompt without clusters, up to `MAXIMUM_UNITS` of them; beyond that, every
    `MAXIMUM_UNITS`-th of these.

    Parameters
    ----------
    samples
        The number of base prompts.
    clusters
        The cluster of each base prompt, numbered from 0, (samples,); None when each is by itself.

    Returns
    -------
    NDArray[np.int_]
        Units, numbered from 0, (samples,).

    Examples
    --------
    >>> units_of(4, np.array([0, 1, 0, 2])).tolist()
    [0, 1, 0, 2]
    """
    single = np.arange(samples) if clusters is None else clusters
    return single % MAXIMUM_UNITS


def count_clusters(clusters: NDArray[np.int_]) -> int:
    """How many clusters there are.

    Parameters
    ----------
    clusters
        The cluster of each base prompt, numbered from 0 without a gap, (samples,).

    Returns
    -------
    int
        One more than the largest number; 0 without any.
    """
    return int(clusters.max(initial=-1)) + 1


LARGEST_SHARE = 0.1
"""A bootstrap that draws one block of the data as a whole, or not at all, has few effective draws of the rest."""


def shared_targets(source_row: NDArray[np.integer]) -> NDArray[np.int_]:
    """Number the groups of base prompts that are linked by shared targets.

    Parameters
    ----------
    source_row
        The row of the prompt file that a target came from, (type, sample), negative where it came from none.

    Returns
    -------
    NDArray[np.int_]
        The group of each base prompt, numbered from 0, (sample,).

    Raises
    ------
    UsageError
        When one group holds more than a tenth of the base prompts (and more than one of them), where drawing groups no
        longer works.

    Examples
    --------
    >>> shared_targets(np.array([[*range(19), 0], [-1] * 20]))
    array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16,
           17, 18,  0])
    """
    clusters = linked_prompts(source_row)
    samples, largest = len(clusters), int(np.bincount(clusters).max(initial=0))
    if largest > max(1, LARGEST_SHARE * samples):
        raise UsageError(
            f"analysis.resample_targets: shared targets link {largest} of {samples} base prompts to one group, too "
            "many to resample by group: use more prompts in the prompt file, or fewer samples, or switch it off"
        )
    return clusters


def linked_prompts(source_row: NDArray[np.integer]) -> NDArray[np.int_]:
    """Number the groups of base prompts that are linked by shared targets, however large a group is.

    Parameters
    ----------
    source_row
        The row of the prompt file that a target came from, (type, sample), negative where it came from none.

    Returns
    -------
    NDArray[np.int_]
        The group of each base prompt, numbered from 0, (sample,).

    Examples
    --------
    >>> linked_prompts(np.array([[7, 8, 9], [9, 7, 5]]))
    array([0, 0, 0])
    """
    samples = source_row.shape[1]
    _, sample = np.nonzero(source_row >= 0)
    rows, row = np.unique(source_row[source_row >= 0], return_inverse=True)
    size = samples + len(rows)
    links = coo_array((np.ones(len(sample)), (sample, samples + row)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return np.unique(component[:samples], return_inverse=True)[1].astype(np.int_)


def percentile_interval(draws: NDArray[np.floating], confidence: float) -> NDArray[np.float64]:
    """The equal-tailed percentile interval of bootstrap draws.

    When no draw differs from the others, as with constant data or a single base prompt, the interval is that point: its
    zero width means that resampling had nothing to vary, not that the quantity is known exactly.

    Parameters
    ----------
    draws
        Bootstrap draws, (draws, ...). Those that are NaN (the quantity did not exist in that resample, for example
        because every uncensored prompt was left out) are set aside.
    confidence
        The share of the draws that lie inside.

    Returns
    -------
    NDArray[np.float64]
        The lower and the upper bound, (..., 2). Quantiles interpolate linearly between draws; NaN where all draws are.

    Examples
    --------
    >>> percentile_interval(np.array([4.0, 1.0, np.nan, 2.0, 3.0, 5.0]), confidence=0.5)
    array([2., 4.])
    """
    tail = (1 - confidence) / 2
    return np.stack([quantile(draws, tail), quantile(draws, 1 - tail)], axis=-1)


def quantile(draws: NDArray[np.floating], probability: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """The quantile of draws, interpolated linearly between them.

    Parameters
    ----------
    draws
        Finite draws, or NaN, which is set aside; (draws, ...).
    probability
        One for all, or one for each element of a draw, (...).

    Returns
    -------
    NDArray[np.float64]
        Quantiles, (...); NaN where all draws are.
    """
    ordered = np.sort(draws.astype(np.float64), axis=0)  # NaN goes last
    last = np.isfinite(ordered).sum(axis=0) - 1
    position = probability * np.maximum(last, 0)
    below = np.floor(position).astype(np.int_)
    above = np.minimum(below + 1, np.maximum(last, 0))
    low, high = (np.take_along_axis(ordered, index[np.newaxis], axis=0)[0] for index in (below, above))
    result: NDArray[np.float64] = low + (high - low) * (position - below)
    return result


def ratio(numerator: NDArray[np.floating], denominator: NDArray[np.floating]) -> NDArray[np.float64]:
    """Elementwise quotient, NaN where the denominator is 0: a mean over nothing does not exist.

    Parameters
    ----------
    numerator, denominator
        Arrays that are broadcast to one shape.

    Returns
    -------
    NDArray[np.float64]
        Quotients, of that shape.
    """
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0, dtype=np.float64)
    return quotient
