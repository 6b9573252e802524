"""`train`: prompts, text, autoencoders, their quality, and the card, in this order, each kept as soon as it is made."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.provenance import versions
from plateaulens.subject.model import Subject, load_subject, load_weights
from plateaulens.subject.prompts import save_prompts
from plateaulens.subject.sae import load_sae
from plateaulens.training.autoencoder import save, train
from plateaulens.training.card import QUALITY_FILE, write_card
from plateaulens.training.quality import firing_frequency, measure
from plateaulens.training.recipe import SaeRecipe, TextRecipe, TrainRecipe, read_recipe
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
    """Follow a recipe. Everything finished is kept in `cache` and not done again; results go to `out`."""
    recipe = read_recipe(path)
    work = cache / recipe.name
    prompts = _text(recipe, recipe.prompts, work / "prompts.npy")
    save_prompts(out / "prompts" / f"{recipe.name}.npz", prompts.numpy())
    text = _text(recipe, recipe.text, work / "text.npy")
    subject = load_subject(recipe.model, recipe.sites)
    corpus = _corpus(recipe, subject, text, prompts[:, : PROMPT_LENGTH + 1])
    for name, sae_recipe in {"shipped": recipe.sae, **recipe.compared}.items():
        _make(name, sae_recipe, subject, corpus, work / name)
    folder = out / "saes" / f"{recipe.name}-{recipe.sites.write}"
    _ship(recipe, work, folder)
    print(f"finished: {folder}")


def _text(recipe: TrainRecipe, text: TextRecipe, cache: Path) -> Int[Tensor, "sequence position"]:
    return torch.from_numpy(sample_text(lambda: load_weights(recipe.model).model, text, cache)).long()


def _corpus(
    recipe: TrainRecipe, subject: Subject, text: Int[Tensor, "sequence position"], prompts: Int[Tensor, "p position"]
) -> Corpus:
    # the first token is the same everywhere, and its activation is no example of anything
    sampled = torch.ones_like(text, dtype=torch.bool)
    sampled[:, 0] = False
    training, held_out = text[: -recipe.held_out], text[-recipe.held_out :]
    vocabulary = int(subject.bridge.cfg.d_vocab)
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


def _make(name: str, recipe: SaeRecipe, subject: Subject, corpus: Corpus, folder: Path) -> None:
    """Train, save and measure one autoencoder, unless the same one is there already."""
    done = folder / QUALITY_FILE
    if done.exists() and json.loads(done.read_text())["recipe"] == recipe.model_dump():
        return
    metadata = {"model_name": str(subject.bridge.cfg.model_name), "hook_name": subject.write.name}
    sae = train(recipe, corpus.activations, corpus.tokens, corpus.inserted, metadata)
    save(sae, firing_frequency(sae, corpus.activations), folder)
    # measured as it is shipped: in half precision, read back from disk
    loaded = load_sae(
        SaeConfig(source=str(folder)), d_model=subject.d_model, write_site=subject.write.name, blocks=subject.blocks
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


def _ship(recipe: TrainRecipe, work: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in (work / "shipped").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    measured = [json.loads((work / name / QUALITY_FILE).read_text()) for name in ("shipped", *recipe.compared)]
    write_card(folder, recipe, measured, versions())
