"""`random`: a Gaussian draw with the mean and covariance of the real activations."""

from collections.abc import Sequence

import numpy as np

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register


@register
class Random:
    """A draw from N(mean, S), the moments of the pool; see `plateaulens.targets.gaussian.Gaussian` for the factor."""

    name = "random"
    definition = "Gaussian, with the mean and covariance of the real activations"
    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """A Gaussian activation, which does not depend on the base.

        See `plateaulens.targets.base.ActivationType.target`.
        """
        del base
        return Target(context.gaussian.draw(generator))

    def targets(
        self, bases: Sequence[Base], context: TargetContext, generators: Sequence[np.random.Generator]
    ) -> list[Target]:
        """Many at once. See `plateaulens.targets.base.Together`."""
        return [Target(drawn) for drawn in context.gaussian.draw_each(generators, bases[0].activation.dtype)]
