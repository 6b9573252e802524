"""Linear layers prepared once for the device and the precision that they will run in.

On a CPU that is oneDNN with weights in the layout of its own kernels. PyTorch would hand float32 to MKL, which uses the
widest vector instructions on its own maker's processors only; oneDNN picks its code by what the processor can do. It
also computes what follows a product (SiLU, a factor, a summand) while the numbers are still in registers.

oneDNN multiplies float32 on every processor, bfloat16 only where the processor has instructions for it (on x86: AVX-512
or AVX-NE-CONVERT). Elsewhere bfloat16 is left to PyTorch's own operations.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from plateaulens.scan.split import KINDS, Matrix, Precision, split_rows


def onednn_has(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies numbers of this kind on this processor, as `OneDnnLinear` has it do.

    Parameters
    ----------
    dtype
        float32 or bfloat16.

    Returns
    -------
    bool
        False, too, where PyTorch was built without oneDNN.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


class Linear(torch.nn.Module):
    """`x W^T + b`, multiplied in `dtype` and handed out in float32 unless a method says otherwise.

    Parameters
    ----------
    weight
        W (out, in), in any dtype.
    bias
        b (out), or None for none.
    dtype
        What both are converted to.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self._weight, self._bias = weight.to(dtype), None if bias is None else bias.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The layer itself.

        Parameters
        ----------
        x
            (..., in), in any dtype.

        Returns
        -------
        Tensor
            (..., out), float32.
        """
        return self._product(self.narrow(x)).float()

    def narrow(self, x: Tensor) -> Tensor:
        """`x` in the dtype of the product: what several layers read is converted once, and handed to each.

        Parameters
        ----------
        x
            Of any shape and dtype.

        Returns
        -------
        Tensor
            The same shape, in `dtype`.
        """
        return x.to(self.dtype)

    def silu(self, x: Tensor) -> Tensor:
        """SiLU of the product.

        Parameters
        ----------
        x
            (..., in), in `dtype`.

        Returns
        -------
        Tensor
            (..., out), in `dtype`.
        """
        return functional.silu(self._product(x), inplace=True)

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        """The product, element by element times `factor`.

        Parameters
        ----------
        x
            (..., in), in `dtype`.
        factor
            (..., out), in `dtype`.

        Returns
        -------
        Tensor
            (..., out), in `dtype`.
        """
        return self._product(x).mul_(factor)

    def plus(self, x: Tensor, summand: Tensor) -> Tensor:
        """The product added to a `summand`.

        Parameters
        ----------
        x
            (..., in), in `dtype`.
        summand
            (..., out), float32.

        Returns
        -------
        Tensor
            (..., out), float32.
        """
        return summand + self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        return functional.linear(x, self._weight, self._bias)


class OneDnnLinear(Linear):
    """The same on a CPU, by the operations that torch.compile makes of a linear layer there. No gradients.

    Only for a `dtype` that `onednn_has`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        assert onednn_has(dtype), f"oneDNN has no {dtype} on this processor"
        super().__init__(weight, bias, dtype)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight.contiguous())  # noqa: SLF001

    def silu(self, x: Tensor) -> Tensor:
        """See `Linear.silu`."""
        return self._product(x, "swish")

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        """See `Linear.times`."""
        return self._with(x, factor, "mul")

    def plus(self, x: Tensor, summand: Tensor) -> Tensor:
        """See `Linear.plus`."""
        return self._with(x, summand, "add") if self.dtype == torch.float32 else super().plus(x, summand)

    def _product(self, x: Tensor, then: str = "none") -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, then, [], "")  # noqa: SLF001
        return result

    def _with(self, x: Tensor, other: Tensor, operation: str) -> Tensor:
        binary = torch.ops.mkldnn._linear_pointwise.binary  # noqa: SLF001
        result: Tensor = binary(x, other, self._weight, self._bias, operation)
        return result


class SplitLinear(Linear):
    """The same with every product of float32 numbers made of three narrower ones; see `plateaulens.scan.split`.

    Parameters
    ----------
    weight
        W (out, in), in any dtype.
    bias
        b (out), or None for none.
    precision
        Which narrower ones.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, precision: Precision) -> None:
        super().__init__(weight[:0], None, torch.float32)
        self._matrix, self._precision = Matrix(weight, bias, precision), precision

    def plus(self, x: Tensor, summand: Tensor) -> Tensor:
        """See `Linear.plus`."""
        return self._product(x, summand.reshape(-1, self._matrix.columns).contiguous())

    def _product(self, x: Tensor, summand: Tensor | None = None) -> Tensor:
        planes, by_row = split_rows(x.reshape(-1, x.shape[-1]), self._precision)
        found = self._matrix.times(planes, by_row=by_row, summand=summand)
        return found.view(*x.shape[:-1], self._matrix.columns)


def prepare(layer: torch.nn.Module, precision: Precision) -> Linear:
    """A linear layer as it runs fastest where its weights are.

    Parameters
    ----------
    layer
        A `torch.nn.Linear`, or the layer that GPT-2 has in its place. It is left as it is.
    precision
        What it multiplies in.

    Returns
    -------
    Linear
        Of three products where the precision says so; by oneDNN on a CPU where `onednn_has` the dtype; else by
        PyTorch's own operations.
    """
    source: Any = layer
    weight = source.weight.t() if isinstance(layer, Conv1D) else source.weight
    dtype = KINDS[precision].dtype
    with torch.inference_mode():
        own = weight.detach(), None if source.bias is None else source.bias.detach()
        if KINDS[precision].planes > 1:
            return SplitLinear(*own, precision)
        kind = OneDnnLinear if weight.device.type == "cpu" and onednn_has(dtype) else Linear
        return kind(*own, dtype)


def prepare_all(module: torch.nn.Module, precision: Precision) -> None:
    """Put prepared layers in place of all linear layers within a module.

    Parameters
    ----------
    module
        Changed in place; the layers that it had are left alone.
    precision
        What the prepared layers multiply in.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear | Conv1D):
                setattr(parent, name, prepare(child, precision))
