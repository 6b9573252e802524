"""The language model under study: its sites, and reading its residual stream.

One `Subject` holds a TransformerLens `TransformerBridge`, the tokenizer, and the two sites of a run.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn, Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.subject.anatomy import (
    Anatomy,
    check_site,
    find_anatomy,
    find_blocks,
    reading_sites,
    run,
    site_width,
    text_config,
)
from plateaulens.subject.copies import centred_copy, shared_copy
from plateaulens.subject.sites import Site, parse_sites
from plateaulens.subject.weights import load_weights, loading


@dataclass(frozen=True)
class Subject:
    """A model with a write site and a read site.

    It runs in evaluation mode and never builds gradients through these methods.
    """

    lens: TransformerBridge | None
    """TransformerLens' way to the same weights; None where it does not know the architecture, or is not right."""
    tokenizer: PreTrainedTokenizerBase
    identity: dict[str, str]
    """What identifies the weights."""
    write: Site
    read: Site
    model: PreTrainedModel | None
    """A model without the bridge's hooks that has its residual stream: the very weights, or where the bridge processed
    them a copy with the writing layers centred; None where no such copy is known to be right."""
    position: int = -1
    """Which token of a prompt is perturbed, counted from the end where it is negative."""
    is_narrow: bool = False
    """Whether the blocks hold their weights in bfloat16."""
    frozen: tuple[Site, ...] = ()
    """Parts of blocks behind the write site whose output is held at what it is in the unperturbed prompt."""

    @property
    def bridge(self) -> TransformerBridge:
        """TransformerLens' bridge, where there is one."""
        assert self.lens is not None
        return self.lens

    @property
    def _weights(self) -> Any:
        return self.model if self.lens is None else self.lens.original_model

    @property
    def config(self) -> Any:
        """The transformers configuration of the language model."""
        return text_config(self._weights.config)

    @property
    def model_type(self) -> str:
        """What transformers calls the architecture."""
        return str(getattr(self.config, "model_type", "unknown"))

    @cached_property
    def anatomy(self) -> Anatomy:
        """Where the sites are among the modules of `model`."""
        assert self.model is not None
        within = [site.block for site in self._all_sites if site.is_within_block]
        return find_anatomy(self.model, within) if within else Anatomy(find_blocks(self.model), None)

    @property
    def _all_sites(self) -> tuple[Site, ...]:
        return self.write, self.read, *self.frozen

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.config.hidden_size if self.lens is None else self.bridge.cfg.d_model)

    @cached_property
    def width(self) -> int:
        """Numbers of an activation at the write site: `d_model` but for `z`."""
        return self.d_model if self.write.place != "z" else site_width(self.anatomy, self.write, self.d_model)

    @property
    def vocabulary(self) -> int:
        """Number of token ids that the model knows."""
        return int(self.config.vocab_size if self.lens is None else self.bridge.cfg.d_vocab)

    @property
    def positions(self) -> int:
        """Number of tokens that a prompt may have; any where the model names none."""
        return int(getattr(self.config, "max_position_embeddings", None) or sys.maxsize)

    @property
    def blocks(self) -> int:
        """Number of transformer blocks."""
        return int(self.config.num_hidden_layers if self.lens is None else self.bridge.cfg.n_layers)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return cast("torch.device", next(self._weights.parameters()).device)

    @torch.inference_mode()
    def activations(
        self, tokens: Int[Tensor, "prompt position"], *, batch_size: int = 256
    ) -> Float[Tensor, "prompt position width"]:
        """What passes the write site for every token.

        Parameters
        ----------
        tokens
            Token ids, shaped (prompt, position), on any device.
        batch_size
            Prompts that go through the model at once.

        Returns
        -------
        Tensor
            Shaped (prompt, position, width), on the model's device.
        """
        parts = [self._passing(part.to(self.device)) for part in tokens.split(batch_size)]
        return torch.cat(parts)

    def last_activations(
        self, tokens: Int[Tensor, "prompt position"], *, batch_size: int = 256
    ) -> Float[Tensor, "prompt width"]:
        """`activations` at the position of each prompt that is perturbed.

        Parameters
        ----------
        tokens
            Token ids, shaped (prompt, position), on any device.
        batch_size
            Prompts that go through the model at once.

        Returns
        -------
        Tensor
            Shaped (prompt, width), on the model's device.
        """
        return torch.cat([self.activations(part)[:, self.position].clone() for part in tokens.split(batch_size)])

    def _passing(self, tokens: Int[Tensor, "prompt position"]) -> Float[Tensor, "prompt position width"]:
        if self.lens is None or not self.write.is_between_blocks:
            assert self.model is not None
            with reading_sites(self.anatomy, {"write": self.write}) as kept:
                run(self.model, tokens)
            passing = kept["write"].float()  # what a layer in bfloat16 reads is rounded before it is seen
            if passing.ndim != 3 or passing.shape[:2] != tokens.shape:
                raise UsageError(
                    f"model type {self.model_type!r} cannot be measured: its blocks do not read one residual stream"
                )
            return passing
        if self.write.boundary < self.blocks:
            return cast("Tensor", self.bridge(tokens, stop_at_layer=self.write.boundary))
        _, cache = self.bridge.run_with_cache(tokens, names_filter=self.write.hook)
        return cache[self.write.hook]

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
        other = replace(self, **parse_sites(sites, self.blocks)._asdict())
        other.check_sites()
        return other

    def check_sites(self) -> None:
        """Refuse sites that the model does not have.

        Raises
        ------
        UsageError
            That names the first such site.
        """
        for site in self._all_sites:
            if site.is_within_block:
                if self.model is None:
                    raise UsageError(f"site {site.name!r} is in reach of unprocessed weights only: processing = 'none'")
                check_site(self.anatomy, site)

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
    weights = load_weights(model, model.device)
    blocks = int(text_config(weights.model.config).num_hidden_layers)
    write, read, frozen = parse_sites(sites, blocks)
    # TransformerLens would load a tokenizer again that does not say that it prepends BOS, perhaps from a hub
    weights.tokenizer.init_kwargs["add_bos_token"] = True
    torch.nn.Module.to(weights.model.eval(), model.device)  # a GGUF file's are not there yet
    plain = (shared_copy if model.processing == "none" else centred_copy)(weights.model)
    is_narrow = model.dtype == "bfloat16"
    with loading(model.source):
        folded, name = model.processing == "folded", weights.architecture
        bridge = (
            None if is_narrow else boot(weights.model, weights.tokenizer, name=name, device=model.device, folded=folded)
        )
    of_weights = (bridge, weights.tokenizer, weights.identity)
    subject = Subject(*of_weights, write, read, plain, is_narrow=is_narrow, frozen=frozen)
    subject.check_sites()
    return subject


def boot(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str, device: str, folded: bool = False
) -> TransformerBridge | None:
    """TransformerLens' bridge to a model, which shares its weights.

    Parameters
    ----------
    model
        The model; the bridge puts modules of its own in place of some of its.
    tokenizer
        The model's.
    name
        What the model is called; TransformerLens records it.
    device
        Where the model is.
    folded
        Whether the weights are processed.

    Returns
    -------
    TransformerBridge or None
        None where TransformerLens does not know a model that is measured as published, and for a model that reads
        pictures as well: of that it would ask a hub, and install what it lacks for pictures.

    Raises
    ------
    UsageError
        For a model that reads pictures as well and is to be processed.
    """
    if text_config(model.config) is not model.config:
        if folded:
            raise UsageError('a model that reads pictures as well is measured as published: use processing = "none"')
        return None
    try:
        with _installing_nothing():
            bridge = TransformerBridge.boot_transformers(
                name, hf_model=model, tokenizer=tokenizer, device=device, dtype=torch.float32, trust_remote_code=False
            )
    except Exception:
        if folded:
            raise
        return None
    if folded:
        bridge.enable_compatibility_mode(disable_warnings=True)
    bridge.requires_grad_(requires_grad=False)
    return bridge


@contextmanager
def _installing_nothing() -> Iterator[None]:
    """Keep TransformerLens, which runs pip for what it lacks, from starting programs."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError("no program is started while a model loads")

    before = subprocess.check_call
    subprocess.check_call = refuse
    try:
        yield
    finally:
        subprocess.check_call = before
