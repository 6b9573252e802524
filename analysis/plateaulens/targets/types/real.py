"""`real`: the activation of another prompt."""

import numpy as np

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register

CLOSEST = 1e-3
"""A real activation no further than this from the base (L2) is the base itself as far as a path is concerned."""


@register
class Real:
    """The activation of a prompt drawn uniformly from those of the pool with another row than the base's.

    Activations within 1e-3 of the base are drawn again, as in Giglemiani et al. 2024: two prompts may end in the same
    tokens, and a path of no length has no steps. Drawing again never repeats a prompt, so the draw is uniform over the
    prompts that remain, and ends.
    """

    name = "real"
    definition = "another prompt's activation, drawn uniformly"
    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """A real activation and the row of its prompt; raises `UsageError` when no prompt remains.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        pool = context.pool
        for place in generator.permutation(np.flatnonzero(pool.row != base.row)):
            activation = pool.activation[place]
            if (activation - base.activation).norm() > CLOSEST:
                return Target(activation, int(pool.row[place]))
        raise UsageError(
            f"no other of the {len(pool.row)} prompts has an activation further than {CLOSEST} from the base; "
            f"supply more prompts"
        )
