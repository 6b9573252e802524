"""Every way that is timed gives the same curves: otherwise the times would compare different things."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import ways
from bench.work import Work, engine
from plateaulens.scan.direct import choose_forward
from plateaulens.subject.model import Subject


@pytest.mark.parametrize("way", [ways.plain, ways.cached_prefix])
def test_it_measures_what_the_engine_measures(
    way: Callable[[Subject, Work], Tensor], tiny: Subject, work: Work
) -> None:
    exact = torch.cat([measured.curve for measured in engine(tiny, choose_forward(tiny), work)])
    assert exact.shape == (2, 2, 5, 3)
    assert (exact[..., -1, 0] > 0.01).all()
    torch.testing.assert_close(way(tiny, work), exact, rtol=1e-4, atol=1e-4)


def test_the_model_is_left_without_hooks(tiny: Subject, work: Work) -> None:
    ways.cached_prefix(tiny, work)
    assert tiny.model is not None
    modules: list[Any] = list(tiny.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
