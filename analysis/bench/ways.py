"""Two other ways to do the same work, with what their libraries offer: the ones to be faster than."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from bench.work import Work
from plateaulens.scan.direct import VERIFIED
from plateaulens.scan.metrics import divergences, l2
from plateaulens.scan.outputs import Reference
from plateaulens.subject.anatomy import kept_in
from plateaulens.subject.model import Subject

Measure = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From a prompt's tokens and the points of a path to the read site's activations and the logits."""


@torch.inference_mode()
def plain(subject: Subject, work: Work) -> Float[Tensor, "prompt path step metric"]:
    """The whole prompt copied once per step, one path at a time, every activation of the model cached.

    That is how the notebooks of the field do it, with TransformerLens.

    Parameters
    ----------
    subject
        The model.
    work
        What to do.

    Returns
    -------
    Float[Tensor, "prompt path step metric"]
        Curves of L2, KL and JS.
    """
    return _each_path(work, lambda tokens, points: _plain_path(subject, tokens, points), subject.device)


@torch.inference_mode()
def cached_prefix(subject: Subject, work: Work) -> Float[Tensor, "prompt path step metric"]:
    """The prompt but for its last token computed once, then every step of a path decoded as one token of a batch.

    That is how one would do it with transformers: its key-value cache, handed to every step, and a hook that puts the
    points into the stream.

    Parameters
    ----------
    subject
        The model.
    work
        What to do.

    Returns
    -------
    Float[Tensor, "prompt path step metric"]
        Curves of L2, KL and JS.
    """
    model = subject.model
    assert model is not None, "there is no model beside the bridge"

    def measure(tokens: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        return _decode(subject, model, tokens, points)

    return _each_path(work, measure, subject.device)


def _each_path(work: Work, measure: Measure, device: torch.device) -> Float[Tensor, "prompt path step metric"]:
    curves = []
    for prompt, tokens in enumerate(work.tokens.to(device)):
        for points in work.points(prompt).to(device):
            read, logits = measure(tokens, points)
            others = divergences(logits, Reference(logits[0]), ("kl", "js"))
            curves.append(torch.cat([l2.measure(read, read[0])[:, None], others], dim=-1).cpu())
    stacked = torch.stack(curves)
    result: Tensor = stacked.unflatten(0, (work.size.samples, work.size.types))
    return result


def _plain_path(
    subject: Subject, tokens: Int[Tensor, " position"], points: Float[Tensor, "step d_model"]
) -> tuple[Float[Tensor, "step d_model"], Float[Tensor, "step vocabulary"]]:
    def write(stream: Tensor, hook: Any) -> Tensor:  # noqa: ARG001  passed by name
        stream = stream.clone()
        stream[:, -1] = points
        return stream

    bridge: Any = subject.bridge
    with bridge.hooks(fwd_hooks=[(subject.write.name, write)]):
        logits, cache = bridge.run_with_cache(tokens.expand(len(points), -1))
    return cache[subject.read.name][:, -1], logits[:, -1]


def _decode(
    subject: Subject, model: PreTrainedModel, tokens: Int[Tensor, " position"], points: Float[Tensor, "step d_model"]
) -> tuple[Float[Tensor, "step d_model"], Float[Tensor, "step vocabulary"]]:
    prefix: Any = DynamicCache(config=model.config)
    model(tokens[None, :-1], use_cache=True, **kept_in(model, prefix))
    steps = len(points)
    expanded = [
        (layer.keys.expand(steps, -1, -1, -1), layer.values.expand(steps, -1, -1, -1)) for layer in prefix.layers
    ]
    blocks = getattr(model.base_model, VERIFIED[model.config.model_type].blocks)
    kept: dict[str, Tensor] = {}

    def write(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ARG001
        return (points[:, None], *inputs[1:])

    def keep(module: Any, inputs: Any, output: Tensor) -> None:  # noqa: ARG001
        kept["read"] = output[:, 0]

    hooks = [
        blocks[subject.write.boundary].register_forward_pre_hook(write),
        blocks[subject.read.boundary - 1].register_forward_hook(keep),
    ]
    try:
        last = tokens[-1:].expand(steps, 1)
        logits = model(last, use_cache=True, **kept_in(model, DynamicCache(expanded))).logits
    finally:
        for hook in hooks:
            hook.remove()
    return kept["read"], logits[:, 0]
