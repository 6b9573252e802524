"""Linear layers by oneDNN equal PyTorch's own, in every form that models call them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from plateaulens.scan.linear import OneDnnLinear

LAYERS = {
    "linear": torch.nn.Linear(48, 80),
    "without bias": torch.nn.Linear(48, 80, bias=False),
    "of gpt2": Conv1D(80, 48),
}


def calls_of_mkldnn(layer: torch.nn.Module, x: Tensor) -> list[str]:
    with torch.inference_mode(), OneDnnLinear(), torch.profiler.profile() as profile:
        layer(x)
    return [event.key for event in profile.key_averages() if "linear_pointwise" in event.key]


@pytest.fixture
def x() -> Tensor:
    return torch.randn((2, 17, 48), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", LAYERS)
def test_the_result_is_the_layers_own(name: str, x: Tensor) -> None:
    layer = LAYERS[name]
    with torch.inference_mode():
        expected = layer(x)
        with OneDnnLinear():
            result = layer(x)
    assert result.shape == (2, 17, 80)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of PyTorch has no oneDNN")
@pytest.mark.parametrize("name", LAYERS)
def test_onednn_is_what_runs(name: str, x: Tensor) -> None:
    assert calls_of_mkldnn(LAYERS[name], x)


def test_anything_else_is_left_alone(x: Tensor) -> None:
    assert not calls_of_mkldnn(torch.nn.Linear(48, 80).double(), x.double())
    with torch.inference_mode(), OneDnnLinear():
        assert torch.equal(functional.softmax(x, dim=-1), x.softmax(dim=-1))
