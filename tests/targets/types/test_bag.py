from collections.abc import Callable

import numpy as np
import pytest
import torch

from plateaulens.errors import UsageError
from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.bag import Bag


def test_distinct_live_latents_keep_the_activations(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    frequency = [0.0, 0.1, 0.5, 0.0, 0.2, 0.3]
    base = torch.tensor([[5.0, 0, 2, 1, 0, 0]])
    context = context_of(base, transparent(frequency))
    samples = 2400
    targets = draw(Bag(), context.bases(base.expand(samples, 6), range(samples), [0] * samples), context).activation
    assert (targets.sort(dim=1).values == torch.tensor([0, 0, 0, 1.0, 2, 5])).all()
    assert (targets[:, [0, 3]] == 0).all()
    # each activation goes to each of the 4 live latents equally often: 600, standard deviation 21.2
    counts = np.array([[(targets[:, j] == value).sum() for j in (1, 2, 4, 5)] for value in (5.0, 2.0, 1.0)])
    assert np.abs(counts - 600).max() < 5 * 21.2


def test_no_active_latent_gives_the_decoder_of_zeros(context_of: Callable[..., TargetContext]) -> None:
    dead = Dictionary(torch.relu, lambda f: f + 7, torch.eye(2), torch.zeros(2))
    context = context_of(torch.ones((1, 2)), dead)
    result = draw(Bag(), context.bases(torch.tensor([[-1.0, 0.0]]), [0], [0]), context)
    assert result.activation.tolist() == [[7.0, 7.0]]


def test_one_active_and_one_live_latent(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    context = context_of(torch.ones((1, 3)), transparent([0.0, 0.0, 0.5]))
    result = draw(Bag(), context.bases(torch.tensor([[3.0, 0, 0]]), [0], [0]), context)
    assert result.activation.tolist() == [[0, 0, 3]]


def test_fewer_live_than_active_latents_is_an_error(
    transparent: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    context = context_of(torch.ones((1, 3)), transparent([0.0, 0.0, 0.5]))
    with pytest.raises(UsageError, match="'bag', sample 3: the base has 2 active latents but the SAE only 1 live"):
        draw(Bag(), context.bases(torch.tensor([[3.0, 1, 0]]), [3], [0]), context)
