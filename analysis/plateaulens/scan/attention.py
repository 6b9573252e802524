"""Attention of packed points: each sees the prompt's earlier tokens and itself, and no other point.

Because a point has one key of its own, its scores are a row of `shared + 1` numbers: work and memory grow with the
number of points, not with its square, and no mask is needed.

What a token looks back on goes by its position in the prompt. All points stand at the last one, so a window shows them
all the same earlier tokens, however many points there are.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

PACKED_ATTENTION = "plateaulens_packed"
"""The name under which transformers knows this attention."""


def attend(
    query: Float[Tensor, "sequence head token d_head"],
    key: Float[Tensor, "sequence kv_head token d_head"],
    value: Float[Tensor, "sequence kv_head token d_head"],
    *,
    scaling: float,
    shared: int,
    window: int | None = None,
    cap: float | None = None,
    sinks: Float[Tensor, " head"] | None = None,
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
    window
        Number of tokens, from 1, that a token sees, itself among them; None for all.
    cap
        Scores s become `cap * tanh(s / cap)`, as in Gemma 2; None for as they are.
    sinks
        A score of each head, shaped (head,), that takes part in the softmax and has no value, as in gpt-oss.

    Returns
    -------
    Tensor
        Shaped (sequence, token, head, d_head).
    """
    result = query.new_empty(query.transpose(1, 2).shape)
    kv_heads, points = key.shape[1], query.shape[2] - shared
    by_head = None if sinks is None else sinks.view(kv_heads, -1, 1, 1)
    early = (part[:, :, :shared] for part in (query, key, value))
    result[:, :shared] = _among_earlier(*early, scaling=scaling, window=window, cap=cap, sinks=by_head)

    asking = query[:, :, shared:].unflatten(1, (kv_heads, -1))
    reach = shared if window is None else min(shared, window - 1)
    _, shared_keys, own_key = key[:, :, None].split([shared - reach, reach, points], dim=-2)
    _, shared_values, own_value = value[:, :, None].split([shared - reach, reach, points], dim=-2)
    # points along the last dimension: the softmax over a handful of keys is then computed for many points at once
    own_score = (asking * own_key).sum(dim=-1).unsqueeze(-2)
    scores = _capped(torch.cat([shared_keys @ asking.mT, own_score], dim=-2).mul_(scaling), cap)
    weights = _shares(scores, by_head, dim=-2).mT
    place = result[:, shared:].unflatten(2, (kv_heads, -1)).movedim(1, 3)
    torch.addcmul(weights[..., :-1] @ shared_values, weights[..., -1:], own_value, out=place)
    return result


def _among_earlier(
    query: Float[Tensor, "sequence head token d_head"],
    key: Float[Tensor, "sequence kv_head token d_head"],
    value: Float[Tensor, "sequence kv_head token d_head"],
    *,
    scaling: float,
    window: int | None,
    cap: float | None,
    sinks: Float[Tensor, "kv_head group 1 1"] | None,
) -> Float[Tensor, "sequence token head d_head"]:
    tokens = query.shape[2]
    visible: Tensor | None = None  # what causal attention sees
    if cap is not None or sinks is not None or (window is not None and window < tokens):
        visible = torch.ones((tokens, tokens), dtype=torch.bool, device=query.device).tril()
        if window is not None:
            visible = visible.triu(1 - window)
    if visible is None or (cap is None and sinks is None):
        found = scaled_dot_product_attention(
            query, key, value, attn_mask=visible, is_causal=visible is None, scale=scaling, enable_gqa=True
        )
        return found.transpose(1, 2)
    asking = query.unflatten(1, (key.shape[1], -1))
    scores = _capped((asking @ key[:, :, None].mT).mul_(scaling), cap).masked_fill_(~visible, -torch.inf)
    return (_shares(scores, sinks, dim=-1) @ value[:, :, None]).flatten(1, 2).transpose(1, 2)


def _capped(scores: Tensor, cap: float | None) -> Tensor:
    """In place."""
    return scores if cap is None else scores.div_(cap).tanh_().mul_(cap)


def _shares(scores: Tensor, sinks: Float[Tensor, "kv_head group 1 1"] | None, *, dim: int) -> Tensor:
    """The softmax over the keys, which are the dimension `dim`."""
    if sinks is None:
        return scores.softmax(dim=dim)
    keys = scores.shape[dim]
    shape = list(scores.shape)
    shape[dim] = 1
    return torch.cat([scores, sinks.expand(shape)], dim=dim).softmax(dim=dim).narrow(dim, 0, keys)


def packed_attention(
    module: torch.nn.Module,  # noqa: ARG001  the signature is that of transformers' attention functions
    query: Float[Tensor, "sequence head token d_head"],
    key: Float[Tensor, "sequence kv_head token d_head"],
    value: Float[Tensor, "sequence kv_head token d_head"],
    attention_mask: None,  # noqa: ARG001
    *,
    scaling: float,
    shared: int,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Float[Tensor, " head"] | None = None,
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
    sliding_window, softcap, s_aux
        What `attend` calls window, cap and sinks, from layers that have them.

    Returns
    -------
    tuple of Tensor and None
        What `attend` returns, and no attention weights.
    """
    options: dict[str, Any] = {"window": sliding_window, "cap": softcap, "sinks": s_aux}
    return attend(query, key, value, scaling=scaling, shared=shared, **options), None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
