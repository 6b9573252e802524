"""The published model alone, a whole prompt copied once per point, with one hook at the very module of a site."""

from typing import Any

import torch
from torch import Tensor, nn


def module_at(model: Any, block: int, place: str) -> nn.Module:
    """The module whose output (for `z`: whose input) a site is, in the architectures that tests look into."""
    layers = {
        "gpt2": "transformer.h",
        "gpt_neox": "gpt_neox.layers",
    }.get(model.config.model_type, "model.layers")
    layer = model.get_submodule(layers)[block]
    post_norms = model.config.model_type in {"gemma2", "gemma3_text", "olmo2"}
    attention = next(getattr(layer, name) for name in ("self_attn", "attn", "attention") if hasattr(layer, name))
    projection = next(getattr(attention, name) for name in ("o_proj", "c_proj", "dense") if hasattr(attention, name))
    found: dict[str, nn.Module] = {
        "post": layer,
        "attn_out": layer.post_attention_layernorm if post_norms else attention,
        "mlp_out": layer.post_feedforward_layernorm if post_norms else layer.mlp,
        "z": projection,
    }
    return found[place]


def plain_points(
    model: Any, tokens: Tensor, points: Tensor, *, block: int, place: str, read: int, position: int = -1
) -> tuple[Tensor, Tensor]:
    """Stream after block `read` and log-probabilities at the end of one prompt, for each point (point, width)."""
    kept: dict[str, Tensor] = {}

    def changed(passing: Tensor) -> Tensor:
        passing = passing.clone()
        passing[:, position] = points
        return passing

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        return (changed(output[0]), *output[1:]) if isinstance(output, tuple) else changed(output)

    def before(module: nn.Module, args: Any) -> Any:
        return (changed(args[0]), *args[1:])

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        kept["read"] = (output[0] if isinstance(output, tuple) else output)[:, -1]

    module = module_at(model, block, place)
    handles = [
        module.register_forward_pre_hook(before) if place == "z" else module.register_forward_hook(after),
        module_at(model, read, "post").register_forward_hook(keep),
    ]
    try:
        with torch.inference_mode():
            logits = model(input_ids=tokens.expand(len(points), -1), use_cache=False).logits[:, -1]
    finally:
        for handle in handles:
            handle.remove()
    return kept["read"], logits.log_softmax(-1)


def passing(model: Any, tokens: Tensor, *, block: int, place: str) -> Tensor:
    """What passes a site for every token of some prompts."""
    kept: list[Tensor] = []
    module = module_at(model, block, place)
    if place == "z":
        handle = module.register_forward_pre_hook(lambda module, args: kept.append(args[0]))  # noqa: ARG005
    else:
        handle = module.register_forward_hook(
            lambda module, args, output: kept.append(output[0] if isinstance(output, tuple) else output)  # noqa: ARG005
        )
    try:
        with torch.inference_mode():
            model(input_ids=tokens, use_cache=False)
    finally:
        handle.remove()
    return kept[0]
