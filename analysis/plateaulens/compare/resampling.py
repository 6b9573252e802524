"""The bootstrap: base prompts drawn with replacement, once, and everything else computed from how often each came up.

All statistics, metrics and activation types of an experiment share the same resamples. That keeps a base prompt's
curves together (they are paired across types and correlated across metrics), and turns every bootstrap sum into one
matrix product of resampling counts with values.
"""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from plateaulens.blocks import sample_blocks

JACKKNIFE_GROUPS = 512
"""With 100,000 base prompts, leaving out each one would need 100,000 rows of as many counts."""


ROWS_PER_BLOCK = 16
"""Rows that are sorted at once: with 100,000 base prompts they fit in a processor's cache."""


class Resampling:
    """How often each of `samples` base prompts occurs in each resample.

    `counts` is (1 + resamples, samples). Row 0 is the sample itself, every prompt once, so that whatever is computed
    from the rows has the point estimate in front and the bootstrap draws behind it. Rows of other counts, those of
    `jackknife`, go through the same sums.

    `clusters` (samples,) numbers groups of base prompts that belong together, 0, 1, ...; None when each stands for
    itself.
    """

    def __init__(self, counts: NDArray[np.uint8], clusters: NDArray[np.int_] | None = None) -> None:
        self.counts = counts
        self.clusters = clusters

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, samples: int, resamples: int, clusters: NDArray[np.int_] | None = None
    ) -> Self:
        """Draw `resamples` resamples of `samples` base prompts each, with replacement.

        With `clusters` whole clusters are drawn, as many as there are, about `samples` base prompts in all.

        >>> Resampling.draw(np.random.default_rng(0), samples=4, resamples=2).counts
        array([[1, 1, 1, 1],
               [0, 1, 2, 1],
               [3, 1, 0, 0]], dtype=uint8)
        """
        # uint8 holds them: a prompt's count is about Poisson(1), and 256 of the same prompt have probability 1e-507.
        counts = np.ones((1 + resamples, samples), dtype=np.uint8)
        units = samples if clusters is None else count_clusters(clusters)
        for row in counts[1:]:
            drawn = np.bincount(rng.integers(units, size=units), minlength=units)
            row[:] = drawn if clusters is None else drawn[clusters]
        return cls(counts, clusters)

    @property
    def resamples(self) -> int:
        """The number of resamples, the sample itself not counted."""
        return len(self.counts) - 1

    @cached_property
    def jackknife(self) -> "Resampling":
        """The sample (row 0) and the samples without one group of base prompts each (the other rows).

        There are at most `JACKKNIFE_GROUPS` groups of equal size, of one base prompt or cluster each when these are no
        more. An acceleration is the same from groups as from single prompts, up to noise: a group's influence is a sum
        of d, whose skewness falls with the root of d just as the number of groups does.
        """
        samples = self.counts.shape[1]
        units = np.arange(samples) if self.clusters is None else self.clusters
        groups = min(JACKKNIFE_GROUPS, samples if self.clusters is None else count_clusters(self.clusters))
        counts = np.ones((1 + groups, samples), dtype=np.uint8)
        if groups:
            counts[1 + units % groups, np.arange(samples)] = 0
        return Resampling(counts, self.clusters)

    def sums(self, values: NDArray[np.number | np.bool_], first: int = 0) -> NDArray[np.float64]:
        """Sums over base prompts of `values` (samples, ...), as (1 + resamples, ...).

        `values` must be finite. It may hold a part of the samples, from sample `first` on: sums of parts add up.
        """
        flat = values.reshape(len(values), -1)
        total = np.zeros((len(self.counts), flat.shape[1]))
        for block in sample_blocks(len(flat)):
            counts = self.counts[:, first + block.start : first + block.stop]
            total += counts.astype(np.float64) @ flat[block].astype(np.float64)
        return total.reshape(len(self.counts), *values.shape[1:])

    def histograms(self, codes: NDArray[np.int_], bins: int) -> NDArray[np.float32]:
        """`histograms` of the resamples: `codes` (samples, ...) to (1 + resamples, ..., bins)."""
        return histograms(self.counts, codes, bins)


def histograms(counts: NDArray[np.uint8], codes: NDArray[np.int_], bins: int) -> NDArray[np.float32]:
    """How often each code 0..bins-1 occurs when sample i counts `counts[:, i]` times.

    `counts` (rows, samples) and `codes` (samples, ...) give (rows, ..., bins). Negative codes are counted nowhere.
    """
    flat = codes.reshape(len(codes), -1)
    total = np.zeros((len(counts), flat.shape[1], bins), dtype=np.float32)
    for column, own in enumerate(flat.T):
        order = np.argsort(own, kind="stable")
        order = order[own[order] >= 0]
        present, starts = np.unique(own[order], return_index=True)
        if not present.size:
            continue
        for first in range(0, len(counts), ROWS_PER_BLOCK):
            rows = slice(first, first + ROWS_PER_BLOCK)
            sorted_counts = counts[rows].take(order, axis=1)
            total[rows, column, present] = np.add.reduceat(sorted_counts, starts, axis=1, dtype=np.int32)
    return total.reshape(len(counts), *codes.shape[1:], bins)


def count_clusters(clusters: NDArray[np.int_]) -> int:
    """How many clusters the numbers 0, 1, ... of `clusters` name; 0 without any."""
    return int(clusters.max(initial=-1)) + 1


def ratio(numerator: NDArray[np.floating], denominator: NDArray[np.floating]) -> NDArray[np.float64]:
    """Elementwise quotient, NaN where the denominator is 0: a mean over nothing does not exist."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0, dtype=np.float64)
    return quotient


def percentile_interval(draws: NDArray[np.floating], confidence: float) -> NDArray[np.float64]:
    """The equal-tailed percentile interval of bootstrap draws (draws, ...), as (..., 2) with the lower bound first.

    Quantiles interpolate linearly between draws. Draws that are NaN (the quantity did not exist in that resample, for
    example because every uncensored prompt was left out) are set aside; bounds are NaN where all are. When no draw
    differs from the others, as with constant data or a single base prompt, the interval is that point: its zero width
    means that resampling had nothing to vary, not that the quantity is known exactly.

    >>> percentile_interval(np.array([4.0, 1.0, np.nan, 2.0, 3.0, 5.0]), confidence=0.5)
    array([2., 4.])
    """
    tail = (1 - confidence) / 2
    return np.stack([quantile(draws, tail), quantile(draws, 1 - tail)], axis=-1)


def quantile(draws: NDArray[np.floating], probability: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """The quantile over the first axis, interpolated linearly; NaN draws are set aside, NaN where all of them are.

    `probability` may be one for each element of a draw.
    """
    ordered = np.sort(draws.astype(np.float64), axis=0)  # NaN goes last
    last = np.isfinite(ordered).sum(axis=0) - 1
    position = probability * np.maximum(last, 0)
    below = np.floor(position).astype(np.int_)
    above = np.minimum(below + 1, np.maximum(last, 0))
    low, high = (np.take_along_axis(ordered, index[np.newaxis], axis=0)[0] for index in (below, above))
    result: NDArray[np.float64] = low + (high - low) * (position - below)
    return result
