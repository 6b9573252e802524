"""The scale on which an SAE reads activations, taken into its weights, or beside them where each has its own."""

import json
from collections.abc import Callable
from typing import Any

import torch
from sae_lens.constants import ACTIVATION_SCALER_CFG_FILENAME, ACTIVATION_WHITENING_FILENAME
from safetensors.torch import load_file
from torch import Tensor

from plateaulens.errors import UsageError, shown
from plateaulens.resources import sha256_of
from plateaulens.subject.saelens import AVERAGE, TIED, Read


def _layer_norm(rows: Tensor) -> tuple[Tensor, Tensor]:
    return rows.std(dim=-1, keepdim=True), rows.mean(dim=-1, keepdim=True)


def _constant_norm(rows: Tensor) -> tuple[Tensor, Tensor]:
    scale = rows.norm(dim=-1, keepdim=True) / rows.shape[-1] ** 0.5
    return scale, torch.zeros_like(scale)


_FRAMES: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "layer_norm": _layer_norm,
    "constant_norm_rescale": _constant_norm,
}
"""By SAELens' name, scale and mean of rows, which a reconstruction is multiplied by and shifted by, in this order."""


def _as_it_is(rows: Tensor) -> Tensor:
    return rows


@torch.no_grad()
def fold(read: Read, real: Callable[[str], Tensor]) -> None:
    """Take the scale that an SAE reads its activations on into its weights, or into what `Dictionary` decodes with.

    In place, with a note and an entry `normalization` of the identity wherever there is a scale.

    Parameters
    ----------
    read
        The SAE as it comes.
    real
        Gives real activations, shaped (token, width), when a scale is measured; told what for.

    Raises
    ------
    UsageError
        For a whitening that is not there, or that the architecture cannot take.
    ValueError
        When a file with a scale has none.
    """
    sae, mode, identity = read.sae, str(read.sae.cfg.normalize_activations), read.identity
    if mode in _FRAMES:
        sae.frames = _FRAMES[mode]
        sae.run_time_activation_norm_fn_out = _as_it_is
        identity["normalization"] = f"row by row ({mode})"
        read.notes.append(
            f"reads each activation on its own scale ({mode}): a code is decoded on that of the activation that it was "
            "made from"
        )
        return
    scale = read.folded
    if scale is not None:
        mode = AVERAGE
        identity["normalization"] = f"folded ({mode})"
    elif mode == AVERAGE:
        _fold_decoder_norm(sae)
        scale = _saved_scale(read)
        if scale is None:  # as SAELens estimates it
            scale = float(sae.cfg.d_in**0.5 / real("a scale").norm(dim=1).mean())
            identity["normalization"] = f"folded ({mode}, measured on the prompts)"
        else:
            identity["normalization"] = f"folded ({mode}, {ACTIVATION_SCALER_CFG_FILENAME})"
        sae.fold_activation_norm_scaling_factor(scale)
    elif mode == "covariance_whitening":
        file = read.beside(ACTIVATION_WHITENING_FILENAME)
        if file is None or sae.cfg.architecture() in TIED:
            raise UsageError(
                f"the SAE reads whitened activations ({mode}), which cannot be folded into "
                f"{'a tied decoder' if file else f'it without {ACTIVATION_WHITENING_FILENAME}'}: use another"
            )
        tensors = load_file(file)
        sae.fold_activation_whitening(tensors["mean"], tensors["matrix"], tensors["inverse_matrix"])
        identity |= {"normalization": f"folded ({mode})", "normalization_sha256": sha256_of(file)}
    else:
        return
    scaled = "whitened" if scale is None else f"times {scale:.4g}"
    read.notes.append(f"reads activations {scaled}: {identity['normalization']}")


def _saved_scale(read: Read) -> float | None:
    """What the activations were multiplied by in training, where it was saved with a checkpoint."""
    file = read.beside(ACTIVATION_SCALER_CFG_FILENAME)
    scale = None if file is None else json.loads(file.read_bytes())["scaling_factor"]
    if file is None or scale is None:
        return None
    if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise ValueError(f"{ACTIVATION_SCALER_CFG_FILENAME} has a scaling_factor of {shown(scale)}")
    read.identity["normalization_sha256"] = sha256_of(file)
    return float(scale)


def _fold_decoder_norm(sae: Any) -> None:
    """Before the decoder is rescaled, as a TopK may weigh its latents by the lengths of their rows."""
    if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
        sae.fold_W_dec_norm()
        sae.cfg.rescale_acts_by_decoder_norm = False
