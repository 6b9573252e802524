"""A variant: an activation type under another name, with other constants or as a control of its SAE."""

import numpy as np

from plateaulens.config import VariantConfig
from plateaulens.targets.base import ActivationType, Base, Target, TargetContext


class Variant:
    """The recipe of `kind` followed with the variant's settings.

    Its draws are keyed by its own name, so a variant without settings is its type with another seed. The base's code
    is always that of the run's SAE; a random or shuffled dictionary has other directions for the same latents, which
    the recipe compares and decodes along. With `add_error` the target is T + (A - SAE(A)), SAE being the run's.
    """

    def __init__(self, name: str, kind: ActivationType, settings: VariantConfig) -> None:
        self.name, self.kind, self.settings = name, kind, settings
        self.needs_sae = kind.needs_sae or settings.add_error or settings.dictionary != "trained"

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """The type's target in the changed context."""
        target = self.kind.target(base, context.varied(self.settings), generator)
        if not self.settings.add_error:
            return target
        error = base.activation - context.sae.decode(base.code)
        return target._replace(activation=target.activation + error)
