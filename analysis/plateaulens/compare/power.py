"""How often a verdict on the Kolmogorov-Smirnov distance would be reached, from pairs that were measured.

Under ties and pairing the power of the two tests has no formula. Here samples are drawn from a population that is made
of the pairs at hand and has exactly the distance in question, and what the tests would say of each is counted.

**A population with a given distance: `with_distance`.** A pair (a, b) adds 1{a <= x} - 1{b <= x} to the sum whose mean
is F(x) - G(x), and the swapped pair (b, a) adds the negative. If each pair is swapped with the probability q, F - G is
(1 - q) (F - G) + q (G - F) = (1 - 2 q) (F - G) at every x: the distance is (1 - 2 q) times the pairs' own, exactly,
and 0 for q = 1/2. What is swapped keeps its partner, its ties and its censoring, and F + G stays as it is. For a larger
distance than the pairs' own, pairs are turned the other way round, with the probability w, if they point against the
pairs' largest difference: the distance is a convex function of w that grows to the largest one these pairs can have.

**The tests.** `different` is `plateaulens.compare.permutation.ks_swap_test`: its reference distribution is that of
samples from the population with q = 1/2, its p-value has the noise of as many random swaps as the analysis draws, and
Holm's method is held to its first step, p <= alpha / types, which is enough whatever the other types do: a type that
stands beside clearly different ones has more power than is said here. `equivalent` is
`plateaulens.compare.distances.ks_equivalence_p`, with the same first step and the bootstrap's standard error, which has
a formula here, in samples that also have the events that the verdict asks for
(`plateaulens.compare.distances.has_events`).

In fresh samples the answers err on the safe side: swapped pairs are as far apart as they were, so a smaller distance
keeps the noise of the pilot's. Planned for .8 with pilots at distances of 0 to 0.1, `different` at 0.15 is found in 78
to 88 % and `equivalent` at 0 in 82 to 87 %; with pilots at 0.3 and pairs correlated by 0.8 in 96 % each
(tests/compare/test_power.py has the designs).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom

from plateaulens.compare.distances import distances, equivalence_score, has_events
from plateaulens.compare.permutation import ROUNDING

DRAWS = 1000
"""Samples whose verdicts are counted: a power is known to within 1.6 points."""
EQUAL_DRAWS = 3000
"""Samples of equal distributions, which critical values are read off."""


def pair_codes(pair: NDArray[np.float64], censored: NDArray[np.bool_]) -> NDArray[np.int_]:
    """The steps of two types as places among increasing values.

    Parameters
    ----------
    pair
        (2, sample), steps of the two types; NaN where undefined.
    censored
        (2, sample), which of them lie beyond the window.

    Returns
    -------
    NDArray[np.int_]
        (pair, 2), of the base prompts where both steps are defined; censored steps stand behind all others.

    Examples
    --------
    >>> pair_codes(np.array([[3.0, np.nan, 5.0], [4.0, 1.0, np.nan]]), np.array([[False] * 3, [False, False, True]]))
    array([[0, 1],
           [2, 3]])
    """
    placed = np.where(censored, np.inf, pair)
    placed = placed[:, ~np.isnan(placed).any(axis=0)]
    return np.searchsorted(np.unique(placed), placed).T


class Pairs(NamedTuple):
    """Pairs of a type and the reference, or units of pairs that are only drawn and swapped together."""

    rows: NDArray[np.float64]
    """What each different unit adds to the sum whose mean is F - G, (units, bins)."""
    apart: NDArray[np.float64]
    """What it would add if all of its pairs pointed one way, (units, bins)."""
    size: NDArray[np.float64]
    """Its number of pairs, (units,)."""
    events: NDArray[np.float64]
    """Its numbers of steps in the window, of the type and of the reference, (units, 2)."""
    events_apart: NDArray[np.float64]
    """Those if all of its pairs had the type's step first, (units, 2)."""
    share: NDArray[np.float64]
    """Its share of all units, (units,)."""
    number: int
    """The number of units, equal ones counted each."""

    @classmethod
    def measured(
        cls, pair: NDArray[np.float64], censored: NDArray[np.bool_], unit: NDArray[np.int_] | None = None
    ) -> "Pairs | None":
        """Those of some base prompts' steps.

        Parameters
        ----------
        pair, censored
            As `pair_codes` takes them.
        unit
            The unit that each base prompt belongs to, of any numbers, (sample,); None when each is by itself.

        Returns
        -------
        Pairs or None
            None without a base prompt where both steps are defined.
        """
        placed = np.where(censored, np.inf, pair)
        there = ~np.isnan(placed).any(axis=0)
        if not there.any():
            return None
        beyond = np.isfinite(np.unique(placed[:, there])).sum()
        return cls.of(pair_codes(pair, censored), None if unit is None else unit[there], beyond=int(beyond))

    @classmethod
    def of(cls, codes: NDArray[np.int_], unit: NDArray[np.int_] | None = None, *, beyond: int | None = None) -> "Pairs":
        """Those of some base prompts.

        Parameters
        ----------
        codes
            (pair, 2), as `pair_codes` gives them, the type's and the reference's; at least one pair.
        unit
            The unit that each pair belongs to, of any numbers, (pair,); None when each is by itself.
        beyond
            The code of censored steps; None where there are none.

        Returns
        -------
        Pairs
            Equal units of single pairs are put together.
        """
        different, first, times = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        place = np.arange(int(codes.max()) + 1)
        rows = (different[:, :1] <= place).astype(np.float64) - (different[:, 1:] <= place)
        last = place.size if beyond is None else beyond
        events, in_order = ((each < last).astype(np.float64) for each in (different, np.sort(different, axis=1)))
        if unit is None or len(np.unique(unit)) == len(unit):
            return cls(rows, np.abs(rows), np.ones(len(rows)), events, in_order, times / len(codes), len(codes))
        number, own = np.unique(unit, return_inverse=True)

        def of_units(each: NDArray[np.float64]) -> NDArray[np.float64]:
            total = np.zeros((len(number), each.shape[1]))
            np.add.at(total, own, each[first.ravel()])
            return total

        size, share = np.bincount(own).astype(np.float64), np.full(len(number), 1 / len(number))
        total, apart = of_units(rows), of_units(np.abs(rows))
        return cls(total, apart, size, of_units(events), of_units(in_order), share, len(number))

    @property
    def population(self) -> "Population":
        """What these pairs are a sample of, as far as they tell."""
        return Population(self.rows, self.size, self.events, self.share)

    @property
    def difference(self) -> NDArray[np.float64]:
        """F - G, (bins,)."""
        found: NDArray[np.float64] = self.share @ self.rows / (self.share @ self.size)
        return found

    @property
    def distance(self) -> float:
        """The Kolmogorov-Smirnov distance of the type and the reference."""
        return float(distances(self.difference))


class Population(NamedTuple):
    """Kinds of units, and how often each comes up."""

    rows: NDArray[np.float64]
    """As those of `Pairs`, (kinds, bins)."""
    size: NDArray[np.float64]
    """(kinds,)."""
    events: NDArray[np.float64]
    """(kinds, 2)."""
    share: NDArray[np.float64]
    """Probabilities, (kinds,)."""


def with_distance(pairs: Pairs, distance: float) -> Population | None:
    """The population of these pairs, partly swapped, whose distance is exactly this one; see the module's docstring.

    Parameters
    ----------
    pairs
        What it is made of.
    distance
        The Kolmogorov-Smirnov distance that it is to have, in [0, 1].

    Returns
    -------
    Population or None
        None when the pairs cannot be that far apart, whichever way they are turned.

    Examples
    --------
    >>> pairs = Pairs.of(np.array([[0, 1], [0, 1], [1, 0], [1, 1]]))
    >>> population = with_distance(pairs, 0.1)
    >>> pairs.distance, population.share @ population.rows
    (0.25, array([0.1, 0. ]))
    >>> with_distance(pairs, 0.9) is None
    True
    """
    difference = pairs.difference
    own = float(distances(difference))
    if distance <= own or own == distance == 0:
        swapped = (1 - distance / own) / 2 if own else 0.5
        other, events = -pairs.rows, pairs.events[:, ::-1]
    else:
        turn = -1 if difference[np.abs(difference).argmax()] < 0 else 1  # no difference at all is turned either way
        other, events = turn * pairs.apart, pairs.events_apart[:, ::turn]
        most = pairs.share @ other / (pairs.share @ pairs.size)
        if distances(most) < distance:
            return None
        swapped = brentq(lambda w: float(distances((1 - w) * difference + w * most)) - distance, 0.0, 1.0)
    share = np.concatenate([(1 - swapped) * pairs.share, swapped * pairs.share])
    kept = share > 0
    rows, both = (np.concatenate(each)[kept] for each in ([pairs.rows, other], [pairs.events, events]))
    return Population(rows, np.tile(pairs.size, 2)[kept], both, share[kept])


class Samples(NamedTuple):
    """Samples of a population."""

    difference: NDArray[np.float64]
    """F - G of each, (draws, bins)."""
    error: NDArray[np.float64]
    """Its standard error over the sample's bootstrap, (draws, bins)."""
    pairs: NDArray[np.float64]
    """The number of pairs of each, (draws,)."""
    events: NDArray[np.float64]
    """How many steps of the type and of the reference lie in the window, (draws, 2)."""


def draw(population: Population, units: int, rng: np.random.Generator, draws: int) -> Samples:
    """Draw samples.

    Parameters
    ----------
    population
        Where from.
    units
        The number of units of a sample.
    rng
        Random numbers.
    draws
        The number of samples.

    Returns
    -------
    Samples
        The variance of F - G at a place over resamples of units is that of their contributions, divided by the square
        of the number of pairs.
    """
    # Drawing units is drawing how often each kind comes up.
    counts = rng.multinomial(units, population.share / population.share.sum(), size=draws).astype(np.float64)
    rows, size = population.rows, population.size
    pairs = counts @ size
    difference = counts @ rows / pairs[:, np.newaxis]
    squares = counts @ rows**2 - 2 * difference * (counts @ (rows * size[:, np.newaxis]))
    squares += difference**2 * (counts @ size**2)[:, np.newaxis]
    error = np.sqrt(np.maximum(squares, 0.0)) / pairs[:, np.newaxis]
    return Samples(difference, error, pairs, counts @ population.events)


def power_different(samples: Samples, equal: Samples, *, level: float, resamples: int) -> float:
    """How often equal distributions are rejected by swaps.

    Parameters
    ----------
    samples
        Of the population in question.
    equal
        Of that with distance 0 and of the same number of units.
    level
        What a p-value may not exceed: after Holm's first step, alpha divided by the number of types.
    resamples
        The random swaps of the analysis: p is (1 + hits) / (1 + resamples).

    Returns
    -------
    float
        The mean, over the samples, of the probability of p <= `level`; 0 where so few swaps cannot get there.
    """
    ordered = np.sort(distances(equal.difference))
    least = distances(samples.difference) * (1 - ROUNDING)
    tail = 1 - np.searchsorted(ordered, least) / len(ordered)
    most = np.floor(level * (1 + resamples) - 1 + ROUNDING)  # hits that p may have
    return float(np.mean(binom.cdf(most, resamples, tail)))


def power_equivalent(samples: Samples, *, margin: float, level: float) -> float:
    """How often the verdict is equivalent: a distance of `margin` or more is rejected, and could have been seen.

    Parameters
    ----------
    samples
        Of the population in question.
    margin
        The distance that matters.
    level
        What a p-value may not exceed: after Holm's first step, alpha divided by the number of types.

    Returns
    -------
    float
        The share of the samples.
    """
    score = equivalence_score(samples.difference, samples.error, samples.pairs, margin)
    can_fail = has_events(samples.events, 1 - samples.events / samples.pairs[:, np.newaxis], margin)
    return float(np.mean((score <= ndtri(level)) & can_fail))


def shrunk_distance(pairs: Pairs, rng: np.random.Generator) -> float:
    """The distance of the pairs, less what their own sampling noise adds to it.

    A sample's distance D lies too high, and that of a resample, which has the noise twice, higher still. What
    resampling adds to the square, B^2 - D^2 with the resamples' mean distance B, is taken off again: the answer is the
    root of 2 D^2 - B^2, or 0. At a true distance of 0.12, with unrelated pairs and pairs correlated by 0.9, its mean
    is 0.13 to 0.14 at 40 and at 100 pairs, where that of D is 0.20 to 0.22 and 0.16 to 0.18; at 0 it is a third to two
    fifths of D's.

    Parameters
    ----------
    pairs
        The pairs.
    rng
        Random numbers.

    Returns
    -------
    float
        In [0, 1].
    """
    resampled = float(distances(draw(pairs.population, pairs.number, rng, DRAWS).difference).mean())
    return float(np.sqrt(max(2 * pairs.distance**2 - resampled**2, 0.0)))
