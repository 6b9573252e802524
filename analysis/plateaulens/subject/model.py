"""The language model under study: loading it, and reading and writing its residual stream.

One `Subject` holds a TransformerLens `TransformerBridge`, the tokenizer, and the two sites of a run. Models come from
the installation itself (`embedded:NAME`), a hub, a directory, or a GGUF file; the source decides how weights are read
and how they are identified, and nothing after that.
"""

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    modeling_gguf_pytorch_utils,
)
from transformers.utils import logging as transformers_logging

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError, first_line
from plateaulens.subject.embedded import EMBEDDED, locate, sha256_of

_SITE = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")


@dataclass(frozen=True)
class Site:
    """A place in the residual stream: before (`pre`) or after (`post`) one block."""

    name: str
    block: int
    after: bool

    @property
    def boundary(self) -> int:
        """How many blocks have run when the stream passes here: `post` of block 0 is `pre` of block 1."""
        return self.block + self.after


def parse_site(name: str, blocks: int) -> Site:
    """The site that a TransformerLens hook name stands for.

    >>> parse_site("blocks.1.hook_resid_pre", blocks=12).boundary
    1

    Raises `UsageError` for a hook that is no residual stream, or a block the model does not have.
    """
    match = _SITE.fullmatch(name)
    if match is None:
        raise UsageError(
            f"site {name!r} is not a residual stream: use blocks.N.hook_resid_pre or blocks.N.hook_resid_post"
        )
    block = int(match[1])
    if block >= blocks:
        raise UsageError(f"site {name!r}: the model has {blocks} blocks, numbered 0 to {blocks - 1}")
    return Site(name, block, match[2] == "post")


@dataclass(frozen=True)
class Weights:
    """A loaded model, its tokenizer, and what identifies the weights."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: dict[str, str]
    architecture: str
    """The name under which TransformerLens looks up the architecture."""


@dataclass(frozen=True)
class Subject:
    """A model with a write site and a read site.

    The bridge runs in evaluation mode and never builds gradients through these methods.
    """

    bridge: TransformerBridge
    tokenizer: PreTrainedTokenizerBase
    identity: dict[str, str]
    write: Site
    read: Site
    model: PreTrainedModel | None
    """The model without the bridge's hooks, sharing its weights; None where the bridge processed them."""

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.bridge.cfg.d_model)

    @property
    def blocks(self) -> int:
        """Number of transformer blocks."""
        return int(self.bridge.cfg.n_layers)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.bridge.original_model.parameters()).device

    @torch.inference_mode()
    def activations(
        self, tokens: Int[Tensor, "prompt position"], *, batch_size: int = 256
    ) -> Float[Tensor, "prompt position d_model"]:
        """The residual stream at the write site for every token, running no block beyond it."""
        parts = [self._stream(part.to(self.device)) for part in tokens.split(batch_size)]
        return torch.cat(parts)

    def last_activations(
        self, tokens: Int[Tensor, "prompt position"], *, batch_size: int = 256
    ) -> Float[Tensor, "prompt d_model"]:
        """`activations` at the last position of each prompt, the only one that is ever perturbed."""
        return torch.cat([self.activations(part)[:, -1].clone() for part in tokens.split(batch_size)])

    def _stream(self, tokens: Int[Tensor, "prompt position"]) -> Float[Tensor, "prompt position d_model"]:
        if self.write.boundary < self.blocks:
            return cast("Tensor", self.bridge(tokens, stop_at_layer=self.write.boundary))
        _, cache = self.bridge.run_with_cache(tokens, names_filter=self.write.name)
        return cache[self.write.name]

    def text(self, tokens: Int[Tensor, "prompt position"]) -> list[str]:
        """The prompts as strings, special tokens shown, spaces left as the model has them."""
        return [str(self.tokenizer.decode(row, clean_up_tokenization_spaces=False)) for row in tokens]


def load_subject(model: ModelConfig, sites: SiteConfig) -> Subject:
    """Load the model that a configuration names and check its sites.

    Raises `UsageError` when the weights cannot be had, or a site does not exist or is read before it is written.
    """
    weights = load_weights(model)
    blocks = int(weights.model.config.num_hidden_layers)
    write, read = parse_site(sites.write, blocks), parse_site(sites.read, blocks)
    if read.boundary < write.boundary:
        raise UsageError(f"sites: {read.name} is read before {write.name} is written; choose a later read site")
    # TransformerLens would load a tokenizer again that does not say that it prepends BOS, perhaps from a hub
    weights.tokenizer.init_kwargs["add_bos_token"] = True
    _place(weights.model.eval(), model.device)
    plain = shared_copy(weights.model) if model.processing == "none" else None
    with _loading(model.source):
        bridge = TransformerBridge.boot_transformers(
            weights.architecture,
            hf_model=weights.model,
            tokenizer=weights.tokenizer,
            device=model.device,
            dtype=torch.float32,
        )
        if model.processing == "folded":
            bridge.enable_compatibility_mode(disable_warnings=True)
    bridge.requires_grad_(requires_grad=False)
    return Subject(bridge, weights.tokenizer, weights.identity, write, read, plain)


def shared_copy(model: PreTrainedModel) -> PreTrainedModel:
    """The same parameters and buffers in modules of their own.

    A bridge puts its own modules in place of those of the model that it is booted from; the copy keeps the originals.
    """
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})


def load_weights(config: ModelConfig) -> Weights:
    """Read the weights and the tokenizer from wherever `config.source` points, on the CPU.

    `embedded:NAME` and local paths never touch the network. Raises `UsageError` when the source does not exist or
    cannot be reached or read.
    """
    kind, _, name = config.source.partition(":")
    path = Path(config.source)
    if kind == "embedded":
        if name not in EMBEDDED:
            raise UsageError(f"no embedded model {name!r}: there is {', '.join(EMBEDDED)}")
        embedded = EMBEDDED[name]
        path, architecture = locate(embedded), embedded.architecture
    else:
        architecture = config.source
    with _loading(config.source):
        return _from_gguf(path, architecture) if path.suffix == ".gguf" else _from_pretrained(config)


def _place(model: PreTrainedModel, device: str) -> None:
    try:
        torch.nn.Module.to(model, device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"model.device {device!r} cannot be used here ({first_line(error)})") from error


def _from_gguf(path: Path, architecture: str) -> Weights:
    if not path.is_file():
        raise UsageError(f"model {path} does not exist")
    options: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    model = _model(str(path.parent), options)
    # the weights are plain float32 from here on; a stale quantization entry makes other tools refuse them
    model.config.quantization_config = None
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **options)
    return Weights(model, tokenizer, {"file": path.name, "sha256": sha256_of(path)}, architecture)


def _from_pretrained(config: ModelConfig) -> Weights:
    local = Path(config.source).is_dir()
    options: dict[str, Any] = {"revision": config.revision, "local_files_only": local}
    model = _model(config.source, options)
    tokenizer = AutoTokenizer.from_pretrained(config.source, **options)
    identity = {
        "hub_id": config.source,
        "revision": str(getattr(model.config, "_commit_hash", None) or config.revision),
    }
    if local:
        folder = Path(config.source)
        files = sorted(file for kind in ("config.json", "*.safetensors", "*.bin") for file in folder.glob(kind))
        identity = {"directory": folder.resolve().name, **{file.name: sha256_of(file) for file in files}}
    return Weights(model, tokenizer, identity, config.source)


def _model(source: str, options: dict[str, Any]) -> PreTrainedModel:
    loaded: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, output_loading_info=True, **options)
    model, report = loaded
    # transformers fills what a checkpoint lacks with random numbers, and only warns
    if lacking := sorted(report["missing_keys"]):
        raise UsageError(
            f"model {source!r} lacks weights ({lacking[0]}, one of {len(lacking)}): use a whole checkpoint"
        )
    return cast("PreTrainedModel", model)


@contextmanager
def _loading(source: str) -> Iterator[None]:
    """Keep progress bars and advice off the screen while a model loads, and say what is wrong on one line."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    gguf = vars(modeling_gguf_pytorch_utils)
    gguf_bar = gguf["tqdm"]
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    gguf["tqdm"] = partial(gguf_bar, disable=True)  # heeds no setting
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise UsageError(
            f"model {source!r} could not be loaded ({first_line(error)}): give a hub id that can be reached, a "
            "directory that holds the model, or a .gguf file"
        ) from error
    finally:
        gguf["tqdm"] = gguf_bar
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
