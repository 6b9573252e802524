"""The activations of all of a run's prompts, which are computed once for a model, a site and a set of prompts.

They are kept in this machine's cache (`plateaulens.cache`) under everything that their bits depend on.
"""

from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens import cache
from plateaulens.collect.conditions import conditions, text
from plateaulens.config import ModelConfig
from plateaulens.errors import UsageError
from plateaulens.subject.model import Subject
from plateaulens.targets.fitting import Corpus

FIRST_FITTED = 3
"""The first token of a prompt whose activation types are fitted to: those in front are unlike the rest."""
MOST_FITTED = 64
"""As many tokens of a longer sequence are taken, and no fewer than prompts have: all of them would fill a memory."""
_KIND = "pool"
_FILE = "pool.safetensors"
_NAME = "activation"


def real_activations(
    subject: Subject, model: ModelConfig, tokens: Int[Tensor, "prompt position"]
) -> Float[Tensor, "prompt width"]:
    """The activations at the write site, from the cache where they are in it.

    Parameters
    ----------
    subject
        The model, written at the run's site.
    model
        The section of the configuration that it was loaded by.
    tokens
        Token ids, shaped (prompt, position).

    Returns
    -------
    Tensor
        Shaped (prompt, width), on the CPU: those of `Subject.last_activations`, bit for bit.
    """
    key = _key(subject, model, tokens)
    return _kept(key, len(tokens), subject.width, lambda: subject.last_activations(tokens).cpu())


def corpus(subject: Subject, model: ModelConfig, tokens: Int[Tensor, "prompt position"]) -> Corpus:
    """The activations of every later token of some prompts, from the cache where they are in it.

    Parameters
    ----------
    subject
        The model, written at the run's site.
    model
        The section of the configuration that it was loaded by.
    tokens
        Token ids of prompts that no base and no real target is of, shaped (prompt, position).

    Returns
    -------
    Corpus
        Of tokens from `FIRST_FITTED` on, or of the last one where prompts are shorter.

    Raises
    ------
    UsageError
        When a token is not one of the model's, or when its token embeddings are out of reach.
    """
    if subject.model is None:
        raise UsageError("types are fitted with token embeddings, which a model that was loaded this way does not show")
    unknown = tokens[(tokens < 0) | (tokens >= subject.vocabulary)]
    if len(unknown):
        raise UsageError(
            f"types are fitted to all tokens of prompts, one of which has the id {int(unknown[0])}, and the model "
            f"knows 0 to {subject.vocabulary - 1}: cut what is no text off the array"
        )
    first = _first(tokens.shape[1])
    wanted = tokens[:, first:]
    key = {**_key(subject, model, tokens), "first": first}

    def make() -> Tensor:
        parts = [subject.activations(part)[:, first:].cpu() for part in tokens.split(256)]
        return torch.cat(parts).flatten(0, 1)

    made = _kept(key, wanted.numel(), subject.width, make)
    embed: Any = subject.model.get_input_embeddings()
    with torch.no_grad():
        embedding = embed(wanted.flatten().to(subject.device)).float().cpu()
    return Corpus(made, wanted.flatten().numpy(), embedding)


def fitted_to(prompts: int, length: int) -> int:
    """How many activations the corpus of some prompts has.

    Parameters
    ----------
    prompts, length
        The shape of the tokens that `corpus` is given.

    Returns
    -------
    int
        One for each of the later tokens of each prompt.
    """
    return prompts * (length - _first(length))


def _first(length: int) -> int:
    return min(FIRST_FITTED, length - 1)


def _kept(key: cache.Key, rows: int, width: int, make: Callable[[], Tensor]) -> Tensor:
    """Activations from the cache; those that are not in it are made, and kept there."""
    if (found := _read(key, rows, width)) is not None:
        return found
    made = make()
    size = made.numel() * made.element_size()
    cache.keep(_KIND, key, size, lambda part: safetensors.torch.save_file({_NAME: made}, part / _FILE))
    return made


def _read(key: cache.Key, prompts: int, width: int) -> Tensor | None:
    place = cache.find(_KIND, key)
    if place is None:
        return None
    try:
        found = safetensors.torch.load((place / _FILE).read_bytes())[_NAME]
    except Exception:  # noqa: BLE001  removed at this moment, or nothing that safetensors wrote
        cache.forget(_KIND, key)
        return None
    return found.clone() if found.shape == (prompts, width) and found.is_floating_point() else None


def _key(subject: Subject, model: ModelConfig, tokens: Int[Tensor, "prompt position"]) -> dict[str, object]:
    site = {"site": subject.write.name, "position": subject.position}
    return {**conditions(subject, model, code=("subject",)), **site, **text(tokens)}
