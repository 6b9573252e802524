"""`real`: the activation of another prompt."""

from collections.abc import Sequence

import numpy as np
import torch

from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, Target, TargetContext, own_token
from plateaulens.targets.dictionary import Code
from plateaulens.targets.registry import register

CLOSEST = 1e-3
"""A real activation no further than this from the base (L2) is the base itself as far as a path is concerned."""


@register
class Real:
    """The activation of a prompt drawn uniformly from those of the pool with another row than the base's.

    Activations within 1e-3 of the base are drawn again, as in Giglemiani et al. 2024: two prompts may end in the same
    tokens, and a path of no length has no steps. Drawing again never repeats a prompt, so the draw is uniform over the
    prompts that remain, and ends. With the base's own token (`TargetContext.own_token`) the prompts that have it come
    first: it is drawn uniformly from those of them that remain, and from the others where none does.
    """

    name = "real"
    definition = "another prompt's activation, drawn uniformly"
    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """A real activation and the row of its prompt; raises `UsageError` when no prompt remains.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        pool = context.pool
        places = generator.permutation(np.flatnonzero(pool.row != base.row))
        if context.own_token:
            wanted = own_token(base)
            assert pool.token is not None, "bases have their tokens from the pool"
            places = places[np.argsort(pool.token[places] != wanted, kind="stable")]
        for place in places:
            activation = pool.activation[place]
            if (activation - base.activation).norm() > CLOSEST:
                return Target(activation, int(pool.row[place]))
        raise UsageError(
            f"no other of the {len(pool.row)} prompts has an activation further than {CLOSEST} from the base; "
            f"supply more prompts"
        )

    def has_own_token(self, base: Base, context: TargetContext) -> bool:
        """Whether a prompt remains that has the base's token. See `plateaulens.targets.base.ChoosesToken`."""
        pool = context.pool
        wanted = own_token(base)
        assert pool.token is not None, "bases have their tokens from the pool"
        others = pool.activation[torch.from_numpy((pool.row != base.row) & (pool.token == wanted))]
        return bool(((others - base.activation).norm(dim=1) > CLOSEST).any())


def encoded_reals(bases: Sequence[Base], context: TargetContext) -> tuple[list[Target], list[Code]]:
    """The `real` target of each base, and its code.

    Parameters
    ----------
    bases
        Of any samples.
    context
        With an SAE.

    Returns
    -------
    list of Target
        As `Real` draws them.
    list of Code
        As `reconstruction` decodes them.

    Raises
    ------
    UsageError
        As `Real.target` does.
    """
    reals = [Real().target(base, context, context.generator(base.sample, Real.name)) for base in bases]
    activations = torch.stack([real.activation for real in reals])
    return reals, context.sae.encode_each(activations, [base.sample for base in bases])
