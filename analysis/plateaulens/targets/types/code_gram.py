"""`code_gram`: other latents that stand to each other, all of them, as those of a real code do."""

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.fitting import Codes
from plateaulens.targets.registry import register

_CANDIDATES, _SEEDS, _NEAREST = 768, 16, 32
"""Latents that one search chooses from; some of them, and how many nearest to each of these are among them."""
_STARTS, _WORK = 128, 8000
"""At most so many sets are built up, fewer where starts times latents squared would be more than `_WORK`."""
_PASSES = 10
_SAME = 12
"""Decimals to which sums of squares are compared, as they are added up in an order that no one promises."""


@register
class CodeGram(CodeType):
    """A real code's size and strengths on other latents, chosen so that all cosines between them are kept.

    The real code is one of the corpus, drawn uniformly. None of its latents is used, nor one that is never active in
    the corpus. How well the cosines can be kept depends on how many there are: a small set finds its like, while few
    large ones exist that are not nearly orthogonal (`mismatch` tells).
    """

    name = "code_gram"
    definition = "a real code's strengths on other latents, between which all cosines are nearly those of the code's"
    needs_sae = True
    learns: tuple[type, ...] = (Codes,)

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The code, which depends on the base by its scale only, where the SAE has one for each activation.

        See `plateaulens.targets.base.CodeType.code`.
        """
        codes = context.learned(Codes)
        real = codes.code(int(generator.integers(len(codes.size))))
        found = replace_by_gram(real, np.setdiff1d(codes.fired, real.latent), context.sae, generator)
        return Code(found.latent, found.activation, base.frame)


def gram(latents: Int64[np.ndarray, " latents"], dictionary: Dictionary) -> Float64[np.ndarray, "latents latents"]:
    """Cosines between the decoder rows of all pairs of some latents.

    Parameters
    ----------
    latents
        Ids, shaped (latent,).
    dictionary
        What they belong to.

    Returns
    -------
    NDArray
        Shaped (latent, latent), float64 as latents are chosen by it; NaN where either row is zero.
    """
    rows = dictionary.decoder[torch.from_numpy(latents)].detach().double()
    rows = rows / rows.norm(dim=1, keepdim=True)
    result: NDArray[np.float64] = (rows @ rows.T).cpu().numpy()
    return result


def mismatch(
    first: Int64[np.ndarray, " latents"], second: Int64[np.ndarray, " latents"], dictionary: Dictionary
) -> float:
    """How far the cosines within one set of latents are from those within another.

    Parameters
    ----------
    first, second
        Ids, shaped (latent,): the latent at a place of one stands for that at the same place of the other.
    dictionary
        What they belong to.

    Returns
    -------
    float
        Root mean square difference over all pairs of two places; 0 where there is no pair, NaN where a row is zero.
    """
    pairs = np.triu_indices(len(first), 1)
    if not len(pairs[0]):
        return 0.0
    apart = gram(first, dictionary)[pairs] - gram(second, dictionary)[pairs]
    return float(np.sqrt(np.square(apart).mean()))


def replace_by_gram(
    code: Code, admissible: Int64[np.ndarray, " admissible"], dictionary: Dictionary, generator: np.random.Generator
) -> Code:
    """The code on other latents, for which the sum over pairs of squared differences of cosines is small.

    1. Candidates are 768 admissible latents, or all where there are no more: 16 drawn uniformly, the 32 nearest in
       cosine to each (itself among them), so that large cosines occur, and others drawn uniformly. There are twice as
       many as the code has latents where that is more.
    2. A set begins with a candidate drawn uniformly, which stands for the strongest latent of the code. In order of
       strength each next one is represented by the candidate that adds least to the sum. Up to 128 sets are built, and
       the best is kept; of equally good ones that which was begun first.
    3. Each latent of it in turn is exchanged for the candidate with which the sum is least, where that is less, until
       there is no such exchange, ten times through the set at most.

    Ties go to the lowest id. A latent whose decoder row is zero has no cosine: it is never chosen, and left out when
    active (it added nothing).

    Parameters
    ----------
    code
        The active latents of a real activation.
    admissible
        Ids of latents that may be chosen, ascending.
    dictionary
        What they belong to.
    generator
        What candidates and beginnings are drawn from.

    Returns
    -------
    Code
        The strongest latent's stand-in first; without the weakest where fewer latents are admissible.
    """
    kept = code[dictionary.pointing[code.latent]]
    free = admissible[dictionary.pointing[admissible]]
    order = np.argsort(-kept.activation, kind="stable")[: len(free)]
    latent, strength = kept.latent[order], kept.activation[order]
    if not len(latent):
        return Code(latent, strength)
    candidates = _candidates(free, max(_CANDIDATES, 2 * len(latent)), dictionary, generator)
    offered, wanted = gram(candidates, dictionary), gram(latent, dictionary)
    np.fill_diagonal(wanted, 0.0)  # a latent's cosine to itself counts for nothing
    count = min(len(candidates), _STARTS, max(1, _WORK // len(latent) ** 2))
    starts = generator.choice(len(candidates), size=count, replace=False)
    return Code(candidates[_exchanged(_built(starts, offered, wanted), offered, wanted)], strength)


def _candidates(
    free: Int64[np.ndarray, " free"], count: int, dictionary: Dictionary, generator: np.random.Generator
) -> Int64[np.ndarray, " candidates"]:
    """Latents to choose from, ascending."""
    if len(free) <= count:
        return free
    seeds = generator.choice(free, size=_SEEDS, replace=False)
    near = np.zeros(len(free), dtype=np.bool_)
    for cosine in dictionary.cosines_of_each(seeds)[0][:, free]:
        limit = np.partition(cosine, len(cosine) - _NEAREST)[len(cosine) - _NEAREST]
        nearest = np.flatnonzero(cosine >= limit)
        near[nearest[np.argsort(-cosine[nearest], kind="stable")[:_NEAREST]]] = True
    near[generator.choice(np.flatnonzero(~near), size=count - int(near.sum()), replace=False)] = True
    return free[near]


def _built(
    starts: Int64[np.ndarray, " sets"],
    offered: Float64[np.ndarray, "candidates candidates"],
    wanted: Float64[np.ndarray, "latents latents"],
) -> Int64[np.ndarray, " latents"]:
    """The best of some sets of candidates that grow one by one, all of them at once.

    With c_i for the chosen and w_i for the wanted cosines, sum (c_i - w_i)^2 is sum c_i^2 - 2 sum w_i c_i + sum w_i^2.
    """
    each = np.arange(len(starts))
    chosen = np.empty((len(starts), len(wanted)), dtype=np.int64)
    cosine = np.empty((len(starts), len(wanted), len(offered)))
    squared, total = np.zeros((len(starts), len(offered))), np.zeros(len(starts))
    newest = starts
    for place in range(len(wanted)):
        if place:
            added = squared - 2 * np.matmul(wanted[place, :place], cosine[:, :place])
            newest = np.argmin(np.round(added, _SAME), axis=1)
            total += added[each, newest]
        chosen[:, place], cosine[:, place] = newest, offered[newest]
        squared += np.square(offered[newest])
        squared[each, newest] = np.inf  # none twice
    best: NDArray[np.int64] = chosen[np.argmin(np.round(total, _SAME))]
    return best


def _exchanged(
    built: Int64[np.ndarray, " latents"],
    offered: Float64[np.ndarray, "candidates candidates"],
    wanted: Float64[np.ndarray, "latents latents"],
) -> Int64[np.ndarray, " latents"]:
    """The set after single exchanges, each of which makes the sum less."""
    chosen = built.copy()
    cosine = offered[chosen]
    squared = np.square(cosine).sum(axis=0)
    for _ in range(_PASSES):
        before = chosen.copy()
        for place, current in enumerate(before):
            others = squared - np.square(cosine[place])
            total = np.round(others - 2 * wanted[place] @ cosine, _SAME)
            least = total[current]
            total[chosen] = np.inf
            best = int(np.argmin(total))
            if total[best] < least:
                chosen[place], cosine[place] = best, offered[best]
                squared = others + np.square(cosine[place])
        if (chosen == before).all():
            break
    return chosen
