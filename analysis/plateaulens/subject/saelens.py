"""SAEs as SAELens saves, has saved and converts them: folders and releases, read for inference in float32."""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import hf_hub_download
from sae_lens import SAE
from sae_lens.constants import RUNNER_CFG_FILENAME, SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, SPARSITY_FILENAME
from sae_lens.loading import pretrained_sae_loaders
from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor, get_pretrained_saes_directory
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from plateaulens.errors import UsageError, reading, shown
from plateaulens.resources import sha256_of
from plateaulens.subject import hub
from plateaulens.subject.registry import known_entry
from plateaulens.subject.weights import check_real

AVERAGE = "expected_average_only_in"
"""What SAELens calls a scale that is the same for all activations: the root of their width over their mean norm."""
TIED = ("matching_pursuit",)
"""Architectures whose decoder is their encoder, too."""


class Release(NamedTuple):
    """One SAE of a release, and the commit of the hub repository that has it."""

    name: str
    id: str
    repository: hub.Repository


@dataclass(eq=False)
class Read:
    """An SAE as it comes, and what is known of it."""

    sae: Any
    """A SAELens SAE, still as it was saved."""
    logarithm: Tensor | None
    """log10 of each latent's firing frequency, where it comes with the SAE."""
    identity: dict[str, str]
    beside: Callable[[str], Path | None]
    """A file that lies beside the weights."""
    hook: str | None
    """What it says it reads."""
    folded: float | None
    """By what SAELens multiplies the activations, which it has folded into the weights while reading."""
    said: dict[str, Any]
    """Its configuration as it was written, its metadata among the keys: SAELens drops some of it."""
    notes: list[str] = field(default_factory=list)
    """What follows its name in a line each: what was done to it, or taken for granted."""


def reading_sae(what: str) -> AbstractContextManager[None]:
    """Say on one line what is wrong with an SAE.

    Parameters
    ----------
    what
        What the message calls it.

    Returns
    -------
    AbstractContextManager
        As `plateaulens.errors.reading` gives it.
    """
    return reading(f"SAE {what} cannot be read", "fetch or train it again")


def from_folder(folder: Path) -> Read:
    """Read an SAE in SAELens' on-disk format, a checkpoint of its training among them.

    Parameters
    ----------
    folder
        Where it lies.

    Returns
    -------
    Read
        In float32.

    Raises
    ------
    UsageError
        When it is none.
    """
    missing = [name for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME) if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"SAE {folder} lacks {', '.join(missing)}: give a folder in SAELens' on-disk format")
    shipped = folder / SPARSITY_FILENAME
    notes: list[str] = []
    with reading_sae(str(folder)), _loaders(notes), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how its model is best loaded
        check_real(folder / SAE_WEIGHTS_FILENAME)
        sae = SAE.load_from_disk(folder, dtype="float32")
        logarithm = load_file(shipped)["sparsity"] if shipped.is_file() else None
    together = hashlib.sha256()
    for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME, *((SPARSITY_FILENAME,) if shipped.is_file() else ())):
        together.update(sha256_of(folder / name).encode())

    def beside(name: str) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    identity = {"name": folder.name, "sha256": together.hexdigest()}
    return Read(sae, logarithm, identity, beside, sae.cfg.metadata.hook_name, None, _written(folder), notes)


def from_release(release: Release) -> Read:
    """Read an SAE of a release, or of another repository with folders in SAELens' on-disk format.

    Parameters
    ----------
    release
        Which, and the commit that has it.

    Returns
    -------
    Read
        In float32.

    Raises
    ------
    UsageError
        When it cannot be fetched or read.
    """
    repository, what = release.repository, f"{release.name}:{release.id}"
    notes: list[str] = []
    known = get_pretrained_saes_directory().get(release.name)
    converted: dict[str, Any] = {}

    def convert(*args: Any, **kwargs: Any) -> Any:
        loader = pretrained_sae_loaders.NAMED_PRETRAINED_SAE_LOADERS[
            pretrained_sae_loaders.get_conversion_loader_name(release.name)
        ]
        found = loader(*args, **kwargs)
        converted.update(found[0])
        return found

    with reading_sae(what), _loaders(notes, repository.commit), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a repository may be named instead of its release
        sae, _, logarithm = SAE.from_pretrained_with_cfg_and_sparsity(
            release.name, release.id, dtype="float32", converter=convert
        )
    repository.remember()
    identity = {"release": release.name, "id": release.id, "hub_id": repository.name, "commit": repository.commit}
    folder = release.id if known is None else known.saes_map[release.id]

    def beside(name: str) -> Path | None:
        file = f"{folder}/{name}"
        return repository.fetch([file]) / file if file in repository.files else None

    # True is what the mode was called once
    is_average = converted.get("normalize_activations") in (AVERAGE, True)
    folded = get_norm_scaling_factor(release.name, release.id) if is_average else None
    hook, entry = sae.cfg.metadata.hook_name, known_entry(release.name, release.id)
    if hook == "hook_embed" and entry is not None:
        hook = entry.site.name
    return Read(sae, logarithm, identity, beside, hook, folded, _flat(converted), notes)


def _written(folder: Path) -> dict[str, Any]:
    """What a folder's configuration says, and that of its training, where there is one, of how long it was."""
    runner: Any = None
    with suppress(OSError, ValueError, RecursionError):  # nothing else is read from it: damaged, it says nothing
        runner = json.loads((folder / RUNNER_CFG_FILENAME).read_bytes())
    trained = {"training_tokens": runner.get("training_tokens")} if isinstance(runner, dict) else {}
    return trained | _flat(json.loads((folder / SAE_CFG_FILENAME).read_bytes()))


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    metadata = settings.get("metadata")
    return settings | (metadata if isinstance(metadata, dict) else {})


@contextmanager
def _loaders(notes: list[str], commit: str | None = None) -> Iterator[None]:
    """Have SAELens' loaders read what its earlier versions and its training saved, noting what was done about it.

    With a commit they, who know no revisions, take the files of that one, the cached ones unasked.
    """
    loaders = vars(pretrained_sae_loaders)
    read = loaders["read_sae_components_from_disk"]
    download = partial(hf_hub_download, revision=commit)

    def components(cfg_dict: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
        finetuned = bool(cfg_dict.setdefault("finetuning_scaling_factor", False))
        settings, state = read(cfg_dict, *args, **kwargs)
        factor = state.pop("finetuning_scaling_factor", None)
        if factor is not None:
            _scale_decoder(settings, state, factor, finetuned=finetuned)
            notes.append("has the scaling factors of its finetuning folded into its decoder")
        architecture = settings.get("architecture", "standard")
        if architecture not in SAE_CLASS_REGISTRY and architecture in SAE_TRAINING_CLASS_REGISTRY:
            settings, state = _for_inference(settings, state)
            notes.append(
                f"is a checkpoint of its training ({architecture}): it is read as SAELens saves it for inference "
                f"({settings['architecture']})"
            )
        elif architecture not in SAE_CLASS_REGISTRY:
            raise ValueError(f"SAELens knows no architecture {shown(architecture)}")
        return settings, state

    def shapes(repository: str, file: str) -> dict[str, list[int]]:
        """What SAELens asks the hub for over and above the cache."""
        with safe_open(download(repository, file), framework="pt") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118

    changes: dict[str, Callable[..., Any]] = {"read_sae_components_from_disk": components}
    if commit is not None:
        changes |= {"hf_hub_download": download, "get_safetensors_tensor_shapes": shapes}
    before = {name: loaders[name] for name in changes}
    loaders.update(changes)
    try:
        yield
    finally:
        loaders.update(before)


def _scale_decoder(settings: dict[str, Any], state: dict[str, Tensor], factor: Tensor, *, finetuned: bool) -> None:
    """SAELens up to 5 decoded `(code * factor) @ W_dec + b_dec`."""
    if not finetuned:
        raise ValueError("it has scaling factors, and its finetuning_scaling_factor is false")
    if settings.get("architecture") in TIED or settings.get("rescale_acts_by_decoder_norm"):
        raise ValueError("it has scaling factors beside a decoder whose lengths have another meaning")
    state["W_dec"] = state["W_dec"] * factor[:, None]


def _for_inference(settings: dict[str, Any], state: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What SAELens' `save_inference_model` would write of a checkpoint."""
    trained, configuration = SAE_TRAINING_CLASS_REGISTRY[settings["architecture"]]
    sae: Any = trained(configuration.from_dict(settings | {"device": "meta"}))
    sae.process_state_dict_for_loading(state)
    sae.load_state_dict(state, assign=True)
    result = sae.state_dict()
    with torch.no_grad():
        sae.process_state_dict_for_saving_inference(result)
    return {**sae.cfg.get_inference_sae_cfg_dict(), "device": "cpu"}, result
