"""Whole prompts: transformers' own model, with every point in the place of what passes the write site.

It is right for every causal model that transformers can load, as nothing about the model needs to be known: not how
attention weighs distances, nor what it carries from token to token. The other ways are held against it before a run.
What precedes the perturbed token is the same for all points, and is kept in the model's own cache where that gives the
same numbers; else it is computed again for each point.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from plateaulens.scan.engine import Response
from plateaulens.subject.anatomy import find_blocks, reading_sites, run, writing_site
from plateaulens.subject.copies import shared_copy
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import Site

TOKENS_AT_ONCE = 2048
"""Tokens that go through the model together, in as many copies of a prompt as there is room for."""


class WholeForward:
    """Runs the published model, one copy of a prompt for each point.

    Parameters
    ----------
    subject
        One with a `model`, which is left as it is.
    cached
        Whether the tokens before the perturbed one are computed once for all points of a prompt.
    """

    concurrent = False  # the hooks of one run would see another one

    def __init__(self, subject: Subject, *, cached: bool) -> None:
        assert subject.model is not None
        self._subject, self._model, self.cached = subject, subject.model, cached
        self._holders = _holders(subject.model)
        self._head: _Head | None = None
        self.reads: tuple[Site, ...] = (subject.read,)

    @torch.inference_mode()
    def run(self, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt path step width"]) -> Response:
        """As many copies at once as `TOKENS_AT_ONCE` allows. See `plateaulens.scan.engine.Forward.run`."""
        shape = points.shape[1:3]
        parts = [self._prompt(prompt, own.flatten(0, 1)) for prompt, own in zip(tokens, points, strict=True)]
        final, read, *further = (torch.stack(part).unflatten(1, shape) for part in zip(*parts, strict=True))
        return Response(read, final, tuple(further))

    @torch.inference_mode()
    def unembed(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """By all that the model does after its last norm. See `plateaulens.scan.engine.Forward.unembed`."""
        assert self._head is not None, "what has not been run has no output"
        return self._head(final)

    def _prompt(
        self, prompt: Int[Tensor, " position"], points: Float[Tensor, "point width"]
    ) -> list[Float[Tensor, "point width"]]:
        """The last norm's output and the read sites at the end of a prompt, for each point."""
        subject = self._subject
        position = range(len(prompt))[subject.position]
        start = position if self.cached else 0
        kept = None
        if start:
            kept = _new_cache(self._model)
            run(self._model, prompt[None, :start], kept)
        rows = max(1, TOKENS_AT_ONCE // (len(prompt) - start))
        clean = self._clean(prompt[None, start:], None if kept is None else _repeated(kept, 1))
        found = []
        for part in points.split(rows):
            sequences = prompt[None, start:].expand(len(part), -1)
            cache = None if kept is None else _repeated(kept, len(part))
            found.append(self._run(sequences, part, position - start, cache, clean))
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    def _clean(
        self, sequence: Int[Tensor, "1 token"], cache: Any
    ) -> tuple[tuple[Site, Float[Tensor, "1 token d_model"]], ...]:
        """What the frozen parts add to the stream in the unperturbed prompt."""
        frozen = self._subject.frozen
        if not frozen:
            return ()
        with reading_sites(self._subject.anatomy, dict(enumerate(frozen))) as kept:
            run(self._model, sequence, cache)
        return tuple((site, kept[number]) for number, site in enumerate(frozen))

    def _run(
        self,
        sequences: Int[Tensor, "point token"],
        points: Float[Tensor, "point width"],
        position: int,
        cache: Any,
        clean: Sequence[tuple[Site, Float[Tensor, "1 token d_model"]]],
    ) -> list[Float[Tensor, "point width"]]:
        subject, anatomy = self._subject, self._subject.anatomy
        outputs: dict[str, Any] = {}

        def put(passing: Float[Tensor, "point token width"]) -> Float[Tensor, "point token width"]:
            changed = passing.clone()
            changed[:, position] = points.to(passing.dtype)
            return changed

        with ExitStack() as stack:
            for name in self._holders:
                module = self._model.get_submodule(name)
                stack.callback(module.register_forward_hook(partial(_keep, outputs, name)).remove)
            stack.enter_context(writing_site(anatomy, subject.write, put))
            for site, held in clean:
                stack.enter_context(writing_site(anatomy, site, held.expand_as))
            own = {number: site for number, site in enumerate(self.reads) if site.place != "final"}
            kept = stack.enter_context(reading_sites(anatomy, own))
            logits = run(self._model, sequences, cache).logits[:, -1]
        holder = next(name for name in self._holders if name in outputs)
        final: Tensor = outputs[holder][0][:, -1]
        if self._head is None:
            self._head = _Head(self._model, holder, outputs[holder], final, logits)
        read = (kept[number][:, -1] if number in kept else final for number in range(len(self.reads)))
        return [final.float(), *(each.float() for each in read)]


class _Head:
    """What a model does with its last norm's output: unembedding, and factors or caps on logits where it has some.

    The model's own code runs, with a module in the place of its blocks that returns what it is given.
    """

    def __init__(self, model: PreTrainedModel, holder: str, output: Any, final: Tensor, logits: Tensor) -> None:
        self._given = _Given(output)
        self._model = shared_copy(model)
        self._model.set_submodule(holder, self._given)
        again = self(final)
        assert torch.allclose(again, logits.float(), rtol=1e-4, atol=1e-4 * float(logits.abs().amax())), (
            "the model makes other logits of its last norm's output than of a prompt"
        )

    def __call__(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        self._given.final = final[None].to(self._given.dtype)
        ids = torch.zeros((1, len(final)), dtype=torch.long, device=final.device)
        logits: Tensor = self._model(input_ids=ids, use_cache=False).logits[0]
        return logits.float()


class _Given(nn.Module):
    """Returns an output of the kind that a model's blocks return, with another content."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self._kind, self._others = type(output), dict.fromkeys(list(output.keys())[1:])
        self.dtype = output[0].dtype
        self.final: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        return self._kind(self.final, **self._others)


def _keep(outputs: dict[str, Any], name: str, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG001
    outputs[name] = output


def _holders(model: PreTrainedModel) -> list[str]:
    """The modules that have the blocks within them, the outermost first: one of them is what the unembedding reads."""
    first = find_blocks(model)[0]
    names = [name for name, module in model.named_modules() if name and any(each is first for each in module.modules())]
    return [name for name in names if not isinstance(model.get_submodule(name), nn.ModuleList)][:-1]


def _new_cache(model: PreTrainedModel) -> Any:
    return DynamicCache(config=model.config)


def _repeated(cache: Any, rows: int) -> Any:
    """A cache of one row for several, which a run may add to.

    Not every kind of cache can repeat itself (those of recurrent layers cannot), but all of them hold tensors whose
    first dimension is the row.
    """
    several = {id(each): each.repeat_interleave(rows, dim=0) for each in _tensors(cache, set())}
    return copy.deepcopy(cache, several)


def _tensors(holder: Any, seen: set[int]) -> Iterator[Tensor]:
    """The tensors of one row that an object holds, however deep."""
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if isinstance(holder, Tensor):
        if holder.ndim and holder.shape[0] == 1:
            yield holder
        return
    inner = holder.values() if isinstance(holder, dict) else holder if isinstance(holder, list | tuple) else None
    for each in vars(holder).values() if inner is None and hasattr(holder, "__dict__") else inner or ():
        yield from _tensors(each, seen)
