"""`baseline`: the base's latents replaced by others that fire as often."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.registry import register


@register
class Baseline(CodeType):
    """Each active latent of A is replaced by one of the latents nearest to it in firing frequency.

    The synthetic baseline of Giglemiani et al. 2024. Without an active latent the target is decode(0).
    """

    name = "baseline"
    definition = "each active latent of A replaced by one of the {baseline_pool} nearest in firing frequency"
    needs_sae = True

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The replacement code; raises `UsageError` when the whole dictionary has been used.

        See `plateaulens.targets.base.CodeType.code`.
        """
        replacements = replace_by_frequency(base.code, context.sae, context.config.baseline_pool, generator)
        return replace(base.code, latent=replacements)


def replace_by_frequency(
    code: Code, dictionary: Dictionary, pool_size: int, generator: np.random.Generator
) -> Int64[np.ndarray, " active"]:
    """A replacement for each active latent, in order of id: uniform among those of its pool not used yet.

    The pool is the `pool_size` latents nearest in linear firing frequency, itself excluded (dead latents allowed, ties
    to the lowest id), or all others in a smaller dictionary. When every member has been used, the nearest unused latent
    outside the pool is taken.

    Parameters
    ----------
    code
        The active latents.
    dictionary
        What they and their replacements belong to.
    pool_size
        Number of latents in a pool.
    generator
        What replacements are drawn from.

    Returns
    -------
    NDArray
        Ids shaped (active,), in the order of the code's latents, no two the same.

    Raises
    ------
    UsageError
        When the whole dictionary has been used.
    """
    used = np.zeros(len(dictionary.decoder), dtype=bool)
    replacements = np.empty_like(code.latent)
    for place, latent in enumerate(code.latent):
        pool = dictionary.nearest_in_frequency(latent, pool_size)
        free = pool[~used[pool]]
        if not free.size:
            free = dictionary.nearest_in_frequency(latent, 1, excluded=used)
        if not free.size:
            raise UsageError(
                f"no unused latent is left to replace latent {latent}; use an SAE with more latents, or drop this type"
            )
        replacements[place] = free[generator.integers(len(free))]
        used[replacements[place]] = True
    return replacements
