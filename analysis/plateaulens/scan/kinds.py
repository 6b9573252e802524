"""Models whose layers are of several kinds, each with rotary embeddings to another base (Gemma 3).

What the kinds look back on differs beyond a window only, and a model whose window is shorter than the prompts is
refused (`subject.families`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]


class RotaryByKind:
    """The rotary embeddings of some positions, by kind of layer."""

    def __init__(self, rotary: torch.nn.Module, kinds: Sequence[str]) -> None:
        self._rotary, self._kinds = rotary, sorted(set(kinds))

    def __call__(self, stream: Tensor, positions: Tensor) -> dict[str, Rotation]:
        """Cosines and sines for `positions`, in the type and on the device of `stream`."""
        return {kind: self._rotary(stream, positions, kind) for kind in self._kinds}


class BlockOfKind:
    """A block that takes the embeddings of its own kind."""

    def __init__(self, block: Callable[..., Tensor], kind: str) -> None:
        self._block, self._kind = block, kind

    def __call__(self, stream: Tensor, *, position_embeddings: dict[str, Rotation], **settings: Any) -> Tensor:
        """The stream after the block."""
        return self._block(stream, position_embeddings=position_embeddings[self._kind], **settings)
