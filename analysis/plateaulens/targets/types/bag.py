"""`bag`: as many latents as the base has, at the same activations, but any live ones."""

from dataclasses import replace

import numpy as np

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code
from plateaulens.targets.registry import register


@register
class Bag(CodeType):
    """Each active latent of A is replaced by a live latent drawn uniformly, no two by the same one.

    The paper's bag of features (Giglemiani et al. 2024). A latent may be replaced by itself or by another active one.
    Without an active latent the target is decode(0).
    """

    name = "bag"
    definition = "each active latent of A replaced by a live latent drawn uniformly"
    needs_sae = True

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The replacement code; raises `UsageError` when fewer latents are live than active.

        See `plateaulens.targets.base.CodeType.code`.
        """
        live = context.sae.live
        if len(base.code) > len(live):
            raise UsageError(
                f"the base has {len(base.code)} active latents but the SAE only {len(live)} live ones to replace them; "
                f"use an SAE with more live latents, or drop this type"
            )
        replacements = generator.choice(live, size=len(base.code), replace=False)
        return replace(base.code, latent=replacements)
