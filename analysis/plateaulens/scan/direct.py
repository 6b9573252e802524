"""Packed points through the language model itself: the bridge's weights by a shorter way.

The blocks are run one by one, without TransformerLens' hooks and without an attention mask, so a model can only be run
like this if its attention is known to be the plain causal one. `choose_forward` knows which are.
"""

from threading import Lock
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.scan.attention import PACKED
from plateaulens.scan.bridge import BridgeForward, packed_positions
from plateaulens.scan.engine import Forward, Response
from plateaulens.scan.linear import OneDnnLinear
from plateaulens.subject.model import Subject


class Parts(NamedTuple):
    """What the parts of a transformers base model are called."""

    blocks: str
    norm: str
    rotary: str | None = None
    """What computes the rotary position embeddings, for models that have them."""


VERIFIED = {
    "gpt2": Parts("h", "ln_f"),
    "gpt_neox": Parts("layers", "final_layer_norm", "rotary_emb"),
    "llama": Parts("layers", "norm", "rotary_emb"),
    "qwen3": Parts("layers", "norm", "rotary_emb"),
}
"""By `model_type`, the architectures for which tests hold `DirectForward` equal to `BridgeForward`."""


def choose_forward(subject: Subject) -> Forward:
    """`DirectForward` where it is known to equal `BridgeForward`, which runs everything else.

    It is for verified architectures with published weights: processed ones are in the bridge only, and another
    architecture's attention may hold what packing would get wrong (biases by distance, sinks, capped scores, windows).
    """
    if subject.model is None:
        return BridgeForward(subject)
    config = subject.model.config
    plain = set(getattr(config, "layer_types", None) or ()) <= {"full_attention"}
    return DirectForward(subject) if config.model_type in VERIFIED and plain else BridgeForward(subject)


class DirectForward:
    """Runs the blocks from the write site on over the prompts' earlier tokens followed by all points of each prompt.

    All paths of a prompt share its earlier tokens, whose activations at the write site come from `Subject.activations`.
    """

    def __init__(self, subject: Subject) -> None:
        assert subject.model is not None
        self.concurrent = subject.device.type == "cpu"
        self._bridge_is_free = Lock()
        self._subject, self._model = subject, subject.model
        self._model.set_attn_implementation(PACKED)
        base: Any = self._model.base_model
        parts = VERIFIED[self._model.config.model_type]
        self._blocks = list(getattr(base, parts.blocks))
        self._norm: torch.nn.Module = getattr(base, parts.norm)
        self._rotary: torch.nn.Module | None = None if parts.rotary is None else getattr(base, parts.rotary)

    def run(
        self, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt path step d_model"]
    ) -> Response:
        """See `Forward.run`."""
        shared, (paths, steps) = tokens.shape[1] - 1, points.shape[1:3]
        settings: dict[str, Any] = {"shared": shared}
        if self._rotary is not None:
            positions = packed_positions(shared, paths * steps)[None].to(points.device)
            settings["position_embeddings"] = self._rotary(points, positions)
        write, read = self._subject.write.boundary, self._subject.read.boundary
        with self._bridge_is_free:
            earlier = self._subject.activations(tokens)[:, :shared]
        stream = torch.cat([earlier, points.flatten(1, 2)], dim=1)
        with OneDnnLinear():
            for block in self._blocks[write:read]:
                stream = block(stream, **settings)
            at_read = stream
            for block in self._blocks[read:]:
                stream = block(stream, **settings)
            final = self._norm(stream[:, shared:])
        return Response(at_read[:, shared:].unflatten(1, (paths, steps)), final.unflatten(1, (paths, steps)))

    def unembed(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """See `Forward.unembed`."""
        with OneDnnLinear():
            logits: Tensor = self._model.get_output_embeddings()(final)
        return logits
