"""`isotropic`: a Gaussian draw with the mean and total variance of the real activations, equal in all directions."""

import numpy as np

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register


@register
class Isotropic:
    """A draw from N(mean, trace(S) / d_model * I): the length of `random` without its directions."""

    name = "isotropic"
    definition = "Gaussian, with their mean and total variance, the same in every direction"
    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """A Gaussian activation, which does not depend on the base.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        del base
        return Target(context.gaussian.draw_isotropic(generator))
