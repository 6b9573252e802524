"""`covariance_mixture`: the base moved by the difference of two Gaussian draws."""

import numpy as np

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register


@register
class CovarianceMixture:
    """A + (G1 - G2), G1 and G2 independent draws from N(mean, S), the moments of the pool.

    The covariance-random mixture of Lee and Heimersheim 2024 (arXiv 2410.12555): a direction from N(0, 2 S) that does
    not depend on A, and that of `real_mixture` but for what a covariance cannot tell. Here it keeps its own length,
    which is that of a difference of two real activations in the mean square, where the paper scales it.
    """

    name = "covariance_mixture"
    definition = "A moved by the difference of two Gaussian draws like random"
    needs_sae = False

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The moved base. See `plateaulens.targets.base.ActivationType.target`."""
        gaussian = context.gaussian
        direction = gaussian.draw(generator) - gaussian.draw(generator)
        return Target(base.activation + direction.to(base.activation))
