from collections.abc import Callable

import numpy as np
import pytest
import torch

from plateaulens.errors import UsageError
from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.single_latent import SingleLatent


def test_one_live_latent_at_the_mean_norm_of_the_codes(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    pool = torch.tensor([[3.0, 4, 0, 0], [0, 0, -1, 1]])  # norms of the codes: 5 and 1
    context = context_of(pool, transparent([0.0, 0.25, 0.001, 0.5]))
    samples = 900
    result = draw(SingleLatent(), context.bases(pool[:1].expand(samples, 4), range(samples), [0] * samples), context)
    assert (result.activation.sort(dim=1).values == torch.tensor([0.0, 0, 0, 3])).all()
    counts = np.bincount(result.activation.argmax(dim=1).numpy(), minlength=4)
    assert counts[0] == 0
    # 3 live latents: 300 each, standard deviation 14.1
    assert np.abs(counts[1:] - 300).max() < 5 * 14.1
    assert set(result.source_row) == {-1}


def test_no_live_latent_is_an_error(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    context = context_of(torch.ones((1, 2)), transparent([0.0, 0.0]))
    with pytest.raises(UsageError, match="'single_latent', sample 1: the SAE has no live latent"):
        draw(SingleLatent(), context.bases(torch.ones((1, 2)), [1], [0]), context)
