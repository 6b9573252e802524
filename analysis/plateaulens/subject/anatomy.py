"""Where the sites of a model are among transformers' own modules, whatever its architecture calls them.

What a part is called differs between architectures, and so does what its name means: the module called
`post_attention_layernorm` follows the attention in Gemma 2 and OLMo 2, and precedes the MLP in Llama. So candidates
are looked for by name, and those are taken that add up on the model itself: the stream after a block is the stream
before it plus what attention and MLP add.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from plateaulens.errors import UsageError
from plateaulens.subject.sites import Site

Change = Callable[[Float[Tensor, "row token width"]], Float[Tensor, "row token width"]]
"""From what passes a site to what shall."""

_ATTENTION = ("self_attn", "attn", "attention", "self_attention", "linear_attn", "mixer")
_PROJECTION = ("o_proj", "out_proj", "c_proj", "dense", "wo", "Wo", "out_lin")
_MLP = ("mlp", "feed_forward", "block_sparse_moe", "ffn", "moe", "fc2")
_AFTER: tuple[tuple[str, str] | None, ...] = (
    ("post_attention_layernorm", "post_feedforward_layernorm"),
    ("post_self_attn_layernorm", "post_mlp_layernorm"),
    None,
)
"""What may follow attention and MLP before they are added to the stream."""
_ELSEWHERE = ("vision", "visual", "audio", "mtp")
"""Of the modules of a model of several kinds of input, those that read no tokens."""
_TOLERANCE = 1e-4
"""By how much a block may miss the sum of its parts, as a share of its largest value: rounding in float32."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The modules of one block."""

    layer: nn.Module
    attention: nn.Module
    attention_after: nn.Module | None
    """A norm that attention's output passes before it is added to the stream."""
    projection: nn.Module | None
    """What makes attention's output of its heads' results."""
    mlp: nn.Module
    mlp_after: nn.Module | None

    @property
    def attention_end(self) -> nn.Module:
        """What returns `attn_out`."""
        return self.attention_after or self.attention

    @property
    def mlp_end(self) -> nn.Module:
        """What returns `mlp_out`."""
        return self.mlp_after or self.mlp


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The modules of a model's blocks, and how their parts add up."""

    blocks: tuple[nn.Module, ...]
    parts: tuple[Parts, ...] | None
    """None where no candidates add up: then only the stream before and after blocks can be reached."""
    parallel: bool = False
    """Whether the MLP reads the stream before the block and not what attention has made of it: there is no `mid`."""
    multiplier: float = 1.0
    """What the parts' outputs are multiplied by before they are added to the stream (Granite)."""


def find_blocks(model: PreTrainedModel) -> tuple[nn.Module, ...]:
    """The blocks of a language model, in order.

    Parameters
    ----------
    model
        Any model of transformers that predicts the next token, of several kinds of input perhaps.

    Returns
    -------
    tuple of Module
        As many as its configuration says.

    Raises
    ------
    UsageError
        When no list of modules, or more than one, could be the blocks.
    """
    count = text_config(model.config).num_hidden_layers
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == count
        and not any(word in name for word in _ELSEWHERE)
        and any(True for _ in module.parameters())
    ]
    # the experts of a block may be as many as the blocks: the outermost list comes first
    if not found:
        raise UsageError(f"model type {model.config.model_type!r}: its blocks are not where they can be found")
    return tuple(found[0])


def text_config(config: Any) -> Any:
    """The part of a transformers configuration that describes the language model.

    Parameters
    ----------
    config
        Of a language model, or of one that reads pictures as well.

    Returns
    -------
    PretrainedConfig
        The same, or the part of it.
    """
    get = getattr(config, "get_text_config", None)
    return config if get is None else get()


@torch.inference_mode()
def find_anatomy(model: PreTrainedModel, blocks: Sequence[int] | None = None) -> Anatomy:
    """Find the parts of blocks, by name and by what adds up when the model runs.

    Parameters
    ----------
    model
        Runs once or a few times over four tokens.
    blocks
        The numbers of the blocks whose parts must add up; None asks for all.

    Returns
    -------
    Anatomy
        Without parts where none add up in every such block.
    """
    found = find_blocks(model)
    config = text_config(model.config)
    wanted = range(len(found)) if blocks is None else blocks
    multipliers = dict.fromkeys((float(getattr(config, "residual_multiplier", None) or 1.0), 1.0))
    tokens = torch.arange(4, device=next(model.parameters()).device)[None] % int(config.vocab_size)
    for after in _AFTER:
        if (parts := _candidates(found, after)) is None:
            continue
        for multiplier in multipliers:
            candidate = Anatomy(found, parts, multiplier=multiplier)
            if _adds_up(model, tokens, candidate, wanted):
                parallel = _is_parallel(model, tokens, candidate, wanted[0])
                return Anatomy(found, parts, parallel, multiplier)
    return Anatomy(found, None)


def _candidates(blocks: Sequence[nn.Module], after: tuple[str, str] | None) -> tuple[Parts, ...] | None:
    parts = []
    for layer in blocks:
        attention, mlp = _child(layer, _ATTENTION), _child(layer, _MLP)
        ends = (None, None) if after is None else tuple(getattr(layer, name, None) for name in after)
        if attention is None or mlp is None or (after is not None and None in ends):
            return None
        projection = _child(attention, _PROJECTION)
        if projection is None:  # GPT-Neo has attentions within attentions
            inner = _child(attention, _ATTENTION)
            projection = None if inner is None else _child(inner, _PROJECTION)
        parts.append(Parts(layer, attention, ends[0], projection, mlp, ends[1]))
    return tuple(parts)


def _child(module: nn.Module, names: Sequence[str]) -> nn.Module | None:
    children = dict(module.named_children())
    return next((children[name] for name in names if name in children), None)


def _adds_up(model: PreTrainedModel, tokens: Tensor, anatomy: Anatomy, blocks: Sequence[int]) -> bool:
    reads = {
        (block, place): Site("", block, place) for block in blocks for place in ("pre", "attn_out", "mlp_out", "post")
    }
    with reading_sites(anatomy, reads) as kept:
        run(model, tokens)
    if len(kept) < len(reads):
        return False
    for block in blocks:
        pre, attention, mlp, post = (kept[block, place] for place in ("pre", "attn_out", "mlp_out", "post"))
        if not pre.shape == attention.shape == mlp.shape == post.shape:
            return False
        missed = (pre + anatomy.multiplier * (attention + mlp) - post).abs().amax()
        if not missed <= _TOLERANCE * post.abs().amax():
            return False
    return True


def _is_parallel(model: PreTrainedModel, tokens: Tensor, anatomy: Anatomy, block: int) -> bool:
    """Whether what the MLP adds stays the same when attention's output is another."""
    kept = []
    for change in (lambda x: x, torch.zeros_like):
        with (
            writing_site(anatomy, Site("", block, "attn_out"), change),
            reading_sites(anatomy, {"mlp": Site("", block, "mlp_out")}) as found,
        ):
            run(model, tokens)
        kept.append(found["mlp"])
    return torch.equal(*kept)


@contextmanager
def writing_site(anatomy: Anatomy, site: Site, change: Change) -> Iterator[None]:
    """Have a model work with something else than what passes a site.

    Parameters
    ----------
    anatomy
        The model's.
    site
        Where.
    change
        What becomes of what passes there, shaped (row, token, width).

    Yields
    ------
    None
        While the model is changed.

    Raises
    ------
    UsageError
        When the model has no such site.
    """
    with ExitStack() as stack:
        for handle in _write(anatomy, site, change):
            stack.callback(handle.remove)
        yield


@contextmanager
def reading_sites(anatomy: Anatomy, sites: Mapping[Any, Site]) -> Iterator[dict[Any, Tensor]]:
    """Keep what passes some sites.

    Parameters
    ----------
    anatomy
        The model's.
    sites
        The sites, by any key.

    Yields
    ------
    dict
        By the same keys, what passed there last, shaped (row, token, width); it fills as the model runs.

    Raises
    ------
    UsageError
        When the model has no such site.
    """
    kept: dict[Any, Tensor] = {}
    with ExitStack() as stack:
        for key, site in sites.items():
            for handle in _write(anatomy, site, _keeper(kept, key)):
                stack.callback(handle.remove)
        yield kept


def site_width(anatomy: Anatomy, site: Site, d_model: int) -> int:
    """Numbers of an activation at a site.

    Parameters
    ----------
    anatomy
        The model's.
    site
        Where.
    d_model
        Width of the residual stream.

    Returns
    -------
    int
        `d_model`, but for `z`: there it is what attention's output projection reads.

    Raises
    ------
    UsageError
        When the model has no such site.
    """
    if site.place != "z":
        return d_model
    projection: Any = _parts(anatomy, site).projection
    if hasattr(projection, "in_features"):
        return int(projection.in_features)
    return int(projection.weight.shape[0])  # a Conv1D of GPT-2 has its inputs first


def check_site(anatomy: Anatomy, site: Site) -> None:
    """Refuse a site that a model does not have.

    Parameters
    ----------
    anatomy
        The model's.
    site
        Where.

    Raises
    ------
    UsageError
        That names the site and the reason.
    """
    if not site.is_within_block:
        return
    parts = _parts(anatomy, site)
    if site.place == "mid" and anatomy.parallel:
        raise UsageError(
            f"site {site.name!r}: in this model attention and MLP read the same stream, there is none between them"
        )
    if site.place == "z" and parts.projection is None:
        raise UsageError(f"site {site.name!r}: the output projection of this model's attention was not found")


def _parts(anatomy: Anatomy, site: Site) -> Parts:
    if anatomy.parts is None:
        raise UsageError(
            f"site {site.name!r}: attention and MLP of this model do not add up to its blocks; use "
            "blocks.N.hook_resid_pre or blocks.N.hook_resid_post"
        )
    return anatomy.parts[site.block]


def _keeper(kept: dict[Any, Tensor], key: Any) -> Change:
    def keep(activation: Tensor) -> Tensor:
        kept[key] = activation
        return activation

    return keep


def _write(anatomy: Anatomy, site: Site, change: Change) -> list[RemovableHandle]:
    check_site(anatomy, site)
    if site.place == "pre":
        return [before(anatomy.blocks[site.block], change)]
    if site.place == "post":
        return [after(anatomy.blocks[site.block], change)]
    parts = _parts(anatomy, site)
    if site.place == "attn_out":
        return [after(parts.attention_end, change)]
    if site.place == "mlp_out":
        return [after(parts.mlp_end, change)]
    if site.place == "z":
        assert parts.projection is not None
        return [before(parts.projection, change)]
    # the stream between attention and MLP is no module's alone: it moves with what attention adds
    stream: dict[str, Tensor] = {}

    def moved(added: Tensor) -> Tensor:
        middle = stream["pre"] + anatomy.multiplier * added
        changed = change(middle)
        return added if changed is middle else (changed - stream["pre"]) / anatomy.multiplier

    return [before(parts.layer, _keeper(stream, "pre")), after(parts.attention_end, moved)]


def before(module: nn.Module, change: Change) -> RemovableHandle:
    """Change what a module reads, its first argument.

    Parameters
    ----------
    module
        Any module.
    change
        What becomes of what it reads.

    Returns
    -------
    RemovableHandle
        Its `remove` ends the change.
    """

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def after(module: nn.Module, change: Change) -> RemovableHandle:
    """Change what a module returns, the first thing where it returns several.

    Parameters
    ----------
    module
        Any module.
    change
        What becomes of what it returns.

    Returns
    -------
    RemovableHandle
        Its `remove` ends the change.
    """

    def hook(module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ARG001
        if isinstance(output, tuple | list):
            return type(output)([change(output[0]), *output[1:]])
        return change(output)

    return module.register_forward_hook(hook)


def run(model: PreTrainedModel, tokens: Int[Tensor, "row token"], cache: Any = None) -> Any:
    """Run a model as it was published.

    Parameters
    ----------
    model
        The model.
    tokens
        Token ids, shaped (row, token), none of which is there to fill up.
    cache
        What the model has kept of earlier tokens of every row; None where there are none.

    Returns
    -------
    ModelOutput
        Its `logits` are shaped (row, token, vocabulary). A cache that was given has these tokens, too.
    """
    earlier = 0 if cache is None else int(cache.get_seq_length())
    mask = torch.ones((len(tokens), earlier + tokens.shape[1]), dtype=torch.long, device=tokens.device)
    more = {} if cache is None else kept_in(model, cache)
    return model(input_ids=tokens, attention_mask=mask, use_cache=cache is not None, **more)


def kept_in(model: PreTrainedModel, cache: Any) -> dict[str, Any]:
    """The argument by which a model takes a cache of earlier tokens: transformers renamed it with version 5.24.

    Parameters
    ----------
    model
        The model.
    cache
        The cache.

    Returns
    -------
    dict
        What to call the model with.
    """
    return {"cache" if "cache" in signature(model.forward).parameters else "past_key_values": cache}
