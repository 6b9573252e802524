"""Targets moved so that they differ from the real one by direction only."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from plateaulens.errors import UsageError

_NONE = 1e-9
"""A length that is no larger than this of what it is part of is a rounding error."""


def matched(
    target: Float[Tensor, " d_model"],
    real: Float[Tensor, " d_model"],
    base: Float[Tensor, " d_model"],
    mean: Float[Tensor, " d_model"],
) -> Float64[Tensor, " d_model"]:
    """The target with the real target's norm, distance from the base and distance from the mean.

    With a norm given, a distance from a point says the same as the product with it. So the target's part in the plane
    of base and mean becomes the real target's, and the rest, which keeps its direction, gets the length that the real
    target's rest has: of all activations with these three numbers the one nearest to the target.

    Parameters
    ----------
    target
        What is moved.
    real
        Whose norm and distances are taken.
    base
        Where the path starts.
    mean
        Of real activations.

    Returns
    -------
    Tensor
        In float64, exact to its rounding.

    Raises
    ------
    UsageError
        When the target lies in the plane, and so has no rest to give a length to.

    Examples
    --------
    >>> found = matched(*torch.tensor([[5.0, 1.0, 6.0], [0.0, 2.0, 3.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    >>> found.tolist()
    [0.0, 2.0, 3.0]
    """
    # of two that point alike, or of which one is 0, the plane is a line
    vectors, sizes, _ = torch.linalg.svd(torch.stack([base, mean], dim=1).double(), full_matrices=False)
    plane = vectors[:, sizes > _NONE * sizes.max()]
    inside: Tensor = plane @ (plane.T @ real.double())
    rest, wanted = (each.double() - plane @ (plane.T @ each.double()) for each in (target, real))
    length = rest.norm()
    if length <= _NONE * target.double().norm():
        raise UsageError(
            "the target lies in the plane of the base and the mean of real activations, so that nothing of it could "
            "be as long as real's; leave out `matched`"
        )
    found: Tensor = inside + rest * (wanted.norm() / length)
    return found
