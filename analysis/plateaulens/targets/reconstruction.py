"""`reconstruction`: the real target as the SAE sees it."""

import numpy as np

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.real import Real


class Reconstruction:
    """decode(encode(T)), T being the `real` target of the same sample: what the SAE loses, and nothing else."""

    name = "reconstruction"
    needs_sae = True

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The reconstructed activation and the row of T's prompt."""
        del generator
        real = Real().target(base, context, context.generator(base.sample, Real.name))
        return Target(context.sae.decode(context.sae.encode(real.activation)), real.source_row)
