"""`reconstruction`: the real target as the SAE sees it."""

import numpy as np

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register
from plateaulens.targets.types.real import Real


@register
class Reconstruction:
    """decode(encode(T)), T being the `real` target of the same sample: what the SAE loses, and nothing else."""

    name = "reconstruction"
    definition = "the real target as the SAE sees it, decode(encode(T))"
    needs_sae = True

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The reconstructed activation and the row of T's prompt.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        del generator
        real = Real().target(base, context, context.generator(base.sample, Real.name))
        return Target(context.sae.decode(context.sae.encode(real.activation)), real.source_row)
