"""Prepared layers are the layers they were made of, in every form that models have, followed by what a block does.

What oneDNN can do depends on the processor: where it has no bfloat16, PyTorch's own operations are what is tested.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from plateaulens.scan import linear
from plateaulens.scan.linear import Linear, OneDnnLinear, SplitLinear, onednn_has, prepare, prepare_all
from plateaulens.scan.split import KINDS, Precision

LAYERS = {
    "linear": torch.nn.Linear(48, 80),
    "without bias": torch.nn.Linear(48, 80, bias=False),
    "of gpt2": Conv1D(80, 48),
}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}
"""bfloat16 has a relative rounding error of 0.004."""
WAYS = [
    *((Linear, dtype) for dtype in TOLERANCE),
    *(
        pytest.param(
            OneDnnLinear,
            dtype,
            marks=pytest.mark.skipif(not onednn_has(dtype), reason=f"oneDNN has no {dtype} on this processor"),
        )
        for dtype in TOLERANCE
    ),
]


@pytest.fixture
def x() -> Tensor:
    return torch.randn((2, 17, 48), generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> torch.nn.Module:
    return LAYERS[request.param]


def weights(layer: torch.nn.Module) -> tuple[Tensor, Tensor | None]:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    weight = weight.detach()
    return (
        weight.t() if isinstance(layer, Conv1D) else weight,
        bias.detach() if isinstance(bias, Tensor) else None,
    )


@torch.inference_mode()
@pytest.mark.parametrize(("kind", "dtype"), WAYS)
def test_every_operation(kind: type[Linear], dtype: torch.dtype, layer: torch.nn.Module, x: Tensor) -> None:
    """Against PyTorch's own in float32."""
    prepared, expected, tolerance = kind(*weights(layer), dtype), layer(x), TOLERANCE[dtype]
    other = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    narrow = prepared.narrow(x)
    assert narrow.dtype == dtype

    def close(result: Tensor, wanted: Tensor, wanted_dtype: torch.dtype) -> None:
        assert result.dtype == wanted_dtype
        assert result.shape == (2, 17, 80)
        torch.testing.assert_close(result.float(), wanted, rtol=tolerance, atol=tolerance)

    close(prepared(x), expected, torch.float32)
    close(prepared.silu(narrow), functional.silu(expected), dtype)
    close(prepared.times(narrow, other.to(dtype)), expected * other, dtype)
    close(prepared.plus(narrow, other), expected + other, torch.float32)


def test_a_summand_keeps_its_precision_next_to_a_product_in_bfloat16(x: Tensor) -> None:
    layer = torch.nn.Linear(48, 80)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    prepared = prepare(layer, "bf16")
    stream = torch.randn((2, 17, 80), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(prepared.plus(prepared.narrow(x), stream), stream)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN here")
def test_a_cpu_gets_onednn(layer: torch.nn.Module) -> None:
    assert isinstance(prepare(layer, "float32"), OneDnnLinear)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_cpu_gets_onednn_for_what_onednn_has(precision: Precision, layer: torch.nn.Module) -> None:
    assert type(prepare(layer, precision)) is (OneDnnLinear if onednn_has(KINDS[precision].dtype) else Linear)


@pytest.mark.parametrize("precision", ["fp16x3", "tf32x3"])
def test_split_layers_are_as_accurate_as_float32(precision: Precision, layer: torch.nn.Module) -> None:
    """In all that a linear layer is used for, on rows of very different size; at most four times float32's error."""
    split = prepare(layer, precision)
    assert isinstance(split, SplitLinear)
    rng = torch.Generator().manual_seed(3)
    x = torch.randn((3, 200, 48), generator=rng) * torch.logspace(-6, 6, 200)[:, None]
    stream = torch.randn((3, 200, 80), generator=rng) * torch.logspace(-6, 6, 200)[:, None]
    weight, bias = weights(layer)
    with torch.inference_mode():
        whole = torch.nn.functional.linear(x, weight, bias)
        exact = torch.nn.functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
        size = exact.norm(dim=-1)

        def error(found: Tensor, wanted: Tensor) -> float:
            return float(((found - wanted).norm(dim=-1) / size).square().mean().sqrt())

        assert error(split(x), exact) <= 4 * error(whole, exact)
        assert error(split.plus(x, stream), exact + stream) <= 4 * error(whole + stream, exact + stream)


def test_a_cpu_without_bfloat16_gets_pytorchs_own(layer: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a processor that has it."""
    monkeypatch.setattr(linear, "onednn_has", lambda dtype: dtype != torch.bfloat16)
    assert type(prepare(layer, "bf16")) is Linear
    with pytest.raises(AssertionError, match=r"oneDNN has no torch\.bfloat16 on this processor"):
        OneDnnLinear(*weights(layer), torch.bfloat16)


@pytest.mark.skipif(
    onednn_has(torch.bfloat16) or not onednn_has(torch.float32), reason="oneDNN is not here, or lacks nothing"
)
def test_what_onednn_is_said_to_lack_it_lacks() -> None:
    with pytest.raises(RuntimeError):
        torch.ops.mkldnn._reorder_linear_weight(torch.zeros((80, 48), dtype=torch.bfloat16))


def test_another_device_gets_pytorchs_own() -> None:
    assert type(prepare(torch.nn.Linear(48, 80, device="meta"), "float32")) is Linear


def test_all_layers_of_a_module_are_replaced_and_their_weights_are_left_alone(x: Tensor) -> None:
    first, second = torch.nn.Linear(48, 48), torch.nn.Linear(48, 80)
    module = torch.nn.Sequential(first, torch.nn.Sequential(torch.nn.ReLU(), second))
    before = second.weight.clone()
    with torch.inference_mode():
        expected = module(x)
        prepare_all(module, "float32")
        torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(part, torch.nn.Linear) for part in module.modules())
    assert torch.equal(second.weight, before)
