"""A model whose blocks hold their weights in bfloat16, while everything between them stays float32.

That halves the memory of a large model. The residual stream, norms, attention's scores, the embedding and the
unembedding keep float32: a logit in bfloat16 would be rounded by more than a small step changes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from plateaulens.subject.anatomy import find_blocks

NARROW = torch.bfloat16
_PLAN = "_get_dtype_plan"
"""Where transformers says which parameters of a model are read in another dtype; nothing public sets it."""
_EXPERTS = 3
"""Dimensions of a parameter that holds the weights of several experts."""


def narrow(model: PreTrainedModel) -> PreTrainedModel:
    """Convert the linear layers and experts of all blocks to bfloat16, and everything else to float32.

    Parameters
    ----------
    model
        Changed in place, whatever it was loaded in.

    Returns
    -------
    PreTrainedModel
        The same model. What a converted layer reads is rounded to bfloat16, what it returns is float32 again.
    """
    chosen = _chosen(model)
    for module in model.modules():
        if module in chosen:
            module.to(NARROW)
            module.register_forward_pre_hook(_round, with_kwargs=True)
            module.register_forward_hook(_widen)
        else:
            for own in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if own.is_floating_point():
                    own.data = own.data.float()
    return model


@contextmanager
def reading_narrow() -> Iterator[None]:
    """Have transformers read in bfloat16 what `narrow` would convert, so that memory never holds more.

    A weight is then rounded once, from what the file has. What a model computes for itself, such as the scale of its
    embedding, is made in float32, as it is not where a whole model is read in bfloat16.

    Yields
    ------
    None
        While a model is read, for `narrow` to be given.
    """

    def plan(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, torch.dtype]:  # noqa: ARG001
        chosen = _chosen(model)
        named = {name: module for name, module in model.named_modules() if module in chosen}
        return {f"{name}.{own}": NARROW for name, module in named.items() for own, _ in module.named_parameters()}

    before = getattr(PreTrainedModel, _PLAN)
    setattr(PreTrainedModel, _PLAN, plan)
    try:
        yield
    finally:
        setattr(PreTrainedModel, _PLAN, before)


def _chosen(model: PreTrainedModel) -> set[nn.Module]:
    return {module for block in find_blocks(model) for module in block.modules() if _multiplies(module)}


def _multiplies(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear | Conv1D):
        return True
    own = list(module.parameters(recurse=False))
    return bool(own) and all(each.ndim >= _EXPERTS - 1 for each in own) and any(each.ndim == _EXPERTS for each in own)


def _round(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001
    return tuple(map(_rounded, args)), {name: _rounded(value) for name, value in kwargs.items()}


def _rounded(value: Any) -> Any:
    return value.to(NARROW) if isinstance(value, Tensor) and value.is_floating_point() else value


def _widen(module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ARG001
    if isinstance(output, tuple):
        return tuple(each.float() if isinstance(each, Tensor) else each for each in output)
    return output.float()
