"""Attention of packed points: each sees the prompt's earlier tokens and itself, and no other point.

Because a point has one key of its own, its scores are a row of `shared + 1` numbers: work and memory grow with the
number of points, not with its square, and no mask is needed.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

PACKED = "plateaulens_packed"
"""The name under which transformers knows this attention."""


def attend(
    query: Float[Tensor, "sequence head token d_head"],
    key: Float[Tensor, "sequence kv_head token d_head"],
    value: Float[Tensor, "sequence kv_head token d_head"],
    *,
    scaling: float,
    shared: int,
) -> Float[Tensor, "sequence token head d_head"]:
    """Causal attention among the first `shared` tokens; every later token is a point, which attends to them and itself.

    Heads that share keys and values (grouped-query attention) are a dimension of their own, so that nothing is copied.

    Parameters
    ----------
    query
        Shaped (sequence, head, token, d_head).
    key, value
        Shaped (sequence, kv_head, token, d_head); the number of heads is a multiple of that of kv_heads.
    scaling
        What scores are multiplied by before the softmax.
    shared
        Number of earlier tokens of the prompt, from 0.

    Returns
    -------
    Tensor
        Shaped (sequence, token, head, d_head).
    """
    result = query.new_empty(query.transpose(1, 2).shape)
    result[:, :shared] = scaled_dot_product_attention(
        query[:, :, :shared],
        key[:, :, :shared],
        value[:, :, :shared],
        is_causal=True,
        scale=scaling,
        enable_gqa=True,
    ).transpose(1, 2)

    kv_heads, points = key.shape[1], query.shape[2] - shared
    asking = query[:, :, shared:].unflatten(1, (kv_heads, -1))
    shared_keys, own_key = key[:, :, None].split([shared, points], dim=-2)
    shared_values, own_value = value[:, :, None].split([shared, points], dim=-2)
    # points along the last dimension: the softmax over a handful of keys is then computed for many points at once
    own_score = (asking * own_key).sum(dim=-1).unsqueeze(-2)
    weights = torch.cat([shared_keys @ asking.mT, own_score], dim=-2).mul_(scaling).softmax(dim=-2).mT
    place = result[:, shared:].unflatten(2, (kv_heads, -1)).movedim(1, 3)
    torch.addcmul(weights[..., :-1] @ shared_values, weights[..., -1:], own_value, out=place)
    return result


def packed_attention(
    module: torch.nn.Module,  # noqa: ARG001  the signature is that of transformers' attention functions
    query: Float[Tensor, "sequence head token d_head"],
    key: Float[Tensor, "sequence kv_head token d_head"],
    value: Float[Tensor, "sequence kv_head token d_head"],
    attention_mask: None,  # noqa: ARG001
    *,
    scaling: float,
    shared: int,
    **unused: Any,  # noqa: ARG001  dropout and the like
) -> tuple[Float[Tensor, "sequence token head d_head"], None]:
    """`attend` as transformers calls it.

    Parameters
    ----------
    module, attention_mask, **unused
        What transformers hands to every attention function and this one does not use: no mask is needed, and there is
        no dropout.
    query
        Shaped (sequence, head, token, d_head).
    key, value
        Shaped (sequence, kv_head, token, d_head).
    scaling
        What scores are multiplied by before the softmax.
    shared
        Number of earlier tokens of the prompt, handed through the model's blocks.

    Returns
    -------
    tuple of Tensor and None
        What `attend` returns, and no attention weights.
    """
    return attend(query, key, value, scaling=scaling, shared=shared), None


AttentionInterface.register(PACKED, packed_attention)
