"""The sparse autoencoder under study, read from SAELens' on-disk format or one of the releases that SAELens knows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from sae_lens import SAE
from sae_lens.constants import SAE_CFG_FILENAME, SPARSITY_FILENAME
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.errors import LONGEST_VALUE, UsageError, shortened
from plateaulens.resources import find
from plateaulens.store.sae_settings import Settings, known_settings
from plateaulens.subject import hub
from plateaulens.subject.registry import NOT_ROW_BY_ROW, known_entry
from plateaulens.subject.rescaling import fold
from plateaulens.subject.saelens import AVERAGE, Read, Release, from_folder, from_release, reading_sae
from plateaulens.subject.sites import Site, parse_site

NEVER_FIRED = -9.9
"""The log10 frequency below which a latent counts as never active. SAELens adds 1e-10 before the logarithm, so such a
latent has -10 up to rounding; one that fires on a single token of ten billion has -9.7."""

OPTION = "--sae PATH (a folder in SAELens' on-disk format)"
"""What takes an SAE that is on this machine."""
_BATCH = 1024


@dataclass(frozen=True, eq=False)
class LoadedSae:
    """An SAE for inference in float32, how often each latent fires, and what identifies it."""

    sae: SAE[Any]
    frequency: Float[Tensor, " latents"]
    """Share of tokens on which a latent is active (its code is not 0); exactly 0 for one that never was."""
    identity: dict[str, str]
    settings: Settings
    """What its configuration says, as it is saved: what was taken into its weights is still named."""
    notes: tuple[str, ...] = ()
    """What was done to it, or taken for granted, that is not plain from the configuration; a line each."""


def find_sae(config: SaeConfig) -> Path | Release:
    """Where a configuration's SAE is: a folder, or an SAE of a release on a hub whose files are still there.

    Parameters
    ----------
    config
        Which SAE.

    Returns
    -------
    Path or Release
        A folder on this machine, or an SAE of a release with the commit that has it.

    Raises
    ------
    UsageError
        When it is nowhere, the release has no such SAE, or that is no autoencoder; a `NotFoundError` where a hub was
        meant.
    """
    name, colon, sae_id = config.source.partition(":")
    if not colon or Path(config.source).exists():
        return find("saes", config.source)
    known = get_pretrained_saes_directory().get(name)
    if known is not None and sae_id not in known.saes_map:
        some = ", ".join(list(known.saes_map)[:3])
        raise UsageError(f"SAE {config.source!r}: release {name} has no {sae_id!r}; it has {some} ...")
    if known is None and ("/" not in name or not hub.is_id(name)):
        raise UsageError(f"SAE {config.source!r}: SAELens knows no release {name!r}; see its table of pretrained SAEs")
    if known is not None and (entry := known_entry(name, sae_id)) is not None:
        _refuse(config.source, entry.kind)
    repository, folder = (name, sae_id) if known is None else (known.repo_id, known.saes_map[sae_id])
    what = f"SAE {config.source!r} of {repository}"
    try:
        found = hub.find(repository, config.revision, "model")
    except LookupError as error:
        raise hub.NotFoundError(what, str(error.args[0]), OPTION) from None
    if not any(file == folder or file.startswith(f"{folder}/") for file in found.files):
        raise hub.NotFoundError(what, f"no {folder} among the files that there are of it", OPTION)
    return Release(name, sae_id, found)


def load_sae(
    config: SaeConfig,
    *,
    width: int,
    write_site: str,
    blocks: int,
    activations: Callable[[], Float[Tensor, "token width"]] | None = None,
) -> LoadedSae:
    """Read the SAE that a configuration names and check that it belongs to the model and the write site.

    A scale that is the same for all activations is folded into the weights. Where each activation has its own, `encode`
    takes it into account, `decode` gives what has the scale of none, and `frames` of the SAE gives each row's scale and
    mean, by which `Dictionary` decodes.

    Parameters
    ----------
    config
        Which SAE, and where its firing frequencies come from.
    width
        Numbers of an activation at the write site; of all heads together where it is what the heads give.
    write_site
        Hook name of the place that the SAE must belong to.
    blocks
        Number of blocks of the model.
    activations
        Gives real activations of the write site, shaped (token, width), for what is measured on them; called only when
        something is, and needed then.

    Returns
    -------
    LoadedSae
        In evaluation mode, in float32, without gradients.

    Raises
    ------
    UsageError
        For a folder that is no SAE, weights of another width, an SAE of another site or of none that is known, one that
        is no autoencoder of single activations, one whose rescaling cannot be known, or missing firing frequencies.
    """
    what, place = config.source, find_sae(config)
    read = from_release(place) if isinstance(place, Release) else from_folder(place)
    real = partial(_real, what, None if activations is None else cache(activations))
    with reading_sae(what):
        _check(config, read, width=width, write_site=write_site, blocks=blocks)
        read.sae.eval().requires_grad_(requires_grad=False)
        settings = _settings(read)
        _side_by_side(read.sae)
        fold(read, real)
        _try(what, read.sae)
    measured = config.frequency == "measured" or (config.frequency == "auto" and read.logarithm is None)
    if measured:
        frequency = firing_frequency(read.sae, real("firing frequencies"))
        if config.frequency == "auto":
            read.notes.append("comes without firing frequencies: they are measured on the prompts")
    else:
        frequency = _linear(what, read.sae, read.logarithm)
    if not frequency.any():  # neither is a NaN, which `Dictionary` refuses
        remedy = "use another" if measured else 'have them measured on the prompts with frequency = "measured" in [sae]'
        raise UsageError(f"SAE {what} has no live latent, every firing frequency is 0: {remedy}")
    about = {
        "architecture": str(read.sae.cfg.architecture()),
        "hook_name": str(read.hook),
        "frequency": "measured" if measured else "shipped",
    }
    notes = tuple(f"SAE {what} {note}" for note in read.notes)
    return LoadedSae(read.sae, frequency, {**read.identity, **about}, settings, notes)


@torch.inference_mode()
def firing_frequency(sae: SAE[Any], activations: Float[Tensor, "sample width"]) -> Float[Tensor, " latents"]:
    """Share of activations on which each latent is active.

    Parameters
    ----------
    sae
        The autoencoder, where the activations are.
    activations
        Shaped (sample, width), of any floating dtype.

    Returns
    -------
    Tensor
        Shaped (latents,), between 0 and 1; exactly 0 for a latent that never is.
    """
    count = torch.zeros(sae.cfg.d_sae, device=activations.device)
    for part in activations.split(_BATCH):
        count += (sae.encode(part.float()) != 0).sum(dim=0)
    return count / len(activations)


def _real(what: str, activations: Callable[[], Tensor] | None, wanted: str) -> Tensor:
    if activations is None:
        raise UsageError(f"SAE {what} comes without {wanted}, and there are no activations here to measure them on")
    return activations().float()


def _refuse(what: str, architecture: str) -> None:
    if reason := NOT_ROW_BY_ROW.get(architecture):
        raise UsageError(f"SAE {what} is a {architecture}, {reason}: use a sparse autoencoder")


def _check(config: SaeConfig, read: Read, *, width: int, write_site: str, blocks: int) -> None:
    what, cfg = config.source, read.sae.cfg
    _refuse(what, cfg.architecture())
    own, read.hook = read.hook, config.hook or read.hook
    if read.hook is None:
        raise UsageError(
            f"SAE {what} does not say what it reads (no hook_name in its {SAE_CFG_FILENAME}): name it with "
            'hook = "blocks.N..." in the preset\'s [sae]'
        )
    if config.hook is not None and own is None:
        read.notes.append(f"does not say what it reads: it is taken for one of {config.hook}")
    elif (
        config.hook is not None
        and (place := _site(own, blocks)) is not None
        and not place.is_place_of(parse_site(config.hook, blocks))
    ):
        raise UsageError(f"SAE {what} belongs to {own}, hook in the preset's [sae] says {config.hook}: leave that out")
    named = shortened(str(read.hook), LONGEST_VALUE)
    wanted, place = parse_site(write_site, blocks), _site(read.hook, blocks)
    if place is None or not place.is_place_of(wanted):
        raise UsageError(f"SAE {what} belongs to {named}, the write site is {write_site}: use one made for it")
    if cfg.d_in != width:
        raise UsageError(f"SAE {what} reads {cfg.d_in} numbers, an activation there has {width}: use one made for it")


def _settings(read: Read) -> Settings:
    """Before anything is taken into the weights; SAELens' own version stands in for that of the training nowhere."""
    cfg = read.sae.cfg
    metadata = {key: value for key, value in cfg.metadata.items() if not key.startswith("sae_lens_")}
    own = {"hook_name": read.hook} | ({} if read.folded is None else {"normalize_activations": AVERAGE})
    return known_settings({**read.said, **metadata, **cfg.to_dict(), **own})


def _side_by_side(sae: Any) -> None:
    """Have what heads give come as rows of all of them: head by head is how SAELens flattens it, too."""
    sae.turn_off_forward_pass_hook_z_reshaping()
    sae.cfg.reshape_activations = "none"


@torch.inference_mode()
def _try(what: str, sae: Any) -> None:
    """Encode and decode one activation: constants such as the `k` of a TopK are looked at by nothing before."""
    if not all(bool(torch.isfinite(weight).all()) for weight in sae.state_dict().values()):
        raise UsageError(f"SAE {what} has weights that are no finite numbers: fetch or train it again")
    code = sae.encode(torch.ones(1, sae.cfg.d_in))
    if code.shape != (1, sae.cfg.d_sae) or sae.decode(code).shape != (1, sae.cfg.d_in):
        raise UsageError(f"SAE {what} has codes of another shape than its configuration says: fetch or train it again")


def _site(hook: object, blocks: int) -> Site | None:
    try:
        return parse_site(str(hook), blocks)
    except UsageError:
        return None


def _linear(what: str, sae: SAE[Any], logarithm: Tensor | None) -> Float[Tensor, " latents"]:
    """Firing frequencies of the logarithms that ship with an SAE."""
    if logarithm is None:
        raise UsageError(
            f"SAE {what} comes without firing frequencies ({SPARSITY_FILENAME}): have them measured on the prompts "
            'with frequency = "measured" in the preset\'s [sae]'
        )
    if logarithm.shape != (sae.cfg.d_sae,):
        raise UsageError(f"SAE {what}: {logarithm.numel()} firing frequencies for {sae.cfg.d_sae} latents")
    if logarithm.is_complex():
        raise UsageError(f"SAE {what}: {SPARSITY_FILENAME} holds no logarithms of frequencies, but complex numbers")
    logarithm = logarithm.float()
    if (logarithm > 0).any():
        raise UsageError(f"SAE {what}: {SPARSITY_FILENAME} holds no logarithms of frequencies, as some are above 0")
    return torch.where(logarithm < NEVER_FIRED, torch.zeros(()), 10.0**logarithm)
