"""A model whose residual stream is that of TransformerLens' processed weights, in the modules that transformers has.

Processing folds LayerNorm's scale and shift into the layers that read, and subtracts the mean over the residual
stream's dimensions from everything that writes. Folding changes no activation of the stream. Centring changes it by its
mean, which LayerNorm takes away again: so centring the writing layers alone gives the same stream and, up to a constant
per token position, the same logits. What the values of all tokens have in common is moved behind the output
projection, which changes nothing but what goes into that projection, as attention's weights add up to 1.
"""

import copy
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from plateaulens.subject.anatomy import find_blocks

WRITERS = {
    "gpt2": ("wte", "wpe", "attn.c_proj", "mlp.c_proj"),
    "gpt_neox": ("embed_in", "attention.dense", "mlp.dense_4h_to_h"),
}
"""By `model_type`, the modules that write to the residual stream, in models with LayerNorm."""
UNCENTRED = ("llama", "qwen3")
"""Models with RMSNorm, which takes no mean away: TransformerLens leaves what they write as it is."""
_OUTPUT_FIRST = (torch.nn.Linear,)


@torch.no_grad()
def centred_copy(model: PreTrainedModel) -> PreTrainedModel | None:
    """A copy with the writing layers centred; None for an architecture where that is not known to be enough.

    Parameters
    ----------
    model
        A model as published. It is left as it is.

    Returns
    -------
    PreTrainedModel or None
        With parameters of its own. Of a model with RMSNorm (`UNCENTRED`) it is the model as it is; None when the model
        type is in neither of `WRITERS` and `UNCENTRED`.
    """
    kind = model.config.model_type
    if kind in UNCENTRED:
        # parameters of its own, as processing changes those of the bridge in place
        return copy.deepcopy(model)
    if kind not in WRITERS:
        return None
    result = copy.deepcopy(model)
    head = result.get_output_embeddings()
    # the unembedding often is the embedding; it reads, and stays as it was
    head.weight = torch.nn.Parameter(head.weight.clone(), requires_grad=False)
    for block in find_blocks(result):
        _move_value_bias(kind, block)
    for name, module in result.named_modules():
        if name.endswith(tuple(f".{writer}" for writer in WRITERS[kind])):
            for parameter in module.parameters(recurse=False):
                _centre(parameter, dim=0 if isinstance(module, _OUTPUT_FIRST) else -1)
    return result


def shared_copy(model: PreTrainedModel) -> PreTrainedModel:
    """The same parameters and buffers in modules of their own.

    A bridge puts its own modules in place of those of the model that it is booted from; the copy keeps the originals.

    Parameters
    ----------
    model
        The model to copy, before a bridge is booted from it.

    Returns
    -------
    PreTrainedModel
        Its modules are new, its parameters and buffers are those of `model`.
    """
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})


def _move_value_bias(kind: str, block: Any) -> None:
    """Take what all tokens' values have in common out of them, and add what it becomes to the output projection's bias.

    That is the values' own bias and what they make of the shift of the LayerNorm before them.
    """
    if kind == "gpt2":  # queries, keys and values one after the other; weights have their inputs first
        width = block.attn.c_proj.weight.shape[0]
        weight, bias = block.attn.c_attn.weight[:, 2 * width :].T, block.attn.c_attn.bias[2 * width :]
        shift, output = block.ln_1.bias, block.attn.c_proj
        onwards = output.weight.T
    elif block.attention.query_key_value.bias is not None:  # queries, keys and values of each head one after the other
        mixed, heads = block.attention.query_key_value, block.attention.config.num_attention_heads
        weight = mixed.weight.unflatten(0, (heads, 3, -1))[:, 2].flatten(0, 1)
        bias = mixed.bias.view(heads, 3, -1)[:, 2]
        shift, output = block.input_layernorm.bias, block.attention.dense
        onwards = output.weight
    else:
        return
    common = bias.reshape(-1) + weight @ shift
    output.bias += onwards @ common
    bias -= common.view(bias.shape)


def _centre(weight: Tensor, dim: int) -> None:
    weight -= weight.double().mean(dim=dim, keepdim=True).to(weight)
