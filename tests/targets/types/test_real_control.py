from collections.abc import Callable

import numpy as np
import torch

from plateaulens.targets.base import Base, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.real import Real
from plateaulens.targets.types.real_control import RealControl


def test_independent_of_real_but_from_the_same_pool(context_of: Callable[..., TargetContext]) -> None:
    pool = torch.eye(5)
    bases = [Base(pool[0], sample, 0) for sample in range(1600)]
    context = context_of(pool)
    real, control = (draw(kind, bases, context).source_row for kind in (Real(), RealControl()))
    assert set(control) == {1, 2, 3, 4}
    together = np.histogram2d(real, control, bins=(4, 4))[0]
    # each of the 16 pairs 100 times, standard deviation 9.7: both the same prompt as often as any other pair
    assert np.abs(together - 100).max() < 5 * 9.7
