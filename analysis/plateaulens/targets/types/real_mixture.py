"""`real_mixture`: the base moved by the difference of two other real activations."""

import numpy as np

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register
from plateaulens.targets.types.real import CLOSEST


@register
class RealMixture:
    """A + (X1 - X2), X1 and X2 being activations of two different prompts, neither of them the base's.

    The real mixture of Lee and Heimersheim 2024 (arXiv 2410.12555). A path towards `real` has the direction X - A and
    so takes away the original activation as it goes; this direction does not depend on A, and is distributed as the
    difference of two real activations all the same. Here it keeps that difference's length, where the paper scales it.

    Prompts are drawn without replacement, X2 again while it is within 1e-3 of X1. The target is no prompt's activation,
    so it has no source row; those of X1 and X2 are its mixed rows.
    """

    name = "real_mixture"
    definition = "A moved by the difference of two other prompts' activations"
    needs_sae = False
    mixes = 2

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The moved base; raises `UsageError` when no prompt remains for X2.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        pool = context.pool
        places = generator.permutation(np.flatnonzero(pool.row != base.row))
        for place in places[1:]:
            difference = pool.activation[places[0]] - pool.activation[place]
            if difference.norm() > CLOSEST:
                rows = pool.row[[places[0], place]]
                return Target(base.activation + difference, mixed_rows=(int(rows[0]), int(rows[1])))
        raise UsageError(
            f"no two other of the {len(pool.row)} prompts have activations further than {CLOSEST} apart; "
            f"supply more prompts"
        )
