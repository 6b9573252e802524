"""`code_pairs`: latents that are active together as often as real ones, along the pairs that say most of each other."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.special import rel_entr

from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code
from plateaulens.targets.fitting import Codes, Fitting
from plateaulens.targets.registry import register
from plateaulens.targets.types.code_top import PRIOR

_LATENTS_AT_ONCE = 512
"""Latents whose pairs with all others are in memory together."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which latents are active, as a tree of dependences for each group of latents (Chow and Liu 1968).

    Latents depend on one other each, along the forest with the largest sum of mutual informations, of which pairs that
    are never active together are no branches. But for the smoothing by `together` no other such forest is nearer to the
    corpus in Kullback-Leibler divergence. Each latent keeps its frequency, each branch its smoothed joint one.
    """

    latent: Int64[np.ndarray, " fired"]
    """Those without a parent first, then their children, theirs, and so on."""
    parent: Int64[np.ndarray, " fired"]
    """Place of each one's parent in `latent`; -1 for none."""
    start: Int64[np.ndarray, " generations_and_end"]
    """Where each generation begins, and where the last one ends."""
    beside: Float64[np.ndarray, " fired"]
    """How often each is active where its parent is; one without a parent, anywhere."""
    without: Float64[np.ndarray, " fired"]
    """How often each is active where its parent is not; one without a parent, anywhere."""

    @classmethod
    def fit(cls, fitting: Fitting) -> Self:
        """The forest of a corpus's codes, each tree from its most frequent latent on, the lowest of equal ones.

        Which latent of a tree has no parent makes no difference to what is drawn. See `Learned.fit`.
        """
        codes = fitting.learned(Codes)
        active = _active(codes)
        frequency = codes.frequency[codes.fired]
        forest = _forest(active, frequency)
        order, parent, start = _generations(forest, frequency)
        child = order[parent >= 0]
        above = order[parent[parent >= 0]]
        both = np.asarray(active[:, child].multiply(active[:, above]).sum(axis=0)).ravel()
        rate = together(both, frequency[child], frequency[above], len(codes.size))
        beside, without = frequency[order], frequency[order]
        beside[parent >= 0] = rate / frequency[above]
        absent = 1 - frequency[above]  # 0 for a parent that is always active
        without[parent >= 0] = np.divide(frequency[child] - rate, absent, out=np.zeros(len(child)), where=absent > 0)
        return cls(codes.fired[order], parent, start, np.clip(beside, 0, 1), np.clip(without, 0, 1))

    def draw(self, generator: np.random.Generator) -> Int64[np.ndarray, " active"]:
        """Latents that are active together, those of a generation at once.

        Parameters
        ----------
        generator
            What is drawn from.

        Returns
        -------
        NDArray
            Ids shaped (active,), ascending; perhaps none.
        """
        chance = generator.random(len(self.latent))
        fires = np.zeros(len(self.latent), dtype=np.bool_)
        for start, stop in pairwise(self.start):
            own = slice(start, stop)
            # the first have no parent, and the same chance beside any
            fires[own] = chance[own] < np.where(fires[self.parent[own]], self.beside[own], self.without[own])
        return np.sort(self.latent[fires])


def together(
    both: NDArray[np.integer], first: NDArray[np.float64], second: NDArray[np.float64], rows: int
) -> NDArray[np.float64]:
    """How often two latents are active together, smoothed towards what it would be if they were independent.

    With c of n activations that have both, and m that have the rarer of them: (m c / n + PRIOR f g) / (m + PRIOR) for
    frequencies f and g, so that the more frequent one's frequency beside the rarer is smoothed as `code_top` smooths
    it. Frequencies of both remain what they are.

    Parameters
    ----------
    both
        How many activations have both, shaped (pair,).
    first, second
        Frequencies of the latents, shaped (pair,).
    rows
        How many activations there are.

    Returns
    -------
    NDArray
        Shaped (pair,), a share of all activations.

    Examples
    --------
    >>> import numpy as np
    >>> together(np.array([2]), np.array([0.5]), np.array([0.25]), 8).tolist()  # (2 * 2 / 8 + 2 / 8) / 4
    [0.1875]
    """
    rarer = rows * np.minimum(first, second)
    return np.asarray((rarer * both / rows + PRIOR * first * second) / (rarer + PRIOR))


@register
class CodePairs(CodeType):
    """Latents drawn along a tree of those that are active together, strengths from each latent's own.

    A latent is drawn knowing one other, so that what three latents have in common is that of their pairs; strengths
    are independent. Where none is drawn the target is decode(0).
    """

    name = "code_pairs"
    definition = "latents active together as often as real ones, along a tree of pairs, each as strong as it ever is"
    needs_sae = True
    learns: tuple[type, ...] = (Codes, Pairs)

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The code, which depends on the base by its scale only, where the SAE has one for each activation.

        See `plateaulens.targets.base.CodeType.code`.
        """
        latent = context.learned(Pairs).draw(generator)
        strength = context.learned(Codes).draw_strengths(latent, generator)
        return Code(latent, strength, base.frame)


class _Links(NamedTuple):
    """Pairs of places among the latents that fire, with minus their mutual information in nat."""

    first: NDArray[np.integer]
    second: NDArray[np.integer]
    weight: Float64[np.ndarray, " pairs"]

    def with_pairs(
        self, first: NDArray[np.integer], second: NDArray[np.integer], weight: NDArray[np.float64]
    ) -> "_Links":
        return _Links(
            np.concatenate([self.first, first]),
            np.concatenate([self.second, second]),
            np.concatenate([self.weight, weight]),
        )

    def graph(self, count: int) -> sparse.csr_array:
        # graphs of SciPy before 1.17 take indices of 32 bits only
        links = self.first.astype(np.int32), self.second.astype(np.int32)
        return sparse.csr_array((self.weight, links), shape=(count, count))


def _active(codes: Codes) -> sparse.csc_array:
    """Which of the latents that fire is active when, as ones."""
    found = codes.by_latent[:, codes.fired]
    return sparse.csc_array((np.ones(found.nnz, dtype=np.int32), found.indices, found.indptr), shape=found.shape)


def _forest(active: sparse.csc_array, frequency: Float64[np.ndarray, " fired"]) -> _Links:
    """The forest of the largest sum of mutual informations.

    Pairs come in blocks: a pair that is no branch of the best forest of some pairs is none of that of more.
    """
    rows, count = active.shape
    by_row: Any = sparse.csr_array(active)
    none = np.zeros(0, dtype=np.int64)
    best = _Links(none, none, np.zeros(0))
    for start in range(0, count, _LATENTS_AT_ONCE):
        counted = sparse.coo_array(active[:, start : start + _LATENTS_AT_ONCE].T @ by_row)
        first, second = counted.coords[0] + start, counted.coords[1]
        once = first < second
        first, second, both = first[once], second[once], counted.data[once]
        told = _information(both, frequency[first], frequency[second], rows)
        spanning = csgraph.minimum_spanning_tree(best.with_pairs(first, second, -told).graph(count))
        found = sparse.coo_array(spanning)
        best = _Links(found.coords[0], found.coords[1], found.data)
    return best


def _information(
    both: NDArray[np.integer], first: NDArray[np.float64], second: NDArray[np.float64], rows: int
) -> NDArray[np.float64]:
    """Mutual information of whether either latent of each pair is active, in nat, by the smoothed joint frequency."""
    rate = together(both, first, second, rows)
    cells = (
        (rate, first * second),
        (first - rate, first * (1 - second)),
        (second - rate, (1 - first) * second),
        (1 - first - second + rate, (1 - first) * (1 - second)),
    )
    # what is rounded to just below 0 is 0
    return np.asarray(sum(rel_entr(np.maximum(joint, 0), alone) for joint, alone in cells))


def _generations(
    forest: _Links, frequency: Float64[np.ndarray, " fired"]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Places of latents by generation, each one's parent as a place in that order, and where generations begin."""
    count = len(frequency)
    _, tree = csgraph.connected_components(forest.graph(count), directed=False)
    frequent = np.argsort(-frequency, kind="stable")
    roots = frequent[np.unique(tree[frequent], return_index=True)[1]]
    # one more, the parent of all that have none, so that the search is one
    whole = forest.with_pairs(np.full(len(roots), count), roots, np.full(len(roots), -1.0)).graph(count + 1)
    order, above = csgraph.breadth_first_order(whole, count, directed=False)
    place = np.empty(count + 1, dtype=np.int64)
    place[order] = np.arange(-1, count)
    parent = place[above[order[1:]]]
    generation = np.zeros(count, dtype=np.int64)
    for own in range(len(roots), count):
        generation[own] = generation[parent[own]] + 1
    start = np.searchsorted(generation, np.arange(generation[-1] + 2))
    return order[1:].astype(np.int64), parent, start.astype(np.int64)
