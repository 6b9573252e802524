"""P-values of equal distributions under ties: swaps within base prompts, and pooled samples.

Textbook p-values of the Kolmogorov-Smirnov test suppose distinct values and independent samples. Steps are integers and
types share base prompts; the tests here suppose neither, and are exact or valid at every size.

- **Paired** (`ks_swap_test`, `mean_swap_p`): if the type and the reference are exchangeable within a base prompt, each
  may be swapped for the other. It tests that hypothesis, which is a little more than equal distributions.
- **Pooled** (`pooled_p`): the two samples as independent ones, as the authors' tests take them. Under the positive
  correlation that a shared base prompt brings it rejects too rarely.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.resampling import Weights, count_clusters, ratio, units_of

ROUNDING = 1e-9
"""A statistic this much (relatively) below the observed one is equal to it."""


class Swaps(Weights):
    """Which base prompts have the type and the reference exchanged, in each of many reassignments.

    Weights are 1, and -1 where swapped, so that sums over base prompts of what a swap negates are the weighted sums.

    Parameters
    ----------
    signs
        The weights, (swaps, units).
    unit
        The unit that each base prompt belongs to, numbered from 0, (samples,).
    exhaustive
        Whether the rows are all reassignments that there are, the identity included.
    """

    def __init__(self, signs: NDArray[np.int8], unit: NDArray[np.int_], *, exhaustive: bool) -> None:
        super().__init__(signs, unit)
        self.exhaustive = exhaustive

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, samples: int, swaps: int, clusters: NDArray[np.int_] | None = None
    ) -> Self:
        """Draw random reassignments; all of them when they are no more than are asked for.

        Parameters
        ----------
        rng
            Random numbers; those of one row are drawn after those of the row before.
        samples
            The number of base prompts.
        swaps
            How many reassignments to draw.
        clusters
            The cluster of each base prompt, numbered from 0, (samples,); None when each is by itself. Clusters, and the
            units of very many base prompts, are swapped as a whole.

        Returns
        -------
        Swaps
            Signs, (swaps, units) or, when exhaustive, (2**units, units).

        Examples
        --------
        >>> Swaps.draw(np.random.default_rng(0), samples=2, swaps=10).rows
        array([[ 1,  1],
               [-1,  1],
               [ 1, -1],
               [-1, -1]], dtype=int8)
        """
        unit = units_of(samples, clusters)
        number = count_clusters(unit)
        exhaustive = number < 63 and 2**number <= swaps
        if exhaustive:
            swapped = (np.arange(2**number)[:, np.newaxis] >> np.arange(number) & 1).astype(np.int8)
        else:
            swapped = np.empty((swaps, number), dtype=np.int8)
            for row in swapped:
                row[:] = rng.integers(2, size=number, dtype=np.uint8)
        return cls(1 - 2 * swapped, unit, exhaustive=exhaustive)

    def p_value(self, statistic: NDArray[np.float64], observed: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of reassignments whose statistic is at least the observed one.

        The identity is counted among random ones, (1 + hits) / (1 + swaps), so that p is never 0 (Phipson and Smyth
        2010); it is there already when they are exhaustive.

        Parameters
        ----------
        statistic
            The statistic in each reassignment, (swaps, ...).
        observed
            The statistic as observed, (...).

        Returns
        -------
        NDArray[np.float64]
            p-values, (...).
        """
        hits = (statistic >= observed - ROUNDING * np.abs(observed)).sum(axis=0)
        extra = 0 if self.exhaustive else 1
        return np.asarray((hits + extra) / (len(statistic) + extra))


class SwapTest(NamedTuple):
    """What swaps say about the distance of each type to the reference, (type,); NaN without a pair, as is the own."""

    p: NDArray[np.float64]
    """p-values."""
    mean: NDArray[np.float64]
    """The mean distance over the reassignments: how far apart two samples of one distribution lie on average, with this
    number of prompts, these ties and this correlation."""
    upper: NDArray[np.float64]
    """The quantile of these distances: the given share of them is at most as large."""


def ks_swap_test(codes: NDArray[np.int_], bins: int, swaps: Swaps, *, reference: int, confidence: float) -> SwapTest:
    """Test the distance of each type to the reference by swapping the two within base prompts.

    Base prompts without both observations take no part in a type's test.

    Parameters
    ----------
    codes
        Places among increasing values, (type, sample), negative for undefined observations.
    bins
        The number of these values.
    swaps
        Reassignments of the same samples.
    reference
        The number of the reference among the types.
    confidence
        The share of distances of exchangeable types that `upper` is not exceeded by.

    Returns
    -------
    SwapTest
        The p-values, and what exchangeable types would show.
    """
    pairs = (codes >= 0) & (codes[reference] >= 0)
    pairs[reference] = False
    own, other = (np.where(pairs, which, -1).T for which in (codes, codes[reference]))
    # Not divided by the number of pairs, distances are whole numbers.
    differences = swaps.tallies(own, bins) - swaps.tallies(other, bins)
    distance, observed = (
        np.abs(np.cumsum(sums, axis=-1, dtype=np.float64)).max(axis=-1)
        for sums in (swaps.weigh(differences), differences.sum(axis=0, dtype=np.float64))
    )
    number = pairs.sum(axis=1)
    return SwapTest(
        p=np.where(number > 0, swaps.p_value(distance, observed), np.nan),
        mean=ratio(distance.mean(axis=0), number),
        # A value that is taken, and no mean of two: the distances are few.
        upper=ratio(np.quantile(distance, confidence, axis=0, method="inverted_cdf"), number),
    )


def mean_swap_p(change: NDArray[np.float64], swaps: Swaps) -> NDArray[np.float64]:
    """P-values of no mean paired difference.

    Swapping turns a difference's sign and keeps the sum of squares, so that this is the test of the t statistic too:
    exact for differences that are symmetric about 0, and approximately right for skewed ones with mean 0.

    Parameters
    ----------
    change
        Paired differences to the reference, (type, sample), 0 without a pair.
    swaps
        Reassignments of the same samples.

    Returns
    -------
    NDArray[np.float64]
        p-values, (type,); 1 where there is no difference, or no pair.
    """
    return swaps.p_value(np.abs(swaps.sums(change.T)), np.abs(change.sum(axis=1)))


EXACT_UP_TO = 2000
"""Pooled p-values are exact up to this many observations in both samples, and simulated beyond."""


def pooled_p(
    first: NDArray[np.int_], second: NDArray[np.int_], *, rng: np.random.Generator, permutations: int
) -> float:
    """The p-value of the distance between two independent samples, given their ties.

    The probability is over all ways to divide the pooled observations between two samples of these sizes. Exact up to
    `EXACT_UP_TO` observations: the share of the first sample among the first z pooled observations is a Markov chain,
    of which the paths are dropped that reach the observed distance at the end of a tie (Schroeer and Trenkler 1995,
    Computational Statistics and Data Analysis 20:185). Beyond that, `permutations` random divisions, whose histograms
    are multivariate hypergeometric, and p = (1 + hits) / (1 + permutations).

    Parameters
    ----------
    first, second
        Histograms over the same increasing values, (bins,).
    rng
        Random numbers for large samples.
    permutations
        The number of random divisions of large samples.

    Returns
    -------
    float
        The p-value; NaN when one sample is empty.
    """
    sizes = int(first.sum()), int(second.sum())
    if not all(sizes):
        return float("nan")
    pooled = first + second
    # Multiplied by both sizes, distances are whole numbers.
    observed = int(np.abs(np.cumsum(first) * sizes[1] - np.cumsum(second) * sizes[0]).max())
    if sum(sizes) <= EXACT_UP_TO:
        return _exact(sizes, np.cumsum(pooled), observed)
    drawn = np.cumsum(rng.multivariate_hypergeometric(pooled, sizes[0], size=permutations), axis=1)
    distance = np.abs(drawn * sum(sizes) - np.cumsum(pooled) * sizes[0]).max(axis=1)
    return float((1 + (distance >= observed).sum()) / (1 + permutations))


def _exact(sizes: tuple[int, int], ends: NDArray[np.int_], observed: int) -> float:
    """The probability that the first sample's share strays by `observed` or more at any of the tie `ends`."""
    first, total = sizes[0], sum(sizes)
    taken = np.arange(first + 2)
    probability = np.zeros(first + 2)
    probability[0] = 1.0
    low, high = 0, 1  # no other number taken so far has any probability left
    reached = 0.0
    boundary = np.zeros(total + 1, dtype=np.bool_)
    boundary[ends] = True
    for drawn in range(total):
        step = probability[low:high] * ((first - taken[low:high]) / (total - drawn))
        probability[low:high] -= step
        probability[low + 1 : high + 1] += step
        high = min(high + 1, first + 1)
        if boundary[drawn + 1]:
            beyond = np.abs(taken[low:high] * total - (drawn + 1) * first) >= observed
            reached += probability[low:high][beyond].sum()
            probability[low:high][beyond] = 0.0
            inside = low + np.flatnonzero(~beyond)
            if not inside.size:
                break
            low, high = inside[0], inside[-1] + 1
    return min(1.0, float(reached))
