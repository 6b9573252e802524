"""Linear layers on a CPU by oneDNN.

PyTorch hands them to MKL, which uses the widest vector instructions on its own maker's processors only; oneDNN picks
its code by what the processor can do. Both compute in float32 and differ by rounding.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class OneDnnLinear(TorchFunctionMode):
    """While this context is open, linear layers over float32 on a CPU run in oneDNN, where PyTorch has it.

    That covers what `torch.nn.Linear` calls, and `addmm`, which the linear layers of GPT-2 call. Gradients are not
    tracked.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the call of a linear layer and pass on any other."""
        if not kwargs and func is functional.linear and _fits(args[0]):
            return _linear(*args)
        if not kwargs and func is torch.addmm and _fits(args[0]):
            bias, x, weight = args
            return _linear(x, weight.t(), bias)
        return func(*args, **(kwargs or {}))


def _fits(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # what torch.compile makes of a linear layer on a CPU; it takes the weights as they lie
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001
    return result
