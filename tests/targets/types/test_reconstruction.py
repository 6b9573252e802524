from collections.abc import Callable

import torch

from plateaulens.targets.base import TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.types.real import Real
from plateaulens.targets.types.reconstruction import Reconstruction


def test_decodes_the_code_of_the_real_target_of_the_same_sample(
    relu_sae: Callable[..., Dictionary], context_of: Callable[..., TargetContext]
) -> None:
    dictionary = relu_sae(8, 24)
    pool = torch.randn((12, 8), generator=torch.Generator().manual_seed(1))
    context = context_of(pool, dictionary, seed=4)
    bases = context.bases(pool, range(12), range(12))
    real, reconstructed = (draw(kind, bases, context) for kind in (Real(), Reconstruction()))
    assert reconstructed.source_row.tolist() == real.source_row.tolist()
    torch.testing.assert_close(
        reconstructed.activation, dictionary.reconstructor(dictionary.encoder(real.activation)), rtol=0, atol=1e-5
    )
    assert not torch.allclose(reconstructed.activation, real.activation, atol=0.1)


def test_a_target_without_an_active_latent_is_the_decoder_of_zeros(context_of: Callable[..., TargetContext]) -> None:
    dictionary = Dictionary(torch.relu, lambda f: f + 7, torch.eye(2), torch.ones(2))
    context = context_of(torch.tensor([[-1.0, -1.0], [-2.0, -2.0]]), dictionary)
    result = draw(Reconstruction(), context.bases(torch.tensor([[-1.0, -1.0]]), [0], [0]), context)
    assert result.activation.tolist() == [[7.0, 7.0]]
    assert result.source_row.tolist() == [1]
