"""Activation types that are plain functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from plateaulens.targets.base import Base, Target, TargetContext

Recipe = Callable[[Base, TargetContext, np.random.Generator], Tensor | Target]


@dataclass(eq=False)
class FunctionType:
    """The activation type whose recipe is a function of the base, the context and a random generator.

    The function returns the target activation, or a `Target` where it is that of a prompt. What it multiplies and adds
    up may be in float64: `draw` stores targets in the precision of the bases.
    """

    name: str
    needs_sae: bool
    recipe: Callable[..., Any]

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:
        """What the function returns."""
        made = self.recipe(base, context, generator)
        return made if isinstance(made, Target) else Target(made)
