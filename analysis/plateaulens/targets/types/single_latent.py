"""`single_latent`: one latent, as strong as a whole code."""

import numpy as np

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code
from plateaulens.targets.registry import register


@register
class SingleLatent(CodeType):
    """One live latent drawn uniformly, at the mean L2 norm of the real activations' codes."""

    name = "single_latent"
    definition = "one live latent drawn uniformly, as strong as a real code on average"
    needs_sae = True

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The latent's code, which depends on the base by its scale only, where the SAE has one for each activation.

        Raises `UsageError` when the SAE has no live latent. See `plateaulens.targets.base.CodeType.code`.
        """
        live = context.sae.live
        if not live.size:
            raise UsageError("the SAE has no live latent (every firing frequency is 0); check its frequencies")
        latent = generator.choice(live, size=1)
        return Code(latent, np.array([context.mean_code_norm], np.float32), base.frame)
