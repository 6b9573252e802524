"""Text sampled from the model, kept on disk as it grows so that a stopped run goes on where it was."""

import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from plateaulens.errors import reading
from plateaulens.subject.sampling import sample_sequences
from plateaulens.training.recipe import TextRecipe

BATCHES_PER_SAVE = 16
SPACING = 3
"""Distance between replaced tokens of a sequence."""


def sample_text(load: Callable[[], PreTrainedModel], recipe: TextRecipe, cache: Path) -> NDArray[np.int32]:
    """The sequences of a recipe, continuing what is there already.

    Since each batch depends on the seed and its own number alone, a recipe with more sequences extends the text of one
    with fewer.

    Parameters
    ----------
    load
        Loads the model; called only when something is missing.
    recipe
        How the text is sampled.
    cache
        An `.npy` file of sequences; it is replaced whole after every few batches, never appended to.

    Returns
    -------
    NDArray
        Token ids shaped (sequence, position), int32.
    """
    done = _read(cache, recipe.length) if cache.exists() else np.empty((0, recipe.length), np.int32)
    if len(done) >= recipe.sequences:
        return done[: recipe.sequences].astype(np.int32)
    start = len(done) // recipe.batch_size
    parts = [done[: start * recipe.batch_size]]
    model = load().to(getattr(torch, recipe.dtype))
    batches = sample_sequences(
        model,
        count=recipe.sequences,
        length=recipe.length,
        first_token=recipe.first_token,
        seed=recipe.seed,
        top_k=recipe.top_k,
        temperature=recipe.temperature,
        batch_size=recipe.batch_size,
        start=start,
    )
    with tqdm(total=recipe.sequences, initial=len(parts[0]), unit="seq", desc="sampling text", disable=None) as bar:
        while fresh := list(itertools.islice(batches, BATCHES_PER_SAVE)):
            parts += fresh
            bar.update(sum(map(len, fresh)))
            _replace(cache, np.concatenate(parts))
    return np.concatenate(parts)[: recipe.sequences]


def cover_vocabulary(
    text: Int[Tensor, "sequence position"], vocabulary: int, coverage: int, seed: int
) -> tuple[Int[Tensor, "inserted position"], Bool[Tensor, "inserted position"]]:
    """Sampled sequences with some tokens replaced, each token of the vocabulary `coverage` times, and where.

    Sampled text hardly ever holds a rare token, and prompts hold one now and then: an autoencoder that never saw it
    reconstructs it badly. Every third token of a sequence is replaced, so that each keeps a sampled neighbourhood. The
    few replacements that would not fill a last sequence are left out.

    Parameters
    ----------
    text
        Sampled token ids, shaped (sequence, position).
    vocabulary
        Number of token ids, from 0.
    coverage
        How often each of them is put into a sequence.
    seed
        What the order of the tokens and the choice of sequences follow from.

    Returns
    -------
    tuple of Tensor
        Token ids and, of the same shape (inserted, position), which of them have been replaced.
    """
    generator = torch.Generator().manual_seed(seed)
    width = text.shape[1]
    places = torch.arange(width) % SPACING == SPACING - 1
    per_sequence = int(places.sum())
    orders = [torch.randperm(vocabulary, generator=generator) for _ in range(coverage)]
    wanted = torch.cat(orders) if orders else torch.empty(0, dtype=torch.long)
    wanted = wanted[: len(wanted) - len(wanted) % per_sequence].view(-1, per_sequence)
    rows = torch.randint(len(text), (len(wanted),), generator=generator)
    sequences = text[rows].clone()
    sequences[:, places] = wanted
    return sequences, places.expand(len(sequences), width)


def _read(path: Path, length: int) -> NDArray[np.int32]:
    with reading(f"sampled text {path} cannot be read", "remove it, and it is sampled again"):
        found = np.load(path, mmap_mode="r")  # what is longer than its file is refused so
        if found.ndim != 2 or found.shape[1] != length or found.dtype != np.int32:
            raise ValueError(f"{found.dtype} {found.shape}, wanted int32 (sequence, {length})")
        return np.array(found)


def _replace(path: Path, tokens: NDArray[np.int32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".npy", delete=False) as partial:
        np.save(partial, tokens)
    Path(partial.name).replace(path)
