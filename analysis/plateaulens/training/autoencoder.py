"""Training one sparse autoencoder with SAELens, and saving it the way SAELens reads it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
)
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.constants import SPARSITY_FILENAME
from sae_lens.saes.sae import SAEMetadata, TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import save_file
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.training.recipe import SaeRecipe

NORM_SAMPLES = 65_536
"""Activations whose mean and mean norm stand for all."""
CALIBRATION_SAMPLES = 4096
SMALLEST_FREQUENCY = 1e-10
"""Added before the logarithm, as SAELens does, so that a silent latent is stored as -10."""


def shuffled(
    activations: Float[Tensor, "sample d_model"], batch_size: int, seed: int
) -> Iterator[Float[Tensor, "batch d_model"]]:
    """Endless batches in float32: every activation once per pass, each pass in a new order.

    What fills no last batch of a pass is left out of that pass.

    Parameters
    ----------
    activations
        Shaped (sample, d_model), at least `batch_size` of them.
    batch_size
        Activations in a batch.
    seed
        What the orders follow from.

    Yields
    ------
    Tensor
        Shaped (batch, d_model), float32.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(activations), generator=generator)
        for rows in order[: len(order) - len(order) % batch_size].split(batch_size):
            yield activations[rows].float()


def train(
    recipe: SaeRecipe,
    activations: Float[Tensor, "sample d_model"],
    tokens: Int[Tensor, " sample"],
    inserted: Float[Tensor, "inserted d_model"],
    metadata: dict[str, Any],
) -> SAE[Any]:
    """Train with `SAETrainer` and return the inference form of the SAE in float32.

    Inputs are scaled to a mean norm of sqrt(d_model) while training, and the scale is folded into the weights at the
    end. Matrix products run in bfloat16, parameters stay float32. The decoder rows of the result have unit norm.

    Parameters
    ----------
    recipe
        The autoencoder and how it is trained.
    activations
        Shaped (sample, d_model), on the device that is trained on.
    tokens
        Ids of the tokens that the activations belong to, shaped (sample,); only the starting point depends on them.
    inserted
        Activations that are trained on as well, but that nothing starts from, shaped (inserted, d_model).
    metadata
        What the SAE says of itself in SAELens' format: `model_name` and `hook_name`.

    Returns
    -------
    SAE
        For inference, in float32.

    Raises
    ------
    UsageError
        When there are fewer activations than latents or than a batch holds.
    """
    if len(activations) < max(recipe.latents, recipe.batch_size):
        raise UsageError(
            f"{len(activations)} activations are too few for {recipe.latents} latents and batches of "
            f"{recipe.batch_size}: sample more text"
        )
    # SAELens draws from torch's global generator and offers no other way
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return _train(recipe, activations, tokens, inserted, metadata)


def _train(
    recipe: SaeRecipe,
    activations: Float[Tensor, "sample d_model"],
    tokens: Int[Tensor, " sample"],
    inserted: Float[Tensor, "inserted d_model"],
    metadata: dict[str, Any],
) -> SAE[Any]:
    sae = _untrained(recipe, activations, metadata)
    scale = math.sqrt(activations.shape[1]) / float(activations[:NORM_SAMPLES].float().norm(dim=1).mean())
    _start_at_data(sae, activations, tokens, scale, recipe)
    steps = recipe.samples // recipe.batch_size
    settings = SAETrainerConfig(
        total_training_samples=steps * recipe.batch_size,
        train_batch_size_samples=recipe.batch_size,
        lr=recipe.learning_rate,
        lr_warm_up_steps=min(200, steps // 10),
        lr_decay_steps=steps // 4,
        lr_end=recipe.learning_rate / 100,
        autocast=True,
        dead_feature_window=recipe.silent_after,
        device=activations.device.type,
        logger=LoggingConfig(log_to_wandb=False),
    )
    everything = torch.cat([activations, inserted])
    batches = (scale * batch for batch in shuffled(everything, recipe.batch_size, recipe.seed))
    trained = SAETrainer(settings, sae, batches).fit()
    trained.fold_activation_norm_scaling_factor(scale)
    made = _inference_form(trained)
    if recipe.architecture == "batchtopk":
        calibrate(made, activations[:CALIBRATION_SAMPLES], recipe.active or recipe.k)
    return made


@torch.no_grad()
def calibrate(sae: SAE[Any], activations: Float[Tensor, "sample d_model"], active: float) -> None:
    """Set the one threshold of all latents so that `active` of them are active on average.

    In training a batch shares out `k` per activation, and inserted rare tokens take more of them than sampled text
    does; what the running threshold leaves to sampled text is nobody's choice.

    Parameters
    ----------
    sae
        A `batchtopk` autoencoder for inference, changed in place.
    activations
        What the average is over, shaped (sample, d_model).
    active
        Active latents per activation.
    """
    sae.threshold.zero_()
    positive = torch.cat([sae.encode(part.float()).flatten() for part in torch.split(activations, 1024)])
    sae.threshold.fill_(positive.topk(round(active * len(activations))).values[-1])


@torch.no_grad()
def _start_at_data(
    sae: TrainingSAE[Any],
    activations: Float[Tensor, "sample d_model"],
    tokens: Int[Tensor, " sample"],
    scale: float,
    recipe: SaeRecipe,
) -> None:
    """Point every latent at some activation's departure from the bias, which leaves few latents silent.

    Early in the model an activation is mostly its token. Activations are therefore drawn with a probability that
    gives each token a share of sqrt(how often it occurs): by bare frequency, commas would get hundreds of latents.
    """
    counts = tokens.bincount().double()
    weights = counts.rsqrt()[tokens]
    generator = np.random.Generator(np.random.Philox(recipe.seed))
    chosen = generator.choice(len(tokens), sae.cfg.d_sae, replace=False, p=(weights / weights.sum()).numpy())
    centre = recipe.centre * activations[:NORM_SAMPLES].float().mean(dim=0)
    directions = torch.nn.functional.normalize(activations[torch.from_numpy(chosen)].float() - centre, dim=1)
    sae.W_dec.copy_(directions * sae.W_dec.norm(dim=1, keepdim=True))
    sae.W_enc.copy_(directions.T)
    sae.b_dec.copy_(scale * centre)
    match recipe.architecture:
        case "standard":
            sae.b_enc.fill_(-recipe.sparse_start)
        case "jumprelu":
            sae.threshold.fill_(recipe.sparse_start)


def _untrained(
    recipe: SaeRecipe, activations: Float[Tensor, "sample d_model"], metadata: dict[str, Any]
) -> TrainingSAE[Any]:
    common: dict[str, Any] = {
        "device": activations.device.type,
        "d_in": activations.shape[1],
        "d_sae": recipe.latents,
        "apply_b_dec_to_input": True,
        "metadata": SAEMetadata(**metadata),
    }
    warm_up = recipe.samples // recipe.batch_size // 5
    match recipe.architecture:
        case "batchtopk":
            return BatchTopKTrainingSAE(
                BatchTopKTrainingSAEConfig(k=recipe.k, aux_loss_coefficient=recipe.auxiliary, **common)
            )
        case "standard":
            return StandardTrainingSAE(
                StandardTrainingSAEConfig(l1_coefficient=recipe.coefficient, l1_warm_up_steps=warm_up, **common)
            )
        case "jumprelu":
            return JumpReLUTrainingSAE(
                JumpReLUTrainingSAEConfig(
                    jumprelu_sparsity_loss_mode="quadratic",
                    target_l0=recipe.k,
                    l0_coefficient=recipe.coefficient,
                    l0_warm_up_steps=warm_up,
                    jumprelu_bandwidth=2.0,
                    jumprelu_ste_to_input=True,
                    **common,
                )
            )


def _inference_form(sae: TrainingSAE[Any]) -> SAE[Any]:
    state = {name: tensor.detach().clone() for name, tensor in sae.state_dict().items()}
    sae.process_state_dict_for_saving_inference(state)
    config = sae.cfg.get_inference_sae_cfg_dict()
    made = SAE.from_dict(config)
    made.load_state_dict(state)
    made.fold_W_dec_norm()
    return made


def save(sae: SAE[Any], frequency: Float[Tensor, " latents"], folder: Path) -> None:
    """Write weights in half precision, configuration and log10 firing frequency for `SAE.load_from_disk`.

    Parameters
    ----------
    sae
        For inference; it is in half precision afterwards.
    frequency
        Share of activations on which each latent is active, shaped (latents,). `SMALLEST_FREQUENCY` is added before the
        logarithm.
    folder
        Made if there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sae.cfg.dtype, sae.cfg.device = "float16", "cpu"
    sae.to("cpu", torch.float16).save_model(folder)
    save_file({"sparsity": torch.log10(frequency.cpu().float() + SMALLEST_FREQUENCY)}, folder / SPARSITY_FILENAME)
