"""The proof before a run that packed points give what whole prompts give, on the very model and machine."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.scan.engine import Forward
from plateaulens.subject.model import Subject

TOLERANCE = 1e-3
"""Largest difference that passes for rounding, as a share of the largest effect. It is a thousand times what float32
gives in small models; an attention that is packed wrongly differs by a hundredth at least."""
SCALES = (0.0, 0.5, -1.0)
"""The points: the last token's activation, moved by so much of another prompt's."""


@torch.inference_mode()
def check_packing(subject: Subject, forward: Forward, tokens: Int[Tensor, "prompt position"]) -> None:
    """Compare a way of running a model with whole copies of two prompts, at the read site and in the log-probabilities.

    Parameters
    ----------
    subject
        The model, which runs the whole prompts.
    forward
        The way that is checked.
    tokens
        The prompts, shaped (prompt, position); the first two of them are used, or the only one.

    Raises
    ------
    UsageError
        That names the architecture, when they differ by more than `TOLERANCE` of the largest effect.
    """
    tokens = tokens[:2].to(subject.device)
    last = subject.last_activations(tokens)
    # two prompts may be the same, and a tiny model's activations small: the norm is what a point is moved by then
    away = last.flip(0) + torch.linspace(-1, 1, last.shape[1], device=last.device) * last.norm(dim=1, keepdim=True)
    scales = torch.tensor(SCALES, device=last.device)[:, None]
    points = torch.stack([a + scales * (b - a) for a, b in zip(last, away, strict=True)])[:, None]
    packed = forward.run(tokens, points)
    whole_read, whole_logits = _plain(subject, tokens, points[:, 0])
    read = packed.read[:, 0]
    logits = torch.stack([forward.unembed(rows) for rows in packed.final[:, 0]])
    _compare(subject, "the read site", read, whole_read)
    _compare(subject, "the log-probabilities", logits.log_softmax(-1), whole_logits.log_softmax(-1))


def _plain(
    subject: Subject, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt step d_model"]
) -> tuple[Float[Tensor, "prompt step d_model"], Float[Tensor, "prompt step vocabulary"]]:
    """The whole prompt, copied for every point: no packing, no positions given, no mask."""
    kept: dict[str, Tensor] = {}
    shape = points.shape[:2]

    def write(stream: Tensor, hook: Any) -> Tensor:  # noqa: ARG001  passed by name
        return torch.cat([stream[:, :-1], points.flatten(0, 1)[:, None]], dim=1)

    def keep(stream: Tensor, hook: Any) -> None:  # noqa: ARG001
        kept["read"] = stream[:, -1].clone()

    logits = subject.bridge.run_with_hooks(
        tokens.repeat_interleave(shape[1], dim=0), fwd_hooks=[(subject.write.name, write), (subject.read.name, keep)]
    )
    return kept["read"].unflatten(0, shape), logits[:, -1].unflatten(0, shape)


def _compare(subject: Subject, where: str, packed: Tensor, whole: Tensor) -> None:
    effect = (whole - whole[:, :1]).abs().amax()
    difference = (packed - whole).abs().amax()
    if not difference <= TOLERANCE * effect:  # NaN is a difference
        name = getattr(subject.bridge.original_model.config, "model_type", "unknown")
        raise UsageError(
            f"model type {name!r} cannot be measured: at {where}, packed steps differ from whole prompts by "
            f"{float(difference / effect):.2g} of the effect; GPT-2, GPT-NeoX, Llama, Qwen3 and Gemma 3 do not"
        )
