"""`real_control`: the activation of another prompt, drawn again."""

from plateaulens.targets.registry import register
from plateaulens.targets.types.real import Real


@register
class RealControl(Real):
    """A second real target, independent of the first: what `real` differs from itself by chance.

    Drawn as `Real` with a generator of its own, so that once in a while both are the same prompt.
    """

    name = "real_control"
    definition = "a second draw like real, independent of it"
