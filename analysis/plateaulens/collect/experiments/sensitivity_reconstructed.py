"""`sensitivity_reconstructed`: from the base as the SAE sees it, SAE(A), to the target T, in equal parts of the way."""

from torch import Tensor

from plateaulens.collect.experiments import spread
from plateaulens.targets.base import TargetContext


def ends(base: Tensor, target: Tensor, samples: range, context: TargetContext) -> tuple[Tensor, Tensor]:
    """decode(encode(A)) and T; see `plateaulens.collect.experiments.Experiment`."""
    return spread(context.sae.decode_each(context.sae.encode_each(base, samples)), target), target
