"""The card of a shipped autoencoder: what it is, what it was made from, how good it is, and what it was chosen over."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from plateaulens.training.recipe import SaeRecipe, TextRecipe, TrainRecipe

QUALITY_FILE = "quality.json"
COLUMNS = {
    "fraction_of_variance_unexplained": ("variance unexplained", "{:.4f}"),
    "mean_l0": ("active latents", "{:.1f}"),
    "silent_share": ("silent", "{:.1%}"),
    "loss_recovered": ("loss recovered", "{:.2%}"),
    "top_latent_share": ("top latent's share", "{:.1%}"),
    "cosine_to_top": ("cosine to top", "{:.3f}"),
    "norm_reconstruction": ("norm, reconstruction", "{:.2f}"),
    "norm_baseline": ("norm, baseline", "{:.2f}"),
    "norm_structured": ("norm, structured", "{:.2f}"),
    "norm_bag": ("norm, bag", "{:.2f}"),
    "path_baseline": ("path, baseline", "{:.2f}"),
    "path_structured": ("path, structured", "{:.2f}"),
    "path_bag": ("path, bag", "{:.2f}"),
}
LIMITS: dict[str, tuple[float, float]] = {
    "fraction_of_variance_unexplained": (0, 0.03),
    "mean_l0": (15, 40),
    "silent_share": (0, 0.10),
    "loss_recovered": (0.99, float("inf")),
    "norm_baseline": (0.8, 1.25),
    "norm_structured": (0.8, 1.25),
    "norm_bag": (0.8, 1.25),
}
"""What the shipped autoencoder was meant to reach."""


def write_card(
    folder: Path, recipe: TrainRecipe, measured: Sequence[Mapping[str, Any]], software: Mapping[str, str]
) -> None:
    """Write `README.md` beside the weights of an autoencoder.

    Parameters
    ----------
    folder
        Where the weights are.
    recipe
        What it was made by.
    measured
        By autoencoder its `name`, `recipe` and `quality`, as `quality.json` has them; the first one is the one that
        ships.
    software
        Versions, by name.
    """
    shipped = measured[0]
    text = f"""# SAE for {recipe.model.source.removeprefix("embedded:")} at {recipe.sites.write}

A sparse autoencoder in SAELens' on-disk format, in half precision. Load it with

    SAE.load_from_disk("{folder.name}", dtype="float32")

`sparsity.safetensors` holds log10 of each latent's firing frequency on the training text (-10: never). This page is
written by `plateaulens train`, which makes everything here again.

## What it was made from

- Text: {_text(recipe.text)}; the last {recipe.held_out:,} sequences were held out. The first token is left out.
- Beside it, in training only, each of the vocabulary's tokens put into such sequences {recipe.coverage} times: sampled
  text hardly ever holds a rare token, and a prompt holds one now and then.
- Autoencoder: {_sae(recipe.sae)}. Each latent starts at a training activation's direction from the mean.
- Software: {", ".join(f"{name} {version}" for name, version in software.items())}.

## How good it is

Unexplained variance, active latents and norms are measured on held-out prompts ({_prompts(recipe.prompts)}), at the
last of the first ten tokens; silent latents over {shipped["quality"]["held_out_tokens"]:,} held-out tokens; loss
recovered is how far the loss of the eleventh token, with the reconstruction patched in at the tenth, leads from mean
ablation ({shipped["quality"]["loss_mean_ablated"]:.3f} nats) to the unpatched model
({shipped["quality"]["loss_clean"]:.3f}; reconstructed {shipped["quality"]["loss_reconstructed"]:.3f}).
Norms and paths (distance from the base) are means over the type's targets, divided by those of real targets.

{_verdicts(shipped["quality"])}

## All measures

{_frontier(measured)}

`samples` are the activations seen in training; a latent that is silent still counts in `latents`.{_others(recipe)}
"""
    (folder / "README.md").write_text(text, encoding="utf-8")


def _others(recipe: TrainRecipe) -> str:
    """How the others were made, and what spoke for the one that ships."""
    made = "".join(f"\n- {name}: {_sae(sae)}." for name, sae in recipe.compared.items())
    return (f"\n\nThe others, on the same text:\n{made}" if made else "") + (
        f"\n\n## Why this one\n\n{recipe.choice.strip()}" if recipe.choice else ""
    )


def _prompts(prompts: TextRecipe | str) -> str:
    return f"those of `data/prompts/{prompts}.npz`" if isinstance(prompts, str) else _text(prompts)


def _text(text: TextRecipe) -> str:
    return (
        f"{text.sequences:,} sequences of {text.length} tokens sampled from the model itself (first token "
        f"{text.first_token}, temperature {text.temperature:g}, top-k {text.top_k}, {text.dtype}, seed {text.seed})"
    )


def _sae(sae: SaeRecipe) -> str:
    sparsity = {
        "batchtopk": f"k {sae.k:g} in training and {sae.active or sae.k:g} on sampled text afterwards",
        "jumprelu": f"quadratic loss to {sae.k:g} active latents with weight {sae.coefficient:g}, "
        f"thresholds from {sae.sparse_start:g} on",
        "standard": f"L1 coefficient {sae.coefficient:g}, encoder bias from -{sae.sparse_start:g} on",
    }[sae.architecture]
    return (
        f"{sae.architecture}, {sae.latents:,} latents, {sparsity}, {sae.samples:,} samples in batches of "
        f"{sae.batch_size:,}, Adam at {sae.learning_rate:g}, seed {sae.seed}"
    )


def _verdicts(quality: Mapping[str, float]) -> str:
    rows = [
        {
            "quantity": COLUMNS[key][0],
            "measured": COLUMNS[key][1].format(quality[key]),
            "meant to be": _range(key, low, high),
            "reached": "yes" if low <= quality[key] <= high else "no",
        }
        for key, (low, high) in LIMITS.items()
    ]
    return pd.DataFrame(rows).to_markdown(index=False)


def _range(key: str, low: float, high: float) -> str:
    show = COLUMNS[key][1].format
    if low == 0:
        return f"at most {show(high)}"
    return f"at least {show(low)}" if high == float("inf") else f"{show(low)} to {show(high)}"


def _frontier(measured: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for entry in measured:
        recipe = SaeRecipe.model_validate(entry["recipe"])
        row = {
            "name": entry["name"],
            "kind": recipe.architecture,
            "latents": f"{recipe.latents:,}",
            "samples": f"{recipe.samples:,}",
        }
        rows.append(row | {title: show.format(entry["quality"][key]) for key, (title, show) in COLUMNS.items()})
    return pd.DataFrame(rows).set_index("name").T.to_markdown()
