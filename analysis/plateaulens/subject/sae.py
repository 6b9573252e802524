"""The sparse autoencoder under study, read from SAELens' on-disk format or one of the releases that SAELens knows."""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import hf_hub_download
from jaxtyping import Float
from sae_lens import SAE
from sae_lens.constants import SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, SPARSITY_FILENAME
from sae_lens.loading import pretrained_sae_loaders
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from plateaulens.config import SaeConfig
from plateaulens.errors import UsageError, reading
from plateaulens.resources import find, sha256_of
from plateaulens.subject import hub
from plateaulens.subject.model import parse_site
from plateaulens.subject.weights import check_real

NEVER_FIRED = -9.9
"""The log10 frequency below which a latent counts as never active. SAELens adds 1e-10 before the logarithm, so such a
latent has -10 up to rounding; one that fires on a single token of ten billion has -9.7."""

NOT_ROW_BY_ROW = {
    "temporal": "its codes depend on the tokens before",
    **dict.fromkeys(
        ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"),
        "it writes to another place than it reads",
    ),
}
"""SAELens architectures that are no autoencoder of single activations, and why."""
OPTION = "--sae PATH (a folder in SAELens' on-disk format)"
"""What takes an SAE that is on this machine."""
_BATCH = 1024


@dataclass(frozen=True, eq=False)
class LoadedSae:
    """An SAE for inference in float32, how often each latent fires, and what identifies it."""

    sae: SAE[Any]
    frequency: Float[Tensor, " latents"]
    """Share of tokens on which a latent is active; exactly 0 for one that never was."""
    identity: dict[str, str]


class Release(NamedTuple):
    """One SAE of a release, and the commit of the hub repository that has it."""

    name: str
    id: str
    repository: hub.Repository


class _Read(NamedTuple):
    sae: SAE[Any]
    logarithm: Tensor | None
    """log10 of each latent's firing frequency, where it comes with the SAE."""
    identity: dict[str, str]


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
        When it is nowhere or the release has no such SAE; a `NotFoundError` where a hub was meant.
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
    d_model: int,
    write_site: str,
    blocks: int,
    activations: Callable[[], Float[Tensor, "token d_model"]] | None = None,
) -> LoadedSae:
    """Read the SAE that a configuration names and check that it belongs to the model and the write site.

    Parameters
    ----------
    config
        Which SAE, and where its firing frequencies come from.
    d_model
        Width of the model's residual stream.
    write_site
        TransformerLens hook name of the place that the SAE must belong to.
    blocks
        Number of blocks of the model.
    activations
        Gives what the firing frequencies are measured on, shaped (token, d_model); called only if the configuration
        wants them measured, and needed then.

    Returns
    -------
    LoadedSae
        In evaluation mode, in float32, without gradients.

    Raises
    ------
    UsageError
        For a folder that is no SAE, weights of another width, an SAE of another site, one that rescales or reshapes its
        input or is no autoencoder of single activations, or missing firing frequencies.
    """
    place = find_sae(config)
    sae, logarithm, identity = _from_release(place) if isinstance(place, Release) else _from_folder(place)
    with _reading(config.source):
        _check(config.source, sae, d_model=d_model, write_site=write_site, blocks=blocks)
        sae.eval().requires_grad_(requires_grad=False)
        _try(config.source, sae)
    if config.frequency == "measured":
        assert activations is not None
        frequency = firing_frequency(sae, activations())
    else:
        frequency = _linear(config.source, sae, logarithm)
    about = {
        "architecture": str(sae.cfg.architecture()),
        "hook_name": str(sae.cfg.metadata.hook_name),
        "frequency": config.frequency,
    }
    return LoadedSae(sae, frequency, {**identity, **about})


@torch.inference_mode()
def firing_frequency(sae: SAE[Any], activations: Float[Tensor, "sample d_model"]) -> Float[Tensor, " latents"]:
    """Share of activations on which each latent is active.

    Parameters
    ----------
    sae
        The autoencoder, on the CPU.
    activations
        Shaped (sample, d_model), of any floating dtype.

    Returns
    -------
    Tensor
        Shaped (latents,), between 0 and 1; exactly 0 for a latent that never is.
    """
    count = torch.zeros(sae.cfg.d_sae)
    for part in activations.split(_BATCH):
        count += (sae.encode(part.float()) > 0).sum(dim=0)
    return count / len(activations)


def _from_folder(folder: Path) -> _Read:
    missing = [name for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME) if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"SAE {folder} lacks {', '.join(missing)}: give a folder in SAELens' on-disk format")
    shipped = folder / SPARSITY_FILENAME
    with _reading(str(folder)):
        check_real(folder / SAE_WEIGHTS_FILENAME)
        sae = SAE.load_from_disk(folder, dtype="float32")
        logarithm = load_file(shipped)["sparsity"] if shipped.is_file() else None
    together = hashlib.sha256()
    for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, *((SPARSITY_FILENAME,) if shipped.is_file() else ())):
        together.update(sha256_of(folder / name).encode())
    return _Read(sae, logarithm, {"name": folder.name, "sha256": together.hexdigest()})


def _from_release(release: Release) -> _Read:
    repository = release.repository
    with _reading(f"{release.name}:{release.id}"), _commit(repository.commit), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a repository may be named instead of its release
        sae, _, logarithm = SAE.from_pretrained_with_cfg_and_sparsity(release.name, release.id, dtype="float32")
    repository.remember()
    identity = {"release": release.name, "id": release.id, "hub_id": repository.name, "commit": repository.commit}
    return _Read(sae, logarithm, identity)


@contextmanager
def _commit(commit: str) -> Iterator[None]:
    """Have SAELens' loaders, which know no revisions, take the files of one commit, the cached ones unasked."""
    download = partial(hf_hub_download, revision=commit)

    def shapes(repository: str, file: str) -> dict[str, list[int]]:
        """What SAELens asks the hub for over and above the cache."""
        with safe_open(download(repository, file), framework="pt") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118

    loaders = vars(pretrained_sae_loaders)
    changes: dict[str, Callable[..., Any]] = {"hf_hub_download": download, "get_safetensors_tensor_shapes": shapes}
    before = {name: loaders[name] for name in changes}
    loaders.update(changes)
    try:
        yield
    finally:
        loaders.update(before)


def _reading(what: str) -> AbstractContextManager[None]:
    return reading(f"SAE {what} cannot be read", "fetch or train it again")


def _check(what: str, sae: SAE[Any], *, d_model: int, write_site: str, blocks: int) -> None:
    cfg = sae.cfg
    if reason := NOT_ROW_BY_ROW.get(cfg.architecture()):
        raise UsageError(f"SAE {what} is a {cfg.architecture()}, {reason}: use a sparse autoencoder")
    if cfg.reshape_activations != "none":
        raise UsageError(
            f"SAE {what} reshapes what it reads (reshape_activations={cfg.reshape_activations!r}): use one of the "
            "residual stream"
        )
    if cfg.d_in != d_model:
        raise UsageError(f"SAE {what} reads {cfg.d_in} dimensions, the model has {d_model}: use one made for it")
    hook = str(cfg.metadata.hook_name)
    if not _same_place(hook, write_site, blocks):
        raise UsageError(f"SAE {what} belongs to {hook}, the write site is {write_site}: use one made for it")
    # decoding would need the scale of what was encoded last, which a synthetic code does not have
    if cfg.normalize_activations != "none":
        raise UsageError(
            f"SAE {what} rescales what it reads (normalize_activations={cfg.normalize_activations!r}): fold the "
            "scale into its weights, or use an SAE without"
        )


@torch.inference_mode()
def _try(what: str, sae: SAE[Any]) -> None:
    """Encode and decode one activation: constants such as the `k` of a TopK are looked at by nothing before."""
    if not all(bool(torch.isfinite(weight).all()) for weight in sae.state_dict().values()):
        raise UsageError(f"SAE {what} has weights that are no finite numbers: fetch or train it again")
    code = sae.encode(torch.ones(1, sae.cfg.d_in))
    if code.shape != (1, sae.cfg.d_sae) or sae.decode(code).shape != (1, sae.cfg.d_in):
        raise UsageError(f"SAE {what} has codes of another shape than its configuration says: fetch or train it again")


def _same_place(hook: str, write_site: str, blocks: int) -> bool:
    wanted = parse_site(write_site, blocks)
    try:
        return parse_site(hook, blocks).boundary == wanted.boundary
    except UsageError:
        return False


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
