"""How good a sparse autoencoder is, on text that it was not trained on."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from sae_lens import SAE
from torch import Tensor
from torch.nn.functional import cross_entropy

from plateaulens.config import TargetConfig
from plateaulens.names import REFERENCE
from plateaulens.scan.direct import choose_forward
from plateaulens.scan.walk import one_per_core
from plateaulens.subject.model import Subject
from plateaulens.subject.sae import firing_frequency
from plateaulens.targets.base import Pool, TargetContext
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.registry import create

SYNTHETIC = ("reconstruction", "bag", "baseline", "structured", "single_latent")
_BATCH = 1024
_LOSS_BATCH = 32


@torch.inference_mode()
def fidelity(sae: SAE[Any], activations: Float[Tensor, "sample d_model"]) -> dict[str, float]:
    """Unexplained variance, sparsity and concentration on a set of activations.

    Parameters
    ----------
    sae
        The autoencoder.
    activations
        Shaped (sample, d_model).

    Returns
    -------
    dict
        `fraction_of_variance_unexplained` is the summed squared error over the summed squared distance from the mean,
        `mean_l0` the mean number of active latents. `top_latent_share` is the mean of the strongest latent's part of
        the summed latent activation, `cosine_to_top` the mean over all other active latents of their decoder's cosine
        to the strongest one's; both leave out activations without an active latent, and are NaN when there is no other.
    """
    directions = torch.nn.functional.normalize(sae.W_dec, dim=1)
    error, active, shares, cosines = 0.0, [], [], [torch.empty(0)]
    for part in activations.split(_BATCH):
        code = sae.encode(part.float())
        error += float((sae.decode(code) - part).double().square().sum())
        active.append((code > 0).sum(dim=1))
        for row in code[code.any(dim=1)]:
            ids = row.nonzero()[:, 0]
            top = int(row.argmax())
            shares.append(float(row[top] / row.sum()))
            cosines.append(directions[ids[ids != top]] @ directions[top])
    spread = float((activations - activations.mean(dim=0)).double().square().sum())
    return {
        "fraction_of_variance_unexplained": error / spread,
        "mean_l0": float(torch.cat(active).double().mean()),
        "top_latent_share": float(torch.tensor(shares).double().mean()),
        "cosine_to_top": float(torch.cat(cosines).mean()),
    }


@torch.inference_mode()
def loss_recovered(
    subject: Subject, sae: SAE[Any], prompts: Int[Tensor, "prompt position"], following: Int[Tensor, " prompt"]
) -> dict[str, float]:
    """Next-token loss with the last token's activation left alone, reconstructed, and replaced by the mean.

    Only the last position is replaced, at the write site, as in the experiments.

    Parameters
    ----------
    subject
        The model, written at the site that the SAE belongs to.
    sae
        The autoencoder.
    prompts
        Token ids, shaped (prompt, position).
    following
        The tokens to predict, shaped (prompt,).

    Returns
    -------
    dict
        `loss_clean`, `loss_reconstructed` and `loss_mean_ablated` in nats, and `loss_recovered` = (mean -
        reconstructed) / (mean - clean).
    """
    forward = choose_forward(subject)
    last = subject.last_activations(prompts).cpu()  # the autoencoder is there
    points = torch.stack([last, sae(last), last.mean(dim=0).expand_as(last)], dim=1)[:, None]
    batches = zip(*(part.split(_LOSS_BATCH) for part in (prompts, points, following)), strict=True)

    @torch.inference_mode()
    def losses(batch: tuple[Tensor, Tensor, Tensor]) -> Float[Tensor, "prompt edit"]:
        tokens, edited, wanted = batch
        logits = forward.unembed(forward.run(tokens.to(subject.device), edited.to(subject.device)).final.flatten(0, 2))
        each = cross_entropy(logits.cpu(), wanted.repeat_interleave(edited.shape[2]), reduction="none")
        return each.view(len(tokens), -1)

    measured = torch.cat(list((one_per_core if forward.concurrent else map)(losses, batches)))
    clean, reconstructed, ablated = measured.double().mean(dim=0).tolist()
    return {
        "loss_clean": clean,
        "loss_reconstructed": reconstructed,
        "loss_mean_ablated": ablated,
        "loss_recovered": (ablated - reconstructed) / (ablated - clean),
    }


def target_norms(
    sae: SAE[Any], frequency: Float[Tensor, " latents"], pool: Float[Tensor, "pool d_model"], *, samples: int, seed: int
) -> dict[str, float]:
    """Mean norm of each synthetic type's targets over that of real ones, and the mean path length over real's.

    Parameters
    ----------
    sae
        The autoencoder.
    frequency
        How often each latent fires, shaped (latents,).
    pool
        Real activations, shaped (pool, d_model).
    samples
        How many bases there are: the first ones of the pool.
    seed
        Seed of all draws.

    Returns
    -------
    dict
        `norm_NAME` and `path_NAME` for every type of `SYNTHETIC`, without units; the path is that from the base.
    """
    context = TargetContext(
        Pool(pool, np.arange(len(pool))), TargetConfig(types=(REFERENCE,)), seed, Dictionary.of(sae, frequency)
    )
    first = range(min(samples, len(pool)))
    bases = context.bases(pool[:samples], first, first)
    targets = {
        kind.name: draw(kind, bases, context).activation for kind in create((REFERENCE, *SYNTHETIC), has_sae=True)
    }
    norm = {name: float(value.norm(dim=1).mean()) for name, value in targets.items()}
    path = {name: float((value - pool[:samples]).norm(dim=1).mean()) for name, value in targets.items()}
    return {
        **{f"norm_{name}": norm[name] / norm[REFERENCE] for name in SYNTHETIC},
        **{f"path_{name}": path[name] / path[REFERENCE] for name in SYNTHETIC},
    }


def measure(
    subject: Subject,
    sae: SAE[Any],
    frequency: Float[Tensor, " latents"],
    *,
    prompts: Int[Tensor, "prompt position"],
    held_out: Float[Tensor, "token d_model"],
    loss_prompts: int,
    samples: int,
    seed: int,
) -> dict[str, float]:
    """Everything the card states.

    Parameters
    ----------
    subject
        The model, written at the site that the SAE belongs to.
    sae
        The autoencoder, on the CPU.
    frequency
        How often each latent fires, shaped (latents,).
    prompts
        Token ids shaped (prompt, position), of the experiment's own length and one token more, which is to be
        predicted.
    held_out
        Activations that decide which latents are silent, shaped (token, d_model).
    loss_prompts
        How many of the prompts losses are measured on.
    samples
        How many bases targets are made for.
    seed
        Seed of the targets' draws.

    Returns
    -------
    dict
        What `fidelity`, `loss_recovered` and `target_norms` give, `held_out_tokens`, and `silent_share`: the share of
        latents that no held-out token makes active.
    """
    pool = subject.last_activations(prompts[:, :-1]).cpu()
    silent = firing_frequency(sae, held_out.cpu()) == 0
    return {
        **fidelity(sae, pool),
        "held_out_tokens": len(held_out),
        "silent_share": float(silent.float().mean()),
        **loss_recovered(subject, sae, prompts[:loss_prompts, :-1], prompts[:loss_prompts, -1]),
        **target_norms(sae, frequency, pool, samples=samples, seed=seed),
    }
