"""How a model is run, which is decided once for a model, its sites, prompts and a machine, and kept in the cache.

Deciding it runs prompts in several ways. What is kept is the decision, under everything that it depends on; the way
itself is made again from the model. A decision on which an error had a say is made anew each time.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from torch import Tensor

from plateaulens import cache, names
from plateaulens.collect.conditions import conditions, text
from plateaulens.config import ModelConfig
from plateaulens.scan.choice import PROMPTS, Choice, choose, forward_of
from plateaulens.scan.split import Precision, has_kernels
from plateaulens.subject.model import Subject

_KIND = "way"
_FILE = "way.json"
_LONGEST = 10_000
"""Characters of what speaks against the quicker ways, and of the file."""


class _Decision(BaseModel):
    """What is kept of a `Choice`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    way: str
    precision: Precision
    bridge: StrictBool
    why: str = Field(max_length=_LONGEST)


@torch.inference_mode()  # as `choose` makes ways of running
def chosen(
    subject: Subject,
    model: ModelConfig,
    tokens: Int[Tensor, "prompt position"],
    *,
    points: int,
    precision: Precision | Literal["auto"],
    way: str | None,
) -> Choice:
    """`plateaulens.scan.choice.choose`, from the cache where its decision is in it.

    Parameters
    ----------
    subject
        The model as it was read from its files, written and read at its sites.
    model
        The section of the configuration that it was loaded by.
    tokens, points, precision, way
        As `choose` takes them.

    Returns
    -------
    Choice
        The one that `choose` makes.

    Raises
    ------
    UsageError
        As `choose` does. Nothing is kept then.
    """
    tokens = tokens[:PROMPTS]
    key = {
        **conditions(subject, model, code=("subject", "scan", "scan/kernels")),
        "kernels": has_kernels(subject.device),
        "sites": [site.name for site in (subject.write, subject.read, *subject.frozen)],
        "position": subject.position,
        **text(tokens),
        "points": points,
        "asked": [precision, way],
    }
    found = _read(key, subject, way)
    if found is None:
        found = choose(subject, tokens, points=points, precision=precision, way=way)
        if found.is_certain:
            _keep(key, found)
    return found


def _keep(key: cache.Key, choice: Choice) -> None:
    kept = {
        "way": choice.way,
        "precision": choice.precision,
        "bridge": choice.subject.lens is not None,
        "why": choice.why,
    }
    content = json.dumps(kept)
    if len(content) <= _LONGEST:
        cache.keep(_KIND, key, len(content), lambda part: (part / _FILE).write_text(content, encoding="utf-8"))


def _read(key: cache.Key, subject: Subject, asked: str | None) -> Choice | None:
    """What was decided, made of the model at hand; an entry that is of no use is removed."""
    place = cache.find(_KIND, key)
    if place is None:
        return None
    try:
        found = _decision(place / _FILE)
        if found.way not in names.WAYS or asked not in (None, found.way) or not found.why.isprintable():
            raise ValueError("no decision that could have been made")  # noqa: TRY301
        if found.bridge and subject.lens is None:
            raise ValueError("no such bridge")  # noqa: TRY301
        own = subject if found.bridge else replace(subject, lens=None)
        return Choice(own, forward_of(own, found.way, found.precision), found.way, found.why, found.precision)
    except Exception:  # noqa: BLE001  removed at this moment, or not what was written, or of another model
        cache.forget(_KIND, key)
        return None


def _decision(file: Path) -> _Decision:
    with file.open("rb") as content:
        return _Decision.model_validate_json(content.read(_LONGEST + 1))
