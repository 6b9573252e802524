"""`plateau`: from the target T, in the place of the base, towards a Gaussian draw, in steps of one length."""

from torch import Tensor

from plateaulens.targets.base import TargetContext


def ends(base: Tensor, target: Tensor, samples: range, context: TargetContext) -> tuple[Tensor, Tensor]:
    """T, and per sample one draw from the moments of the real activations that all types are moved towards.

    See `plateaulens.collect.experiments.Experiment`.
    """
    del base
    generators = [context.generator(sample, "plateau direction") for sample in samples]
    return target, context.gaussian.draw_each(generators).expand_as(target)
