"""`interpolation`: half way between two real activations that are near each other."""

import numpy as np

from plateaulens.targets.base import Base, Target, TargetContext
from plateaulens.targets.registry import register


@register
class Interpolation:
    """The middle of a real activation of the corpus and the nearest other one in it.

    Activations within 1e-3 of the one drawn are passed over, as they are the same activation.
    """

    name = "interpolation"
    definition = "half way between a real activation and the nearest other one"
    needs_sae = False
    learns: tuple[type, ...] = ()

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The middle, which does not depend on the base. See `plateaulens.targets.base.ActivationType.target`."""
        del base
        corpus = context.corpus
        row = int(generator.integers(len(corpus.token)))
        other = corpus.nearest(corpus.activation[row])
        return Target((corpus.activation[row] + corpus.activation[other]) / 2)
