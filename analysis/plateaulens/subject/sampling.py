"""Token sequences drawn from a language model: the prompts, and the text an SAE is trained on."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from plateaulens.subject.anatomy import kept_in


def sample_sequences(
    model: PreTrainedModel,
    *,
    count: int,
    length: int,
    first_token: int,
    seed: int,
    top_k: int = 200,
    temperature: float = 1.0,
    batch_size: int = 512,
    start: int = 0,
) -> Iterator[NDArray[np.int32]]:
    """Yield batches of sequences sampled from a language model.

    Every sequence starts with `first_token`; each further token is drawn from the `top_k` most likely ones at the given
    `temperature`. Batch `i` depends on `(seed, i)` and `batch_size` alone, so a run that stopped can go on at `start=i`
    with the same result, and more sequences extend fewer. The arithmetic is the model's own dtype; a draw can therefore
    differ between machines where two logits differ by rounding.

    Parameters
    ----------
    model
        The language model, on the device and in the dtype that it is to sample with.
    count
        Number of sequences in all, those of batches before `start` included.
    length
        Tokens of a sequence, the first one included.
    first_token
        Id of the token that every sequence starts with.
    seed
        Seed of all draws.
    top_k
        How many of the most likely tokens one is drawn from; all of them where the vocabulary is smaller.
    temperature
        What logits are divided by before a draw.
    batch_size
        Sequences that are sampled at once.
    start
        Number of the first batch that is sampled.

    Yields
    ------
    NDArray
        Token ids shaped (batch, length); of the last batch only as many sequences as make up `count`.

    Raises
    ------
    ValueError
        For a count, length, top_k, batch_size or temperature that is not positive, when the first batch is asked for.
    """
    if min(count, length, top_k, batch_size) < 1 or temperature <= 0:
        raise ValueError(
            f"count, length, top_k, batch_size and temperature must be positive, "
            f"got {count}, {length}, {top_k}, {batch_size}, {temperature}"
        )
    for index in range(start, -(-count // batch_size)):
        state = int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])
        generator = torch.Generator(device=model.device).manual_seed(state)
        tokens = _sample_batch(
            model, (batch_size, length), generator, first_token=first_token, top_k=top_k, temperature=temperature
        )
        # the last batch is drawn whole and cut: the size of a batch changes its draws
        tokens = tokens[: count - index * batch_size]
        yield cast("NDArray[np.int32]", tokens.cpu().numpy().astype(np.int32))


@torch.inference_mode()
def _sample_batch(
    model: PreTrainedModel,
    shape: tuple[int, int],
    generator: torch.Generator,
    *,
    first_token: int,
    top_k: int,
    temperature: float,
) -> Int[Tensor, "size length"]:
    tokens = torch.empty(shape, dtype=torch.long, device=model.device)
    tokens[:, 0] = first_token
    kept = kept_in(model, DynamicCache(config=model.config))
    for position in range(1, shape[1]):
        output = model(input_ids=tokens[:, position - 1 : position], use_cache=True, **kept)
        # topk rather than nucleus sampling: a full sort of the vocabulary costs ten times as much
        logits, ids = (output.logits[:, -1].float() / temperature).topk(min(top_k, model.config.vocab_size))
        choice = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        tokens[:, position] = ids.gather(1, choice)[:, 0]
    return tokens
