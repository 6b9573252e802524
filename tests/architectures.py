"""Tiny models of many architectures, as `plateaulens.subject.tiny` has them, and what tests do to them."""

from typing import Any

from plateaulens.subject.tiny import BLOCKS, MODEL_TYPES, VOCABULARY, tiny_config

__all__ = ["BLOCKS", "MODEL_TYPES", "VOCABULARY", "stir", "tiny_config"]


def stir(model: Any) -> Any:
    """Move all parameters a little, as training does those that start alike: biases at 0, weights of norms at 1."""
    import torch

    rng = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=0.1)
    return model
