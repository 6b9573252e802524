"""The sparse autoencoder under study, read from SAELens' on-disk format."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from sae_lens import SAE
from sae_lens.constants import SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, SPARSITY_FILENAME
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.errors import UsageError, first_line
from plateaulens.resources import find
from plateaulens.subject.embedded import sha256_of
from plateaulens.subject.model import parse_site

NEVER_FIRED = -9.9
"""The log10 frequency below which a latent counts as never active. SAELens adds 1e-10 before the logarithm, so such a
latent has -10 up to rounding; one that fires on a single token of ten billion has -9.7."""


@dataclass(frozen=True, eq=False)
class LoadedSae:
    """An SAE for inference in float32, how often each latent fires, and what identifies it."""

    sae: SAE[Any]
    frequency: Float[Tensor, " latents"]
    """Share of tokens on which a latent is active; exactly 0 for one that never was."""
    identity: dict[str, str]


def load_sae(config: SaeConfig, *, d_model: int, write_site: str, blocks: int) -> LoadedSae:
    """Read the SAE that a configuration names and check that it belongs to the model and the write site.

    Raises `UsageError` for a folder that is no SAE, weights of another width, an SAE of another site or one that
    rescales its input, or missing firing frequencies.
    """
    folder = find("saes", config.source)
    missing = [
        name for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, SPARSITY_FILENAME) if not (folder / name).is_file()
    ]
    if missing:
        raise UsageError(f"SAE {folder} lacks {', '.join(missing)}: give a folder in SAELens' on-disk format")
    try:
        sae = SAE.load_from_disk(folder, dtype="float32")
        logarithm = load_file(folder / SPARSITY_FILENAME)["sparsity"].float()
    except (KeyError, ValueError, TypeError, RuntimeError, OSError, SafetensorError) as error:
        raise UsageError(f"SAE {folder} cannot be read ({first_line(error)}): fetch or train it again") from error
    if sae.cfg.d_in != d_model:
        raise UsageError(f"SAE {folder} reads {sae.cfg.d_in} dimensions, the model has {d_model}: use one made for it")
    hook = str(sae.cfg.metadata.hook_name)
    if not _same_place(hook, write_site, blocks):
        raise UsageError(f"SAE {folder} belongs to {hook}, the write site is {write_site}: use one made for it")
    # decoding would need the scale of what was encoded last, which a synthetic code does not have
    if sae.cfg.normalize_activations != "none":
        raise UsageError(
            f"SAE {folder} rescales what it reads (normalize_activations={sae.cfg.normalize_activations!r}): fold the "
            "scale into its weights, or use an SAE without"
        )
    if logarithm.shape != (sae.cfg.d_sae,):
        raise UsageError(f"SAE {folder}: {logarithm.numel()} firing frequencies for {sae.cfg.d_sae} latents")
    frequency = torch.where(logarithm < NEVER_FIRED, torch.zeros(()), 10.0**logarithm)
    sae.eval().requires_grad_(requires_grad=False)
    return LoadedSae(sae, frequency, _identity(folder, sae))


def _same_place(hook: str, write_site: str, blocks: int) -> bool:
    wanted = parse_site(write_site, blocks)
    try:
        return parse_site(hook, blocks).boundary == wanted.boundary
    except UsageError:
        return False


def _identity(folder: Path, sae: SAE[Any]) -> dict[str, str]:
    together = hashlib.sha256()
    for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, SPARSITY_FILENAME):
        together.update(sha256_of(folder / name).encode())
    return {
        "name": folder.name,
        "sha256": together.hexdigest(),
        "architecture": str(sae.cfg.architecture()),
        "hook_name": str(sae.cfg.metadata.hook_name),
    }
