"""A language model with weights set by hand: its plateaus and the distances of its blow-ups follow from the weights.

The residual stream is made of mirrored pairs (x, -x), so that its mean is 0, and one pair is so large that the layer
normalisation divides by nearly the same number everywhere. The first pair of a point is its *signal*. The only block
after the write site adds `JUMP` to the last pair where the signal is positive and nothing where it is negative, within
a ramp far narrower than any step taken here; attention and every other weight are 0. So the stream at the read site is
the point itself, plus a jump where a path crosses the plane "signal = 0"; and the next token depends on the jump alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.conftest import tiny_tokenizer

PAIRS = 8
D_MODEL = 2 * PAIRS
SIGNAL, CONSTANT, OUTPUT = 0, PAIRS - 2, PAIRS - 1
"""Which pair is which; the others hold data that nothing reads."""

JUMP = 60.0
"""Distance that the read site jumps by."""

SCALE = 200.0
"""The large pair, next to which the others are small."""

STEEPNESS = 1e5
"""Of the gate, in its input; a step changes the gate's input by more than 1e-3, its ramp is 4 / `STEEPNESS` wide."""

WORDS = 100
WRITE, READ = "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post"


def embeddings() -> NDArray[np.float64]:
    """One activation per word, (word, d_model): half of the words at signals of 4 to 8, half at -8 to -4."""
    rng = np.random.default_rng(11)
    pairs = np.zeros((WORDS + 1, PAIRS))
    sign = np.where(np.arange(WORDS + 1) % 2, 1.0, -1.0)
    pairs[:, SIGNAL] = sign * rng.uniform(4, 8, WORDS + 1)
    pairs[:, SIGNAL + 1 : CONSTANT] = rng.normal(0, 1.5, (WORDS + 1, CONSTANT - SIGNAL - 1))
    pairs[:, CONSTANT] = SCALE
    return mirrored(pairs)


def mirrored(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points (..., d_model) whose pairs (x, -x) have these x (..., pair)."""
    return np.stack([pairs, -pairs], axis=-1).reshape(*pairs.shape[:-1], -1)


def signal(point: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the gate reads of points (..., d_model)."""
    return (point[..., 2 * SIGNAL].astype(np.float64) - point[..., 2 * SIGNAL + 1]) / 2


def crossing(start: NDArray[np.floating], end: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where the line through two points crosses the plane, in units of their distance; infinity where it never does."""
    before, after = signal(start), signal(end)
    share = np.divide(before, before - after, out=np.full(before.shape, np.inf), where=before != after)
    return np.where(share > 0, share, np.inf)


def write_model(folder: Path) -> None:
    """The model as a hub repository holds it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=WORDS + 1,
        n_positions=16,
        n_embd=D_MODEL,
        n_layer=2,
        n_head=2,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model: Any = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        transformer = model.transformer
        transformer.wte.weight.copy_(torch.from_numpy(embeddings()))
        mlp = transformer.h[1].mlp
        # gelu(z + 2) - gelu(z - 2) rises from 0 to 4 around z = 0
        for neuron, (shift, sign) in enumerate([(2.0, 1.0), (-2.0, -1.0)]):
            mlp.c_fc.weight[2 * SIGNAL, neuron] = STEEPNESS / 2
            mlp.c_fc.weight[2 * SIGNAL + 1, neuron] = -STEEPNESS / 2
            mlp.c_fc.bias[neuron] = shift
            mlp.c_proj.weight[neuron, 2 * OUTPUT] = sign * JUMP / np.sqrt(2) / 4
            mlp.c_proj.weight[neuron, 2 * OUTPUT + 1] = -sign * JUMP / np.sqrt(2) / 4
        model.lm_head.weight[0, 2 * OUTPUT] = 20.0
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "w0"})
    tokenizer.save_pretrained(folder)


def write_sae(folder: Path) -> None:
    """An SAE that loses nothing: for every data pair one latent of each sign, and the large pair as the bias.

    The bias has a signal too, lest a target without an active signal latent lie exactly on the plane.
    """
    import torch
    from sae_lens import SAE
    from safetensors.torch import save_file

    data = np.eye(PAIRS)[:CONSTANT]
    directions = torch.from_numpy(mirrored(np.concatenate([data, -data])) / np.sqrt(2)).float()
    sae: Any = SAE.from_dict(
        {
            "architecture": "standard",
            "d_in": D_MODEL,
            "d_sae": len(directions),
            "apply_b_dec_to_input": True,
            "metadata": {"hook_name": WRITE, "model_name": "toy"},
        }
    )
    with torch.no_grad():
        sae.W_dec.copy_(directions)
        sae.W_enc.copy_(directions.T)
        sae.b_enc.zero_()
        sae.b_dec.copy_(torch.from_numpy(mirrored(SCALE * np.eye(PAIRS)[CONSTANT] - 0.5 * np.eye(PAIRS)[SIGNAL])))
    sae.save_model(folder)
    frequency = torch.linspace(0.3, 0.6, len(directions))
    save_file({"sparsity": torch.log10(frequency + 1e-10)}, folder / "sparsity.safetensors")


def write_prompts(path: Path) -> None:
    """A prompt for every word but the first, which the prompts start with and end on another of."""
    tokens = np.zeros((WORDS, 3), dtype=np.int64)
    tokens[:, -1] = np.arange(1, WORDS + 1)
    np.savez(path, tokens=tokens)
