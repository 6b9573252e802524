"""Blocks of some architectures over packed points: those like Llama's by a shorter way, Gemma 3's by their kinds.

The block of Llama, Mistral, Qwen2 and Qwen3 (`GatedBlock`) is run with fewer passes over memory than transformers' own.
All points stand at the same position, and rotary embeddings only make scores depend on differences of positions. So
positions are counted from the points' own: then nothing has to be rotated but the prompt's few earlier tokens. The
activation, the gate and the residual sums are left to the matrix products.

Gemma 3 has layers of several kinds, each with rotary embeddings to another base (`BlockOfKind`, `RotaryByKind`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from plateaulens.scan.attention import attend

Rotation = tuple[Tensor, Tensor]


def gated_fits(config: Any) -> bool:
    """Whether `GatedBlock` is the block of a model.

    Parameters
    ----------
    config
        The model's transformers configuration.

    Returns
    -------
    bool
        True for Llama, Mistral, Qwen2 and Qwen3 with SiLU, and with rotary embeddings that scale no scores and depend
        on nothing but positions.
    """
    rotary = getattr(config, "rope_parameters", None) or {}
    # other rotary embeddings scale the scores, or depend on how long the sequence is
    plain = rotary.get("rope_type", "default") in {"default", "linear", "llama3"}
    return config.model_type in {"llama", "mistral", "qwen2", "qwen3"} and plain and config.hidden_act == "silu"


class GatedBlock:
    """Runs one decoder layer of Llama, Mistral, Qwen2 or Qwen3.

    Parameters
    ----------
    layer
        transformers' layer, whose linear layers have been prepared (`plateaulens.scan.linear.prepare_all`).
    """

    def __init__(self, layer: Any) -> None:
        self._attention, self._mlp = layer.self_attn, layer.mlp
        self._before_attention, self._before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self._window = window_of(self._attention)

    def __call__(
        self,
        stream: Float[Tensor, "sequence token d_model"],
        *,
        shared: int,
        position_embeddings: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "sequence token d_model"]:
        """The stream after the block.

        Parameters
        ----------
        stream
            The earlier tokens and the points, shaped (sequence, token, d_model).
        shared
            Number of earlier tokens.
        position_embeddings
            Cosines and sines, each shaped (1, token, d_head), of the earlier tokens first, points being at position 0;
            those of points are not looked at.

        Returns
        -------
        Tensor
            Shaped (sequence, token, d_model).
        """
        attention, mlp = self._attention, self._mlp
        x = attention.q_proj.narrow(rms_norm(stream, self._before_attention))
        query, key, value = (
            layer(x).unflatten(-1, (-1, attention.head_dim))
            for layer in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if hasattr(attention, "q_norm"):
            query, key = rms_norm(query, attention.q_norm), rms_norm(key, attention.k_norm)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        settings = {"scaling": attention.scaling, "window": self._window}
        found = attend_from_points(query, key, value, position_embeddings, shared=shared, **settings).flatten(2)
        stream = attention.o_proj.plus(attention.o_proj.narrow(found), stream)
        x = mlp.gate_proj.narrow(rms_norm(stream, self._before_mlp))
        after: Tensor = mlp.down_proj.plus(mlp.up_proj.times(x, mlp.gate_proj.silu(x)), stream)
        return after


def window_of(attention: Any) -> int | None:
    """The window of an attention module of Llama, Mistral, Qwen2 or Qwen3.

    Parameters
    ----------
    attention
        transformers' module.

    Returns
    -------
    int or None
        Tokens that a token sees, itself among them; None for all.
    """
    # Mistral's layers are all alike and ask the configuration; Llama's have no window, whatever that says
    holder = attention.config if attention.config.model_type == "mistral" else attention
    return getattr(holder, "sliding_window", None)


def attend_from_points(
    query: Float[Tensor, "sequence head token d_head"],
    key: Float[Tensor, "sequence kv_head token d_head"],
    value: Float[Tensor, "sequence kv_head token d_head"],
    rotation: Rotation,
    *,
    shared: int,
    scaling: float,
    window: int | None,
) -> Float[Tensor, "sequence token head d_head"]:
    """`plateaulens.scan.attention.attend` with earlier tokens rotated, by positions counted from the points'.

    Parameters
    ----------
    query, key
        Shaped (sequence, head or kv_head, token, d_head); those of earlier tokens are rotated in place.
    value
        Shaped (sequence, kv_head, token, d_head).
    rotation
        Cosines and sines, each shaped (1, token, d_head), of the earlier tokens first.
    shared
        Number of earlier tokens.
    scaling, window
        See `attend`.

    Returns
    -------
    Tensor
        Shaped (sequence, token, head, d_head).
    """
    cosines, sines = (part[:, :shared] for part in rotation)
    early = apply_rotary_pos_emb(query[:, :, :shared], key[:, :, :shared], cosines, sines)
    query[:, :, :shared], key[:, :, :shared] = early
    return attend(query, key, value, shared=shared, scaling=scaling, window=window)


def rms_norm(x: Float[Tensor, "*row d"], norm: Any) -> Float[Tensor, "*row d"]:
    """`x / sqrt(mean(x^2) + eps) * weight`, in three passes over `x`.

    Parameters
    ----------
    x
        Shaped (..., d).
    norm
        The module whose `weight` and `variance_epsilon` they are.

    Returns
    -------
    Tensor
        Shaped (..., d).
    """
    scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
    normed = x * scale.add_(norm.variance_epsilon).rsqrt_()
    result: Tensor = normed.mul_(norm.weight)
    return result


class BlockOfKind:
    """A block that takes the rotary embeddings of its own kind.

    Parameters
    ----------
    block
        The block itself.
    kind
        The kind of its layer.
    """

    def __init__(self, block: Callable[..., Tensor], kind: str) -> None:
        self._block, self._kind = block, kind

    def __call__(self, stream: Tensor, *, position_embeddings: dict[str, Rotation], **settings: Any) -> Tensor:
        """The stream after the block.

        Parameters
        ----------
        stream
            Shaped (sequence, token, d_model).
        position_embeddings
            What `RotaryByKind` gave.
        **settings
            Handed on to the block.

        Returns
        -------
        Tensor
            Shaped (sequence, token, d_model).
        """
        return self._block(stream, position_embeddings=position_embeddings[self._kind], **settings)


class RotaryByKind:
    """The rotary embeddings of some positions, by kind of layer.

    Parameters
    ----------
    rotary
        The model's own, which take a kind.
    kinds
        The kind of each layer.
    """

    def __init__(self, rotary: torch.nn.Module, kinds: Sequence[str]) -> None:
        self._rotary, self._kinds = rotary, sorted(set(kinds))

    def __call__(self, stream: Tensor, positions: Tensor) -> dict[str, Rotation]:
        """Cosines and sines for some positions.

        Parameters
        ----------
        stream
            Has the type and the device that they shall have.
        positions
            Position ids, shaped (1, token).

        Returns
        -------
        dict
            By kind, cosines and sines, each shaped (1, token, d_head).
        """
        return {kind: self._rotary(stream, positions, kind) for kind in self._kinds}
