"""What is timed: paths from the last activations of prompts to those of other prompts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.scan import walk as paths
from plateaulens.scan.engine import Forward, PathCurves
from plateaulens.scan.walk import PromptsPerBatch, walk
from plateaulens.subject.model import Subject


@dataclass(frozen=True)
class Size:
    """How much work: every sample is a prompt of `length` tokens with a path to each of `types` targets."""

    samples: int
    types: int
    steps: int
    length: int

    @property
    def points(self) -> int:
        """Points that the model is run on."""
        return self.samples * self.types * self.steps


@dataclass(frozen=True, eq=False)
class Work:
    """Prompts and the two ends of every path."""

    size: Size
    tokens: Int[Tensor, "prompt position"]
    start: Float[Tensor, "prompt path d_model"]
    end: Float[Tensor, "prompt path d_model"]

    def first(self, samples: int) -> "Work":
        """The work of the first prompts.

        Parameters
        ----------
        samples
            How many; all of them where there are fewer.

        Returns
        -------
        Work
            Over the same memory.
        """
        size = replace(self.size, samples=min(samples, self.size.samples))
        return Work(size, self.tokens[:samples], self.start[:samples], self.end[:samples])

    def points(self, prompt: int) -> Float[Tensor, "path step d_model"]:
        """All points of one prompt.

        Parameters
        ----------
        prompt
            Its place among the samples.

        Returns
        -------
        Float[Tensor, "path step d_model"]
            From start to end.
        """
        return paths.relative(self.start[prompt], self.end[prompt], self.size.steps)


def make_work(subject: Subject, size: Size, tokens: Int[Tensor, "prompt position"] | None = None) -> Work:
    """The work of a size, the same at every call.

    Parameters
    ----------
    subject
        The model.
    size
        How much work.
    tokens
        The prompts, at least as many as samples and types; without them they are random tokens, which take as long as
        any.

    Returns
    -------
    Work
        On the CPU.
    """
    prompts = size.samples + size.types
    if tokens is None:
        rng = torch.Generator().manual_seed(0)
        tokens = torch.randint(0, int(subject.bridge.cfg.d_vocab), (prompts, size.length), generator=rng)
    activation = subject.last_activations(tokens[:prompts]).cpu()
    others = torch.arange(size.samples)[:, None] + torch.arange(1, size.types + 1)
    start, end = activation[: size.samples, None], activation[others]
    return Work(size, tokens[: size.samples], start.expand_as(end), end)


def engine(subject: Subject, forward: Forward, work: Work) -> list[PathCurves]:
    """The work as `collect` does it, cut and spread in the same way.

    Parameters
    ----------
    subject
        The model.
    forward
        How it is run.
    work
        What to do.

    Returns
    -------
    list of PathCurves
        On the CPU, in the order of the prompts.
    """
    curves = walked(subject, forward, work)
    return [PathCurves(measured.curve.cpu(), measured.top_token.cpu()) for measured in curves]


def walked(subject: Subject, forward: Forward, work: Work, at_once: PromptsPerBatch = "auto") -> Iterator[PathCurves]:
    """The curves of the work as they come, left where the model is.

    Parameters
    ----------
    subject
        The model.
    forward
        How it is run.
    work
        What to do.
    at_once
        Prompts in a batch, see `plateaulens.scan.walk.prompts_per_batch`.

    Yields
    ------
    PathCurves
        Of the prompts of one batch.
    """

    def make_path(start: Tensor, end: Tensor) -> Tensor:
        return paths.relative(start, end, work.size.steps)

    yield from walk(forward, work.tokens, work.start, work.end, make_path, device=subject.device, at_once=at_once)
