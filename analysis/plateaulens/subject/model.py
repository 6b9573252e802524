"""The language model under study: its sites, and reading its residual stream.

One `Subject` holds a TransformerLens `TransformerBridge`, the tokenizer, and the two sites of a run.
"""

import re
from dataclasses import dataclass, replace
from typing import Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.subject.copies import centred_copy, shared_copy
from plateaulens.subject.weights import load_weights, loading

_SITE = re.compile(r"blocks\.(\d{1,6})\.hook_resid_(pre|post)", re.ASCII)


@dataclass(frozen=True)
class Site:
    """A place in the residual stream: before (`pre`) or after (`post`) one block."""

    name: str
    """Its TransformerLens hook."""
    block: int
    after: bool

    @property
    def boundary(self) -> int:
        """How many blocks have run when the stream passes here: `post` of block 0 is `pre` of block 1."""
        return self.block + self.after


def parse_site(name: str, blocks: int) -> Site:
    """The site that a TransformerLens hook name stands for.

    Parameters
    ----------
    name
        Hook of a residual stream, `blocks.N.hook_resid_pre` or `blocks.N.hook_resid_post`.
    blocks
        Number of blocks of the model.

    Returns
    -------
    Site
        Before or after block N.

    Raises
    ------
    UsageError
        For a hook that is no residual stream, or a block that the model does not have.

    Examples
    --------
    >>> parse_site("blocks.1.hook_resid_pre", blocks=12).boundary
    1
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


def parse_sites(sites: SiteConfig, blocks: int) -> tuple[Site, Site]:
    """The write and the read site.

    Parameters
    ----------
    sites
        Their hook names.
    blocks
        Number of blocks of the model.

    Returns
    -------
    tuple of Site
        The write site, and the read site, which is not before it.

    Raises
    ------
    UsageError
        As `parse_site` does, and when the read site comes first.
    """
    write, read = parse_site(sites.write, blocks), parse_site(sites.read, blocks)
    if read.boundary < write.boundary:
        raise UsageError(f"sites: {read.name} is read before {write.name} is written; choose a later read site")
    return write, read


@dataclass(frozen=True)
class Subject:
    """A model with a write site and a read site.

    The bridge runs in evaluation mode and never builds gradients through these methods.
    """

    bridge: TransformerBridge
    tokenizer: PreTrainedTokenizerBase
    identity: dict[str, str]
    """What identifies the weights."""
    write: Site
    read: Site
    model: PreTrainedModel | None
    """A model without the bridge's hooks that has its residual stream: the very weights, or where the bridge processed
    them a copy with the writing layers centred; None where no such copy is known to be right."""

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
        """The residual stream at the write site for every token, running no block beyond it.

        Parameters
        ----------
        tokens
            Token ids, shaped (prompt, position), on any device.
        batch_size
            Prompts that go through the model at once.

        Returns
        -------
        Tensor
            Shaped (prompt, position, d_model), on the model's device.
        """
        parts = [self._stream(part.to(self.device)) for part in tokens.split(batch_size)]
        return torch.cat(parts)

    def last_activations(
        self, tokens: Int[Tensor, "prompt position"], *, batch_size: int = 256
    ) -> Float[Tensor, "prompt d_model"]:
        """`activations` at the last position of each prompt, the only one that is ever perturbed.

        Parameters
        ----------
        tokens
            Token ids, shaped (prompt, position), on any device.
        batch_size
            Prompts that go through the model at once.

        Returns
        -------
        Tensor
            Shaped (prompt, d_model), on the model's device.
        """
        return torch.cat([self.activations(part)[:, -1].clone() for part in tokens.split(batch_size)])

    def _stream(self, tokens: Int[Tensor, "prompt position"]) -> Float[Tensor, "prompt position d_model"]:
        if self.write.boundary < self.blocks:
            return cast("Tensor", self.bridge(tokens, stop_at_layer=self.write.boundary))
        _, cache = self.bridge.run_with_cache(tokens, names_filter=self.write.name)
        return cache[self.write.name]

    def at(self, sites: SiteConfig) -> Self:
        """The same model, written and read elsewhere.

        Parameters
        ----------
        sites
            The other sites.

        Returns
        -------
        Subject
            With the same bridge and weights.

        Raises
        ------
        UsageError
            As `parse_sites` does.
        """
        write, read = parse_sites(sites, self.blocks)
        return replace(self, write=write, read=read)

    def text(self, tokens: Int[Tensor, "prompt position"]) -> list[str]:
        """The prompts as strings, special tokens shown, spaces left as the model has them.

        Parameters
        ----------
        tokens
            Token ids, shaped (prompt, position).

        Returns
        -------
        list of str
            One string for each prompt.
        """
        return [str(self.tokenizer.decode(row, clean_up_tokenization_spaces=False)) for row in tokens]


def load_subject(model: ModelConfig, sites: SiteConfig) -> Subject:
    """Load the model that a configuration names and check its sites.

    Parameters
    ----------
    model
        Which model, on which device, and how its weights are processed.
    sites
        Where it is written and read.

    Returns
    -------
    Subject
        In evaluation mode, in float32, without gradients.

    Raises
    ------
    UsageError
        When the weights cannot be had or the device cannot be used, or when a site does not exist or is read before it
        is written.
    """
    weights = load_weights(model)
    blocks = int(weights.model.config.num_hidden_layers)
    write, read = parse_sites(sites, blocks)
    # TransformerLens would load a tokenizer again that does not say that it prepends BOS, perhaps from a hub
    weights.tokenizer.init_kwargs["add_bos_token"] = True
    _place(weights.model.eval(), model.device)
    plain = (shared_copy if model.processing == "none" else centred_copy)(weights.model)
    with loading(model.source):
        bridge = TransformerBridge.boot_transformers(
            weights.architecture,
            hf_model=weights.model,
            tokenizer=weights.tokenizer,
            device=model.device,
            dtype=torch.float32,
            trust_remote_code=False,
        )
        if model.processing == "folded":
            bridge.enable_compatibility_mode(disable_warnings=True)
    bridge.requires_grad_(requires_grad=False)
    return Subject(bridge, weights.tokenizer, weights.identity, write, read, plain)


def _place(model: PreTrainedModel, device: str) -> None:
    with reading(f"model.device {shown(device)} cannot be used here", "name one as PyTorch does"):
        torch.nn.Module.to(model, device)
