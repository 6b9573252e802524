"""`reconstruction`: the real target as the SAE sees it."""

from collections.abc import Sequence

import numpy as np

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register
from plateaulens.targets.types.real import encoded_reals


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
        return self.targets([base], context, [generator])[0]

    def targets(
        self, bases: Sequence[Base], context: TargetContext, generators: Sequence[np.random.Generator]
    ) -> list[Target]:
        """Many at once. See `plateaulens.targets.base.Together`."""
        del generators
        reals, codes = encoded_reals(bases, context)
        decoded = context.sae.decode_each(codes)
        return [Target(made, real.source_row) for made, real in zip(decoded, reals, strict=True)]
