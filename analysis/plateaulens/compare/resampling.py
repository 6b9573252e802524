"""The bootstrap: base prompts drawn with replacement, once, and everything else computed from how often each came up.

All statistics, metrics and activation types of an experiment share the same resamples. That keeps a base prompt's
curves together (they are paired across types and correlated across metrics), and turns every bootstrap sum into one
matrix product of resampling counts with values.
"""

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.weights import Weights, count_clusters, units_of

JACKKNIFE_GROUPS = 512
"""An acceleration needs no more; see `Resampling.jackknife`."""


class Resampling(Weights):
    """How often each of the `samples` base prompts occurs in each resample.

    Row 0 of the weights is the sample itself, every prompt once, so that whatever is computed from the rows has the
    point estimate in front and the bootstrap draws behind it. Rows of other counts, those of `jackknife`, go through
    the same sums.
    """

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, samples: int, resamples: int, clusters: NDArray[np.int_] | None = None
    ) -> Self:
        """Draw `resamples` resamples of `samples` base prompts each, with replacement.

        With `clusters` whole clusters are drawn, as many as there are, about `samples` base prompts in all; and so it
        is with the units of very many base prompts.

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
