"""Packed points through the language model itself: the bridge's weights by a shorter way.

The blocks are run one by one, without TransformerLens' hooks and without an attention mask, so a model can only be run
like this if its attention is known to be the plain causal one. `choose_forward` knows which are.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.activations import NewGELUActivation

from plateaulens.errors import UsageError
from plateaulens.scan.attention import PACKED
from plateaulens.scan.bridge import BridgeForward, packed_positions
from plateaulens.scan.engine import Forward, Response
from plateaulens.scan.layers import BlockOfKind, GatedBlock, RotaryByKind, gated_fits
from plateaulens.scan.linear import Precision, prepare, prepare_all
from plateaulens.subject.copies import shared_copy
from plateaulens.subject.model import Subject

Block = Callable[..., Tensor]


class Parts(NamedTuple):
    """What the parts of a transformers base model are called."""

    blocks: str
    norm: str
    rotary: str | None = None
    """What computes the rotary position embeddings, for models that have them."""
    positions: str | None = None
    """What is added to the token embeddings by position, for models that have it."""
    kinds: bool = False
    """Whether layers are of several kinds, which differ in rotary embeddings and in windows longer than a prompt."""


VERIFIED = {
    "gemma3_text": Parts("layers", "norm", rotary="rotary_emb", kinds=True),
    "gpt2": Parts("h", "ln_f", positions="wpe"),
    "gpt_neox": Parts("layers", "final_layer_norm", rotary="rotary_emb"),
    "llama": Parts("layers", "norm", rotary="rotary_emb"),
    "qwen3": Parts("layers", "norm", rotary="rotary_emb"),
}
"""By `model_type`, the architectures for which tests hold `DirectForward` equal to `BridgeForward`."""


def choose_forward(subject: Subject, precision: Precision = "float32") -> Forward:
    """`DirectForward` where it is known to equal `BridgeForward`, which runs everything else, in float32 only.

    It is for verified architectures, with published weights or a copy known to stand for the processed ones: another
    architecture's attention may hold what packing would get wrong (biases by distance, sinks, capped scores, windows).

    Parameters
    ----------
    subject
        The model, written and read at its sites.
    precision
        What the linear layers of the blocks multiply in.

    Returns
    -------
    Forward
        One of the two.

    Raises
    ------
    UsageError
        For another precision than float32 where the bridge is what runs.
    """
    if subject.model is not None:
        config = subject.model.config
        parts = VERIFIED.get(config.model_type)
        plain = set(getattr(config, "layer_types", None) or ()) <= {"full_attention"}
        if parts is not None and (plain or parts.kinds):
            return DirectForward(subject, precision)
    if precision != "float32":
        raise UsageError(f"engine.precision {precision!r}: this model runs in float32 only, leave the key out")
    return BridgeForward(subject)


class DirectForward:
    """Runs the blocks from the write site on over the prompts' earlier tokens followed by all points of each prompt.

    All paths of a prompt share its earlier tokens, which alone go through the blocks before the write site.
    With the precision `bf16`, the linear layers of the blocks multiply in bfloat16; all else is float32, and so is the
    unembedding, as a logit in bfloat16 would be rounded by more than a small step changes it.

    Parameters
    ----------
    subject
        One with a `model` whose architecture is in `VERIFIED`; that model is left as it is.
    precision
        What the linear layers of the blocks multiply in.
    """

    def __init__(self, subject: Subject, precision: Precision = "float32") -> None:
        assert subject.model is not None
        model = shared_copy(subject.model)
        self.concurrent = model.device.type == "cpu"
        model.set_attn_implementation(PACKED)
        base: Any = model.base_model
        parts = VERIFIED[model.config.model_type]
        layers: torch.nn.ModuleList = getattr(base, parts.blocks)
        prepare_all(layers, precision)
        _fuse_activations(layers)
        self._counted_from_points = gated_fits(model.config)
        blocks: list[Block] = [GatedBlock(layer) if self._counted_from_points else layer for layer in layers]
        rotary: Callable[..., Any] | None = None if parts.rotary is None else getattr(base, parts.rotary)
        if parts.kinds:
            blocks = [BlockOfKind(block, kind) for block, kind in zip(blocks, model.config.layer_types, strict=True)]
            rotary = RotaryByKind(base.rotary_emb, model.config.layer_types)
        write, read = subject.write.boundary, subject.read.boundary
        self._before, self._between, self._after = blocks[:write], blocks[write:read], blocks[read:]
        self._embedding: torch.nn.Module = base.get_input_embeddings()
        self._norm: torch.nn.Module = getattr(base, parts.norm)
        self._rotary = rotary
        self._positions: torch.nn.Module | None = None if parts.positions is None else getattr(base, parts.positions)
        self._head = prepare(model.get_output_embeddings(), "float32")

    def run(
        self, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt path step d_model"]
    ) -> Response:
        """All paths of a prompt are one sequence. See `plateaulens.scan.engine.Forward.run`."""
        shared, (paths, steps) = tokens.shape[1] - 1, points.shape[1:3]
        earlier = self._through(self._before, self._embed(tokens[:, :shared]), shared)
        stream = torch.cat([earlier, points.flatten(1, 2)], dim=1)
        at_read = self._through(self._between, stream, shared)
        final = self._norm(self._through(self._after, at_read, shared)[:, shared:])
        return Response(at_read[:, shared:].unflatten(1, (paths, steps)), final.unflatten(1, (paths, steps)))

    def unembed(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """In float32, whatever the precision. See `plateaulens.scan.engine.Forward.unembed`."""
        logits: Tensor = self._head(final)
        return logits

    def _embed(self, tokens: Int[Tensor, "prompt position"]) -> Float[Tensor, "prompt position d_model"]:
        stream: Tensor = self._embedding(tokens)
        if self._positions is not None:
            stream = stream + self._positions(torch.arange(tokens.shape[1], device=tokens.device))
        return stream

    def _through(
        self, blocks: Sequence[Block], stream: Float[Tensor, "prompt token d_model"], shared: int
    ) -> Float[Tensor, "prompt token d_model"]:
        if not blocks or not stream.shape[1]:
            return stream
        settings: dict[str, Any] = {"shared": shared}
        if self._rotary is not None:
            points = stream.shape[1] - shared
            positions = torch.arange(-shared, 0) if self._counted_from_points else packed_positions(shared, points)
            settings["position_embeddings"] = self._rotary(stream, positions[None].to(stream.device))
        for block in blocks:
            stream = block(stream, **settings)
        return stream


def _fuse_activations(layers: torch.nn.Module) -> None:
    """Compute GPT-2's activation, which transformers writes out in eight passes, in one."""
    for parent in list(layers.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, NewGELUActivation):
                setattr(parent, name, torch.nn.GELU(approximate="tanh"))
