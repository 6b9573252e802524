"""What `plateaulens train` makes and how: frozen, complete, and read from a TOML file."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from plateaulens.config import Count, FileStem, ModelConfig, Scale, Seed, SiteConfig, Strict, Within
from plateaulens.presets import read_toml

SHIPPED = "shipped"

Batch = Annotated[int, Within(1, 1_000_000)]
"""Sequences or activations that are worked on together."""


class TextRecipe(Strict):
    """Token sequences sampled from the model."""

    seed: Seed
    sequences: Count
    length: Annotated[int, Within(3, 100_000)] = 16
    first_token: Annotated[int, Within(0, 10_000_000)] = 0
    top_k: Count = 200
    temperature: Scale = 1.0
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic while sampling; bfloat16 is several times faster on processors that have it."""
    batch_size: Batch = 512


class SaeRecipe(Strict):
    """One sparse autoencoder and how it is trained."""

    architecture: Literal["batchtopk", "standard", "jumprelu"]
    latents: Count
    samples: Annotated[int, Within(1, 10**12)]
    """Activations seen in training, repetitions counted."""
    k: Scale = 32
    """`batchtopk`: active latents per activation, averaged over a batch."""
    active: Scale | None = None
    """`batchtopk`: active latents per activation of sampled text that the threshold is set to afterwards; None: `k`."""
    coefficient: Scale = 1.0
    """Weight of the sparsity loss (`standard`: L1, `jumprelu`: quadratic distance to `k`)."""
    sparse_start: Annotated[float, Within(0, 1_000_000)] = 0.0
    """`standard`, `jumprelu`: what a latent must exceed to be active at first, on inputs of mean norm sqrt(d_model)."""
    learning_rate: Annotated[float, Within(1e-9, 10)] = 3e-4
    batch_size: Batch = 4096
    auxiliary: Scale = 0.03125
    """`batchtopk`: weight of the loss that revives silent latents."""
    silent_after: Count = 100
    """Batches without firing after which a latent counts as silent in training."""
    centre: Annotated[float, Within(0, 1)] = 1.0
    """Share of the mean activation that the decoder's bias starts at; latents start at departures from it."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_samples(self) -> Self:
        if self.samples < self.batch_size:
            raise ValueError(f"samples ({self.samples}) are fewer than one batch_size ({self.batch_size})")
        return self


class PromptRecipe(Strict):
    """Prompts and nothing else, for a model whose SAEs come from elsewhere or not at all."""

    name: FileStem
    model: ModelConfig
    prompts: TextRecipe | FileStem
    """How they are sampled; or the name of prompts that ship, which another recipe made for the same model."""

    @model_validator(mode="after")
    def _check_prompts(self) -> Self:
        if type(self) is PromptRecipe and isinstance(self.prompts, str):
            raise ValueError(
                f"prompts {self.prompts!r}: nothing to make of prompts that ship, say how to sample others"
            )
        return self


class TrainRecipe(PromptRecipe):
    """Everything that `plateaulens train` does: prompts, text, the SAE that ships, and those it is compared with."""

    sites: SiteConfig
    text: TextRecipe
    held_out: Count
    """Sequences at the end of the text that no SAE is trained on."""
    coverage: Annotated[int, Within(0, 1000)] = 0
    """How often each token of the vocabulary is put into a sampled sequence, so that rare ones are trained on too."""
    sae: SaeRecipe
    choice: str = ""
    """Why the SAE that ships was chosen over the others, for the card."""
    compared: Annotated[dict[str, SaeRecipe], Field(default_factory=dict)]
    """Further SAEs, trained for the card only."""

    @property
    def saes(self) -> dict[str, SaeRecipe]:
        """Every SAE by name, the one that ships first."""
        return {SHIPPED: self.sae, **self.compared}

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if SHIPPED in self.compared:
            raise ValueError(f"compared.{SHIPPED}: the name of the SAE that ships, choose another")
        return self

    @model_validator(mode="after")
    def _check_sites(self) -> Self:
        if self.sites.frozen:
            raise ValueError("sites.frozen: an SAE is trained on what passes unperturbed; leave it out")
        return self

    @model_validator(mode="after")
    def _check_held_out(self) -> Self:
        if self.held_out >= self.text.sequences:
            raise ValueError(f"held_out ({self.held_out}) leaves none of the text's {self.text.sequences} sequences")
        return self


def read_recipe(path: Path) -> PromptRecipe:
    """Read and check a recipe.

    Parameters
    ----------
    path
        A TOML file.

    Returns
    -------
    PromptRecipe
        A `TrainRecipe`, or a plain `PromptRecipe` where there are prompts only.

    Raises
    ------
    UsageError
        That names the file, the key and what is wrong.
    """
    prompts_only = read_toml("recipe", path, _Sections).keys <= set(PromptRecipe.model_fields)
    return read_toml("recipe", path, PromptRecipe if prompts_only else TrainRecipe)


class _Sections(Strict):
    """The names of whatever a file has."""

    model_config = ConfigDict(extra="allow")

    @property
    def keys(self) -> set[str]:
        return set(self.model_extra or ())
