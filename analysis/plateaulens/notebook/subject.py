"""A language model for a notebook: one that is in memory already, or one that is loaded by its name."""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.notebook.cards import card
from plateaulens.subject import model as models
from plateaulens.subject.anatomy import text_config
from plateaulens.subject.architectures import check_architecture
from plateaulens.subject.copies import shared_copy
from plateaulens.subject.sites import parse_sites
from plateaulens.subject.tokenizing import Encoder

MEMORY = "in memory"
"""What a run's configuration names as the source of what was given to it as an object."""
Texts = Sequence[str]
TokenIds = Tensor | NDArray[np.integer] | Sequence[Sequence[int]]
WANTED = "wanted are token ids (prompt, position) or a list of texts"
_BRIDGED = "._original_component"
"""What TransformerLens puts into the name of each weight of a model that it bridges."""
_ROUNDING = 1e-3


class Subject:
    """A language model, and where its activations are replaced and the effect is read.

    A model in memory is left as it is: its weights are shared and no hook is added. It must hold float32 weights, and
    is run in evaluation mode.

    Parameters
    ----------
    model
        A TransformerLens `TransformerBridge`; a transformers model, with `tokenizer`; or what `[model] source` of a
        preset may be, which is loaded: a directory, a GGUF file, `embedded:smollm2`, a hub id.
    write
        Where an activation is replaced, as TransformerLens names hooks.
    read
        Where the effect is read, behind `write`; None is the end of the last block.
    frozen
        What is held at what it is in the unperturbed prompt: names of parts of blocks, as `[sites] frozen` has them.
    tokenizer
        Of a transformers model.
    position
        Which token of a prompt is perturbed, from the end where it is negative.
    device, dtype, processing, revision
        As the keys of `[model]`, for a model that is loaded; None leaves each at its default.

    Raises
    ------
    UsageError
        When the model cannot be loaded or is none that can be measured, when options do not go with it, and when a site
        does not exist or is read before it is written.
    """

    def __init__(
        self,
        model: TransformerBridge | PreTrainedModel | str | Path,
        *,
        write: str,
        read: str | None = None,
        frozen: Sequence[str] = (),
        tokenizer: PreTrainedTokenizerBase | None = None,
        position: int = -1,
        device: str | None = None,
        dtype: Literal["float32", "bfloat16"] | None = None,
        processing: Literal["none", "folded"] | None = None,
        revision: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"device": device, "dtype": dtype, "processing": processing, "revision": revision}
        given = {name: value for name, value in options.items() if value is not None}
        if isinstance(model, str | Path):
            if tokenizer is not None:
                raise UsageError(
                    "tokenizer goes with a transformers model; one that is loaded has its own: leave it out"
                )
            with reading("the options of the model"):
                self.model = ModelConfig(source=str(model), **given)
            # sites that every model has: how many blocks it has is known when it is loaded
            first = SiteConfig(write="blocks.0.hook_resid_pre", read="blocks.0.hook_resid_post")
            loaded = models.load_subject(self.model, first)
            self.sites = _sites(write, read, frozen, loaded.blocks)
            loaded = loaded.at(self.sites)
        else:
            if given:
                raise UsageError(f"{next(iter(given))} goes with a model that is loaded, and this one is: leave it out")
            loaded, self.model, self.sites = _in_memory(model, tokenizer, write, read, frozen)
        if not is_whole(position):
            raise UsageError(f"position is {shown(position)}: give a whole number, from the end where it is negative")
        self.loaded = replace(loaded, position=position)

    def activations(self, tokens: TokenIds | Texts, *, length: int | None = None) -> Float[Tensor, "prompt width"]:
        """What passes the write site at the position that is perturbed: what real activations are there.

        Parameters
        ----------
        tokens
            Token ids (prompt, position), or texts.
        length
            Tokens that each prompt is cut to; None takes them whole.

        Returns
        -------
        Tensor
            Shaped (prompt, width), in float32, on the CPU.

        Raises
        ------
        UsageError
            For what are no prompts of one length, has no token at the position, or is longer than the model reads.
        """
        ids = prompts_of(self.loaded, tokens, length)
        check_architecture(self.loaded.config, length=ids.shape[1])
        return self.loaded.last_activations(ids).cpu()

    def __repr__(self) -> str:
        held = f", frozen={self.sites.frozen!r}" if self.sites.frozen else ""
        return f"Subject({self.model.source!r}, write={self.sites.write!r}, read={self.sites.read!r}{held})"

    def _repr_html_(self) -> str:
        own = self.loaded
        facts = {
            "model": f"{own.model_type}, {own.blocks} blocks, {own.d_model} wide",
            "sites": f"{self.sites.write} → {self.sites.read}",
            **({"held": ", ".join(self.sites.frozen)} if self.sites.frozen else {}),
            "position": str(own.position),
            "weights": f"{self.model.dtype} on {own.device}, processing {self.model.processing}",
        }
        return card("subject", self.model.source, facts)


def prompts_of(
    subject: models.Subject, given: TokenIds | Texts, length: int | None = None, what: str = "tokens"
) -> Int[Tensor, "prompt position"]:
    """Token ids of prompts in memory.

    Parameters
    ----------
    subject
        The model, whose tokenizer makes tokens of texts, with exactly one BOS in front where it has one.
    given
        Token ids shaped (prompt, position), as a tensor, an array or lists; or texts.
    length
        Tokens that each prompt is cut to; None takes them whole.
    what
        What messages call them.

    Returns
    -------
    Tensor
        In int64, on the CPU.

    Raises
    ------
    UsageError
        When they are neither, not of one length, too short, or unknown to the model, or when there is no token at the
        position that is perturbed.
    """
    if isinstance(given, str):
        raise UsageError(f"{what} are one text: {WANTED}")
    rows: Any = given
    if length is not None and (not is_whole(length) or length < 1):
        raise UsageError(f"length is {shown(length)}, wanted is a number of tokens")
    if isinstance(given, list | tuple):
        if not given:
            raise UsageError(f"{what} are empty: {WANTED}")
        if all(isinstance(each, str) for each in given):
            rows = _tokenized(subject, [str(each) for each in given], length, what)
        elif all(isinstance(each, list | tuple) for each in given):
            cut = _one_length([len(each) for each in given], length, what)
            rows = [list(each[:cut]) for each in given]
    with reading(f"{what} are no array of numbers", WANTED):
        ids = (rows.detach().cpu() if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows))).clone()
    if ids.ndim != 2 or ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool or not ids.numel():
        raise UsageError(f"{what} are {str(ids.dtype).removeprefix('torch.')} {tuple(ids.shape)}: {WANTED}")
    if length is not None:
        ids = ids[:, : _one_length([ids.shape[1]], length, what)]
    ids = ids.long()
    odd = ids[(ids < 0) | (ids >= subject.vocabulary)]
    if odd.numel():
        raise UsageError(f"{what} have token id {int(odd[0])}, the model knows 0 to {subject.vocabulary - 1}")
    if not -ids.shape[1] <= subject.position < ids.shape[1]:
        raise UsageError(f"position is {subject.position}, and {what} have {ids.shape[1]} tokens each")
    return ids.contiguous()


def weights_sha256(model: PreTrainedModel) -> str:
    """A digest of all weights and buffers of a model, whatever file they came from.

    Parameters
    ----------
    model
        The model, on any device.

    Returns
    -------
    str
        SHA-256 over name, dtype, shape and bytes of each, by name.
    """
    digest = hashlib.sha256()
    tensors = dict(chain(model.named_parameters(), model.named_buffers()))
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def is_whole(value: object) -> bool:
    """Whether something is a whole number, of Python's or NumPy's.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    bool
        False for a truth value.
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _sites(write: str, read: str | None, frozen: Sequence[str], blocks: int) -> SiteConfig:
    if isinstance(frozen, str):
        raise UsageError(f"frozen is one text, {shown(frozen)}: give a list of names")
    with reading("the sites", 'name hooks, such as write="blocks.1.hook_resid_pre"'):
        own = f"blocks.{blocks - 1}.hook_resid_post" if read is None else read
        return SiteConfig(write=write, read=own, frozen=tuple(frozen))


def _in_memory(
    model: Any, tokenizer: PreTrainedTokenizerBase | None, write: str, read: str | None, frozen: Sequence[str]
) -> tuple[models.Subject, ModelConfig, SiteConfig]:
    bridge = model if isinstance(model, TransformerBridge) else None
    found = model if bridge is None else bridge.original_model
    if not isinstance(found, PreTrainedModel):
        raise UsageError(
            f"the model is a {type(found).__name__}: give a TransformerBridge, a transformers model (an adapter merged "
            "into it), or the name of one"
        )
    tokenizer = tokenizer if bridge is None else tokenizer or bridge.tokenizer
    if tokenizer is None:
        raise UsageError("the model comes without its tokenizer: give tokenizer=...")
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise UsageError(f"tokenizer is a {type(tokenizer).__name__}: give the model's own, as AutoTokenizer loads it")
    _check_weights(found)
    plain = shared_copy(found).eval() if bridge is None else _unbridged(bridge)
    if bridge is not None and bridge.training:
        raise UsageError("the bridge is in training mode: call .eval() on it")
    blocks = int(text_config(found.config).num_hidden_layers)
    sites = _sites(write, read, frozen, blocks)
    settings = ModelConfig(
        source=f"{MEMORY}: {type(found).__name__}",
        processing="none" if plain is not None else "folded",
        device=str(next(found.parameters()).device),
    )
    identity = {"class": type(found).__name__, "sha256": weights_sha256(found if plain is None else plain)}
    own = parse_sites(sites, blocks)
    subject = models.Subject(bridge, tokenizer, identity, own.write, own.read, plain, frozen=own.frozen)
    subject.check_sites()
    return subject, settings, sites


def _check_weights(model: PreTrainedModel) -> None:
    for name, weight in model.named_parameters():
        if weight.dtype != torch.float32 or weight.is_meta:
            is_float = weight.is_floating_point() and not weight.is_meta
            raise UsageError(
                f"the model's weight {shown(name)} is {'on meta' if weight.is_meta else weight.dtype}, wanted is "
                f"torch.float32: {'call .float() on it' if is_float else 'use weights that are loaded and unquantized'}"
            )


@torch.inference_mode()
def _unbridged(bridge: TransformerBridge) -> PreTrainedModel | None:
    """The model that a bridge was booted from, with the same weights; None where it has processed them."""
    model: Any = bridge.original_model
    names = model.state_dict(keep_vars=True)
    with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]):  # weights are drawn, and replaced
        plain: Any = type(model)(copy.deepcopy(model.config)).eval().requires_grad_(requires_grad=False)
        weights = {name.replace(_BRIDGED, ""): weight for name, weight in names.items()}
        if getattr(bridge, "compatibility_mode", False) or (set(plain.state_dict()) - set(weights)):
            return None
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()}, assign=True)
        plain.tie_weights()
        torch.nn.Module.to(plain, model.device)  # buffers that no checkpoint has; the weights are there already
    tokens = torch.arange(min(4, int(text_config(model.config).vocab_size)), device=model.device)[None]
    own, through = plain(tokens).logits, bridge(tokens)
    is_same = bool((own - through).abs().amax() <= _ROUNDING * own.abs().amax())
    return cast("PreTrainedModel", plain) if is_same else None


def _tokenized(subject: models.Subject, texts: list[str], length: int | None, what: str) -> NDArray[np.int64]:
    # an encoder looks at no more of a text than its length needs
    wanted = length or max(map(len, texts)) + 1
    encoder = Encoder(subject.tokenizer, length=wanted, bos=True, template=False)
    lengths = encoder.rows(texts).lengths
    cut = _one_length([int(each) for each in lengths], length, what)
    return Encoder(subject.tokenizer, length=cut, bos=True, template=False).rows(texts).tokens


def _one_length(lengths: Sequence[int], length: int | None, what: str) -> int:
    """The length that prompts of these lengths are cut to."""
    shortest, longest = min(lengths), max(lengths)
    if length is None and shortest != longest and shortest:
        raise UsageError(
            f"{what} are {shortest} to {longest} token ids long: give prompts of one length, or length={shortest}"
        )
    if shortest < max(length or 1, 1):
        raise UsageError(
            f"{what} are {shortest} token ids long at least, and {max(length or 1, 1)} are wanted: leave short ones out"
        )
    return shortest if length is None else length
