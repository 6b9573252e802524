"""Activations with a known sparse structure."""

import pytest
import torch
from torch import Tensor

D_MODEL, FEATURES, ACTIVE = 24, 32, 3


@pytest.fixture(scope="session")
def sparse() -> Tensor:
    """4,096 sums of 3 of 32 random unit directions at strengths from 2 to 6, moved away from the origin."""
    rng = torch.Generator().manual_seed(11)
    directions = torch.nn.functional.normalize(torch.randn((FEATURES, D_MODEL), generator=rng), dim=1)
    chosen = torch.rand((4096, FEATURES), generator=rng).topk(ACTIVE).indices
    strength = torch.zeros(4096, FEATURES).scatter_(1, chosen, 2 + 4 * torch.rand((4096, ACTIVE), generator=rng))
    return strength @ directions + torch.randn(D_MODEL, generator=rng)
