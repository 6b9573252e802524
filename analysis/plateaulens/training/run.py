"""`train`: prompts, text, autoencoders, their quality, and the card, in this order, each kept as soon as it is made.

What is kept has a digest of everything that it depends on in its name, so that a changed recipe makes it again and the
old recipe finds it again.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from pydantic import TypeAdapter
from torch import Tensor

from plateaulens.config import PromptConfig, SaeConfig, Strict
from plateaulens.errors import reading
from plateaulens.provenance import versions
from plateaulens.subject.embedded import notice
from plateaulens.subject.model import Subject, load_subject
from plateaulens.subject.prompts import load_prompts, save_prompts
from plateaulens.subject.sae import firing_frequency, load_sae
from plateaulens.subject.weights import load_weights
from plateaulens.training.autoencoder import save, train
from plateaulens.training.card import QUALITY_FILE, write_card
from plateaulens.training.quality import measure
from plateaulens.training.recipe import PromptRecipe, SaeRecipe, TextRecipe, TrainRecipe, read_recipe
from plateaulens.training.text import cover_vocabulary, sample_text

PROMPT_LENGTH = 10
LOSS_PROMPTS = 4096
TARGET_SAMPLES = 500


@dataclass(frozen=True, eq=False)
class Corpus:
    """What the autoencoders are trained on and measured with."""

    activations: Float[Tensor, "sample d_model"]
    """Of the sampled text that is not held out."""
    tokens: Int[Tensor, " sample"]
    """The tokens that `activations` belong to."""
    inserted: Float[Tensor, "inserted d_model"]
    """Of tokens put into the sampled text, trained on beside it."""
    held_out: Float[Tensor, "token d_model"]
    prompts: Int[Tensor, "prompt position"]
    """Prompts of the experiment's own length, and the token that follows each."""


def train_recipe(path: Path, out: Path, cache: Path) -> None:
    """Follow a recipe; everything finished is kept and not done again.

    Parameters
    ----------
    path
        The recipe, a TOML file.
    out
        Where results go: `prompts/NAME.npz`, where the recipe samples them, and `saes/NAME-SITE`.
    cache
        Where everything finished is kept, in a folder of the recipe's name.
    """
    recipe = read_recipe(path)
    if (terms := notice(recipe.model.source)) is not None:
        print(terms, flush=True)
    work = cache / recipe.name
    prompts: Tensor | None = None
    if isinstance(recipe.prompts, TextRecipe):
        prompts = _text(recipe, recipe.prompts, work)
        shipped = out / "prompts" / f"{recipe.name}.npz"
        save_prompts(shipped, prompts.numpy())
        if not isinstance(recipe, TrainRecipe):
            print(f"finished: {shipped}")
            return
    assert isinstance(recipe, TrainRecipe), "prompts that ship are another recipe's"
    text = _text(recipe, recipe.text, work)
    subject = load_subject(recipe.model, recipe.sites)
    if prompts is None:
        there = PromptConfig(source=str(recipe.prompts), length=PROMPT_LENGTH + 1)
        prompts = load_prompts(there, vocabulary=subject.vocabulary).tokens
    corpus = _corpus(recipe, subject, text, prompts[:, : PROMPT_LENGTH + 1])
    places = {name: work / f"{name}-{_key(recipe, sae)}" for name, sae in recipe.saes.items()}
    for name, sae in recipe.saes.items():
        _make(name, sae, subject, corpus, places[name])
    folder = out / "saes" / f"{recipe.name}-{recipe.sites.write}"
    _ship(recipe, list(places.values()), folder)
    print(f"finished: {folder}")


def digest(*settings: Strict, **more: object) -> str:
    """What stands for some settings; a later version's new options do not change it.

    Parameters
    ----------
    *settings
        Parts of a recipe. What has its default value does not count.
    **more
        Further settings, which JSON can hold.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    content = json.dumps([*(part.model_dump(mode="json", exclude_defaults=True) for part in settings), more])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _text(recipe: PromptRecipe, text: TextRecipe, work: Path) -> Int[Tensor, "sequence position"]:
    # without their number: a longer text continues a shorter one
    key = digest(recipe.model, text.model_copy(update={"sequences": 1}))
    sequences = sample_text(lambda: load_weights(recipe.model).model, text, work / f"text-{key}.npy")
    return torch.from_numpy(sequences).long()


def _corpus(
    recipe: TrainRecipe, subject: Subject, text: Int[Tensor, "sequence position"], prompts: Int[Tensor, "p position"]
) -> Corpus:
    # the first token is the same everywhere, and its activation is no example of anything
    sampled = torch.ones_like(text, dtype=torch.bool)
    sampled[:, 0] = False
    training, held_out = text[: -recipe.held_out], text[-recipe.held_out :]
    vocabulary = subject.vocabulary
    return Corpus(
        activations=_activations(subject, training, sampled[: len(training)]),
        tokens=training[:, 1:].flatten(),
        inserted=_activations(subject, *cover_vocabulary(training, vocabulary, recipe.coverage, recipe.text.seed)),
        held_out=_activations(subject, held_out, sampled[-len(held_out) :]),
        prompts=prompts,
    )


def _activations(
    subject: Subject, tokens: Int[Tensor, "sequence position"], wanted: Bool[Tensor, "sequence position"]
) -> Float[Tensor, "sample d_model"]:
    """The write site's activations of the wanted tokens.

    In half precision, whose rounding is a ten-thousandth of what an autoencoder leaves unexplained.
    """
    parts = zip(torch.split(tokens, 1024), torch.split(wanted, 1024), strict=True)
    return torch.cat([subject.activations(part)[places].half() for part, places in parts])


def _key(recipe: TrainRecipe, sae: SaeRecipe) -> str:
    others = {"held_out": recipe.held_out, "coverage": recipe.coverage}
    if isinstance(recipe.prompts, TextRecipe):
        return digest(recipe.model, recipe.sites, recipe.prompts, recipe.text, sae, **others)
    return digest(recipe.model, recipe.sites, recipe.text, sae, prompts=recipe.prompts, **others)


def _make(name: str, recipe: SaeRecipe, subject: Subject, corpus: Corpus, folder: Path) -> None:
    """Train, save and measure one autoencoder, unless it is there already."""
    done = folder / QUALITY_FILE
    if done.exists():
        return
    print(f"training {name}", flush=True)
    metadata = {"model_name": str(subject.bridge.cfg.model_name), "hook_name": subject.write.hook}
    sae = train(recipe, corpus.activations, corpus.tokens, corpus.inserted, metadata)
    save(sae, firing_frequency(sae, corpus.activations), folder)
    # measured as it is shipped: in half precision, read back from disk
    loaded = load_sae(
        SaeConfig(source=str(folder)), width=subject.d_model, write_site=subject.write.name, blocks=subject.blocks
    )
    quality = measure(
        subject,
        loaded.sae,
        loaded.frequency,
        prompts=corpus.prompts,
        held_out=corpus.held_out,
        loss_prompts=LOSS_PROMPTS,
        samples=TARGET_SAMPLES,
        seed=recipe.seed,
    )
    done.write_text(json.dumps({"name": name, "recipe": recipe.model_dump(), "quality": quality}, indent=2) + "\n")


def _measured(path: Path) -> dict[str, Any]:
    with reading(f"{path} cannot be read", "remove it, and the autoencoder is trained again"):
        return TypeAdapter(dict[str, Any]).validate_json(path.read_bytes())


def _ship(recipe: TrainRecipe, made: Sequence[Path], folder: Path) -> None:
    """Copy the first autoencoder to `folder`, with a card that sets all of them beside each other."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in made[0].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    measured = [_measured(place / QUALITY_FILE) for place in made]
    write_card(folder, recipe, measured, versions())
