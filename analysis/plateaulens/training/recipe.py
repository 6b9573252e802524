"""What `plateaulens train` makes and how: frozen, complete, and read from a TOML file."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from plateaulens.config import FileStem, ModelConfig, SiteConfig, Strict
from plateaulens.presets import read_toml

SHIPPED = "shipped"


class TextRecipe(Strict):
    """Token sequences sampled from the model."""

    seed: NonNegativeInt
    sequences: PositiveInt
    length: Annotated[int, Field(ge=3)] = 16
    first_token: NonNegativeInt = 0
    top_k: PositiveInt = 200
    temperature: PositiveFloat = 1.0
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic while sampling; bfloat16 is several times faster on processors that have it."""
    batch_size: PositiveInt = 512


class SaeRecipe(Strict):
    """One sparse autoencoder and how it is trained."""

    architecture: Literal["batchtopk", "standard", "jumprelu"]
    latents: PositiveInt
    samples: PositiveInt
    """Activations seen in training, repetitions counted."""
    k: PositiveFloat = 32
    """`batchtopk`: active latents per activation, averaged over a batch."""
    active: PositiveFloat | None = None
    """`batchtopk`: active latents per activation of sampled text that the threshold is set to afterwards; None: `k`."""
    coefficient: PositiveFloat = 1.0
    """Weight of the sparsity loss (`standard`: L1, `jumprelu`: quadratic distance to `k`)."""
    sparse_start: NonNegativeFloat = 0.0
    """`standard`, `jumprelu`: what a latent must exceed to be active at first, on inputs of mean norm sqrt(d_model)."""
    learning_rate: PositiveFloat = 3e-4
    batch_size: PositiveInt = 4096
    auxiliary: PositiveFloat = 0.03125
    """`batchtopk`: weight of the loss that revives silent latents."""
    silent_after: PositiveInt = 100
    """Batches without firing after which a latent counts as silent in training."""
    centre: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the mean activation that the decoder's bias starts at; latents start at departures from it."""
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _check_samples(self) -> Self:
        if self.samples < self.batch_size:
            raise ValueError(f"samples ({self.samples}) are fewer than one batch_size ({self.batch_size})")
        return self


class PromptRecipe(Strict):
    """Prompts and nothing else, for a model whose SAEs come from elsewhere or not at all."""

    name: FileStem
    model: ModelConfig
    prompts: TextRecipe


class TrainRecipe(PromptRecipe):
    """Everything that `plateaulens train` does: prompts, text, the SAE that ships, and those it is compared with."""

    sites: SiteConfig
    text: TextRecipe
    held_out: PositiveInt
    """Sequences at the end of the text that no SAE is trained on."""
    coverage: NonNegativeInt = 0
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
