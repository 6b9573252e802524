"""`structured`: other latents that stand to each other as those of the base do."""

from dataclasses import replace

import numpy as np

from plateaulens.config import TargetConfig
from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.registry import register


@register
class Structured:
    """The active latents of A are replaced so that cosines to the top latent are kept.

    The structured synthetic activation of Giglemiani et al. 2024 (in its code, `homeschooled_v2`). There is no chance
    in it: the target is a function of A and the SAE. Without an active latent the target is decode(0).
    """

    name = "structured"
    definition = (
        "the strongest latent of A replaced by one at a cosine of {anchor_cosine:g}, the others so that "
        "cosines to it are kept"
    )
    needs_sae = True

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The decoded replacement code; raises `UsageError` when no latent but the top one has a direction.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        del generator
        return Target(context.sae.decode(replace_by_cosine(base.code, context.sae, context.config)))


def replace_by_cosine(code: Code, dictionary: Dictionary, config: TargetConfig) -> Code:
    """The code with each active latent replaced as follows; all cosines are between decoder rows.

    1. The top latent is the one with the largest activation.
    2. The anchor, which is to replace it, is the latent whose cosine to the top latent is nearest `anchor_cosine`, out
       of the `anchor_pool` latents nearest to the top latent in linear firing frequency (itself excluded, dead ones
       allowed; all others in a smaller dictionary).
    3. Active latents are replaced in ascending order of id, latent i by the unused latent j of the whole dictionary
       with cos(anchor, j) nearest cos(top, i). The top latent goes to the anchor unless that has been used already.

    Ties go to the lowest id everywhere. A latent whose decoder row is zero has no cosine: it is never chosen, and left
    out when active (it added nothing to A).

    Parameters
    ----------
    code
        The active latents of A, ascending.
    dictionary
        What they and their replacements belong to.
    config
        Has the constants `anchor_cosine` and `anchor_pool`.

    Returns
    -------
    Code
        The replacements, each at the activation of the latent that it replaces.

    Raises
    ------
    UsageError
        When no latent but the top one has a direction.
    """
    points = dictionary.pointing[code.latent]
    latents, activations = code.latent[points], code.activation[points]
    if not len(latents):
        return replace(code, latent=latents, activation=activations)
    top = latents[np.argmax(activations)]
    anchor = _anchor(top, dictionary, config)
    wanted = dictionary.cosines(top, latents)
    offered = np.where(dictionary.pointing, dictionary.cosines(anchor), np.inf)
    replacements = np.empty_like(latents)
    for place, (latent, cosine) in enumerate(zip(latents, wanted, strict=True)):
        is_free = offered[anchor] < np.inf
        chosen = anchor if latent == top and is_free else np.argmin(np.abs(offered - cosine))
        replacements[place] = chosen
        offered[chosen] = np.inf
    return replace(code, latent=replacements, activation=activations)


def _anchor(top: int, dictionary: Dictionary, config: TargetConfig) -> int:
    pool = np.sort(dictionary.nearest_in_frequency(top, config.anchor_pool, excluded=~dictionary.pointing))
    if not pool.size:
        raise UsageError(
            f"no latent but {top} has a decoder direction; use an SAE with more latents, or drop this type"
        )
    return int(pool[np.argmin(np.abs(dictionary.cosines(top, pool) - config.anchor_cosine))])
