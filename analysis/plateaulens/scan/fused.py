"""Points on a GPU with few passes over its memory: blocks like Llama's, and the output's metrics.

What `plateaulens.scan.layers.GatedBlock` and `plateaulens.scan.metrics` compute with PyTorch's operations is computed
here with the kernels of `plateaulens.scan.kernels`, and the same to rounding. `plateaulens.scan.split.has_kernels` says
where.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.scan import kernels
from plateaulens.scan.layers import attend_from_points, rms_norm, window_of
from plateaulens.scan.split import (
    KINDS,
    TOP,
    Matrix,
    Precision,
    next_power,
    power_of_two,
    queries_of,
    shared_memory,
    split,
)

LOGITS_BYTES = 2**29
"""Most bytes of logits that are held at once."""
BLOCK = 2048
"""Logits that a program reads at a time."""
MOST_KEYS = 128
"""Earlier tokens of a prompt that the attention kernel takes, where the card has the memory."""


class FusedBlock:
    """Runs one decoder layer of Llama, Mistral, Qwen2 or Qwen3; what `GatedBlock` gives, to rounding.

    Where numbers are split, the norms' weights are part of the matrices that follow. For float16 planes, numbers are
    scaled by powers of two, which is exact: a normed row is no longer than sqrt(d_model), which bounds it, by way of
    the weights' lengths bounds values and hidden units, and so says by how much each column can be multiplied without
    overflow.

    Parameters
    ----------
    layer
        transformers' layer; it is left as it is.
    precision
        What products are computed in.
    """

    def __init__(self, layer: Any, precision: Precision) -> None:
        self._precision, kind = precision, KINDS[precision]
        self._kind = kind
        attention, mlp = layer.self_attn, layer.mlp
        self._window, self._scaling, self._size = window_of(attention), attention.scaling, attention.head_dim
        self._norms = layer.input_layernorm, layer.post_attention_layernorm
        self._head_norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
        projections = attention.q_proj, attention.k_proj, attention.v_proj
        self._heads, self._kv_heads = (part.weight.shape[0] // self._size for part in projections[:2])
        d_model = layer.input_layernorm.weight.shape[0]
        self._memory = shared_memory(layer.input_layernorm.weight.device)
        self._enter = 2.0 ** (TOP - math.ceil(math.log2(d_model) / 2)) if kind.scaled else 1.0
        self._folded = kind.planes > 1  # a single narrow part would be rounded once more

        def after(norm: Any, *layers: Any, gated: bool = False) -> Matrix:
            factor = norm.weight / self._enter if self._folded else None
            weight, bias = (_stack(layers, part) for part in ("weight", "bias"))
            assert weight is not None
            return Matrix(weight, bias, precision, factor=factor, gated=gated)

        self._qkv = after(self._norms[0], *projections)
        self._gate_up = after(self._norms[1], mlp.gate_proj, mlp.up_proj, gated=True)
        value = _bound(attention.v_proj, self._norms[0])
        value = value.unflatten(0, (self._kv_heads, self._size)).repeat_interleave(self._heads // self._kv_heads, dim=0)
        hidden = _bound(mlp.gate_proj, self._norms[1]) * _bound(mlp.up_proj, self._norms[1])
        self._by_head, self._by_hidden = (
            (power_of_two(bound, TOP - 1) if kind.scaled else torch.ones_like(bound)).float()
            for bound in (value.flatten(), hidden)
        )
        out, down = attention.o_proj, mlp.down_proj
        self._out = Matrix(out.weight, out.bias, precision, factor=1 / self._by_head)
        self._down = Matrix(down.weight, down.bias, precision, factor=1 / self._by_hidden)

    def __call__(
        self,
        stream: Float[Tensor, "sequence token d_model"],
        *,
        shared: int,
        position_embeddings: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "sequence token d_model"]:
        """The stream after the block. See `plateaulens.scan.layers.GatedBlock`."""
        rows = stream.flatten(0, 1).contiguous()
        qkv = self._qkv.times(self._normed(rows, self._norms[0]))
        found = self._attend(qkv.view(*stream.shape[:2], -1), shared, position_embeddings)
        rows = self._out.times(found, summand=rows)
        hidden = self._gate_up.times(self._normed(rows, self._norms[1]), factor=self._by_hidden)
        return self._down.times(hidden, summand=rows).view(stream.shape)

    def _normed(self, rows: Float[Tensor, "row d_model"], norm: Any) -> Tensor:
        count, width = rows.shape
        out = torch.empty((self._kind.planes, count, width), dtype=self._kind.dtype, device=rows.device)
        kernels.norm_kernel[(count,)](
            rows, out[0], out[-1], norm.weight, self._enter, norm.variance_epsilon,
            D=width, BLOCK=next_power(width), WEIGHTED=not self._folded, KIND=self._kind.number,
        )  # fmt: skip
        return out

    def _attend(
        self, qkv: Float[Tensor, "sequence token width"], shared: int, rotation: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "plane row width"]:
        keys, wide = (max(16, next_power(size)) for size in (shared, self._size))
        queries = queries_of(keys, wide, self._memory)
        if shared > MOST_KEYS or queries is None:
            return self._attend_long(qkv, shared, rotation)
        (prompts, tokens, _), kind = qkv.shape, self._kind
        width = self._heads * self._size
        out = torch.empty((kind.planes, prompts * tokens, width), dtype=kind.dtype, device=qkv.device)
        cosines, sines = (part[0, :shared].contiguous() for part in rotation)
        weights = (None, None) if self._head_norms is None else tuple(norm.weight for norm in self._head_norms)
        eps = 0.0 if self._head_norms is None else self._head_norms[0].variance_epsilon
        window = tokens + 1 if self._window is None else self._window
        for early, count in ((True, shared), (False, tokens - shared)):
            block = 16 if early else queries
            if count:
                kernels.attention_kernel[(prompts, -(-count // block), self._kv_heads)](
                    qkv, out[0], out[-1], cosines, sines, self._by_head, *weights, eps, self._scaling, tokens,
                    shared, window, HEADS=self._heads, KV=self._kv_heads, D=self._size,
                    WIDE=wide, KEYS=keys, BLOCK=block, EARLY=early,
                    NORM=self._head_norms is not None, KIND=kind.number,
                )  # fmt: skip
        return out

    def _attend_long(
        self, qkv: Float[Tensor, "sequence token width"], shared: int, rotation: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "plane row width"]:
        parts = qkv.unflatten(-1, (-1, self._size)).split([self._heads, self._kv_heads, self._kv_heads], dim=2)
        if self._head_norms is not None:
            parts = (*(rms_norm(part, norm) for part, norm in zip(parts, self._head_norms, strict=False)), parts[2])
        query, key, value = (part.transpose(1, 2) for part in parts)
        settings: dict[str, Any] = {"scaling": self._scaling, "window": self._window}
        found = attend_from_points(query, key, value, rotation, shared=shared, **settings)
        return split(found.flatten(2).flatten(0, 1) * self._by_head, self._precision)


def _stack(layers: tuple[Any, ...], part: str) -> Tensor | None:
    found = [getattr(layer, part) for layer in layers]
    return None if found[0] is None else torch.cat([each.detach() for each in found])


def _bound(layer: Any, norm: Any) -> Tensor:
    """The largest number that each column of a linear layer's result can be behind a norm."""
    weight = layer.weight.detach().double() * norm.weight.detach().double()
    bound: Tensor = weight.norm(dim=1) * math.sqrt(weight.shape[1])
    return bound if layer.bias is None else bound + layer.bias.detach().double().abs()


class OutputCurves(NamedTuple):
    """What the output did along paths."""

    kl: Float[Tensor, "path step"]
    js: Float[Tensor, "path step"]
    top_token: Int[Tensor, "path step"]


def measure_outputs(
    unembed: Callable[[Tensor], Tensor],
    final: Float[Tensor, "path step d_model"],
    look: Callable[[Float[Tensor, "row vocabulary"], slice, slice], None] | None = None,
    most_bytes: int = LOGITS_BYTES,
) -> OutputCurves:
    """KL, JS and the likeliest token of every point, beside the first of its path.

    Parameters
    ----------
    unembed
        From rows to logits.
    final
        What is unembedded, shaped (path, step, d_model).
    look
        Called with all logits, part by part, and with the paths and steps that they are of; None for nothing.
    most_bytes
        Of logits that are held at once. The paths' references may come on top.

    Returns
    -------
    OutputCurves
        Each shaped (path, step).
    """
    paths, steps = final.shape[:2]
    kl, js = final.new_empty((2, paths, steps))
    top = torch.empty((paths, steps), dtype=torch.int32, device=final.device)
    rows = max(1, most_bytes // (4 * unembed(final[0, :1]).shape[1]))
    together, part = max(1, rows // steps), min(rows, steps)
    for first in range(0, paths, together):
        chosen = slice(first, min(first + together, paths))
        reference: tuple[Tensor, Tensor] | None = None
        for start in range(0, steps, part):
            stretch = slice(start, min(start + part, steps))
            logits = unembed(final[chosen, stretch].flatten(0, 1)).contiguous()
            count, (number, vocabulary) = stretch.stop - start, logits.shape
            stats, likeliest = logits.new_empty((number, 2)), top.new_empty(number)
            kernels.stats_kernel[(number,)](logits, stats, likeliest, V=vocabulary, BLOCK=BLOCK, num_warps=8)
            if reference is None:
                # all of a path's rows are at hand, or it is the only path
                reference = logits[::count].contiguous(), stats[::count].contiguous()
            found = logits.new_empty((2, number))
            kernels.divergence_kernel[(number,)](
                logits, reference[0], stats, reference[1], *found, STEPS=count, V=vocabulary, BLOCK=BLOCK, num_warps=8
            )
            kl[chosen, stretch], js[chosen, stretch] = found.unflatten(1, (-1, count))
            top[chosen, stretch] = likeliest.view(-1, count)
            if look is not None:
                look(logits, chosen, stretch)
            del logits  # before the next ones are there
    return OutputCurves(kl, js, top)
