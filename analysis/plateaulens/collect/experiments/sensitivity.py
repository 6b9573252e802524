"""`sensitivity`: from the base A to the target T, in equal parts of the way."""

from torch import Tensor

from plateaulens.collect.experiments import spread
from plateaulens.targets.base import TargetContext


def ends(base: Tensor, target: Tensor, samples: range, context: TargetContext) -> tuple[Tensor, Tensor]:
    """A and T; see `plateaulens.collect.experiments.Experiment`."""
    del samples, context
    return spread(base, target), target
