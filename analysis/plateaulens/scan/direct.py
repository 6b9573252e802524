"""Packed points through the language model itself, by its own weights.

The blocks are run one by one, without TransformerLens' hooks and without an attention mask, so a model can only be run
like this if all that its attention asks for is known. `fits_directly` knows of which models it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.activations import NewGELUActivation

from plateaulens.errors import UsageError
from plateaulens.scan.attention import PACKED_ATTENTION
from plateaulens.scan.bridge import BridgeForward, packed_positions
from plateaulens.scan.engine import Forward, Response
from plateaulens.scan.layers import BlockOfKind, GatedBlock, RotaryByKind, gated_fits
from plateaulens.scan.linear import prepare, prepare_all
from plateaulens.scan.split import Precision, has_kernels, on
from plateaulens.scan.within import WithinBlocks
from plateaulens.subject.anatomy import text_config
from plateaulens.subject.architectures import PLAIN, WINDOW
from plateaulens.subject.copies import shared_copy
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import Site

Block = Callable[..., Tensor]


class Parts(NamedTuple):
    """What the parts of a transformers model are called, and what it does besides running its blocks."""

    blocks: str = "layers"
    norm: str = "norm"
    rotary: str | None = "rotary_emb"
    """What computes the rotary position embeddings, for models that have them."""
    positions: str | None = None
    """What is added to the token embeddings by position, for models that have it."""
    language: str | None = None
    """What reads tokens, in a model that reads pictures as well."""
    heeds_kinds: bool = False
    """Whether a layer has a window by its entry in `layer_types`."""
    rotary_by_kind: bool = False
    """Whether layers of different kinds have different rotary embeddings."""
    embedding_factor: str | None = None
    """The option that token embeddings are multiplied by, where their module does not do that itself."""
    logit_factor: str | None = None
    """The option that logits are multiplied by."""
    logit_divisor: str | None = None
    """The option that logits are divided by."""
    logit_cap: str | None = None
    """The option c by which logits x become `c * tanh(x / c)`."""


VERIFIED = {
    "cohere": Parts(logit_factor="logit_scale"),
    "cohere2": Parts(heeds_kinds=True, logit_factor="logit_scale"),
    "gemma": Parts(),
    "gemma2": Parts(heeds_kinds=True, logit_cap="final_logit_softcapping"),
    "gemma3": Parts(language="language_model", heeds_kinds=True, rotary_by_kind=True),
    "gemma3_text": Parts(heeds_kinds=True, rotary_by_kind=True, logit_cap="final_logit_softcapping"),
    "gpt2": Parts("h", "ln_f", rotary=None, positions="wpe"),
    "gpt_neox": Parts(norm="final_layer_norm"),
    "gpt_oss": Parts(heeds_kinds=True),
    "granite": Parts(embedding_factor="embedding_multiplier", logit_divisor="logits_scaling"),
    "llama": Parts(),
    "mistral": Parts(),
    "olmo2": Parts(),
    "phi3": Parts(),
    "qwen2": Parts(heeds_kinds=True),
    "qwen3": Parts(heeds_kinds=True),
    "qwen3_moe": Parts(),
}
"""By `model_type`, the architectures for which tests hold `DirectForward` equal to whole prompts."""

ROTARY = {"default", "dynamic", "linear", "llama3", "longrope", "yarn"}
"""The kinds of rotary embeddings for which tests do so."""


def fits_directly(config: Any) -> bool:
    """Whether `DirectForward` is known to give what whole prompts give.

    Parameters
    ----------
    config
        A model's transformers configuration, of one that reads pictures as well perhaps.

    Returns
    -------
    bool
        True for an architecture of `VERIFIED` whose layers are of kinds that it tells apart, whose rotary embeddings
        are among `ROTARY`, and whose attention is causal and has windows of one token at least or none.
    """
    parts, text = VERIFIED.get(config.model_type), text_config(config)
    if parts is None:
        return False
    kinds = set(getattr(text, "layer_types", None) or ())
    rotary = getattr(text, "rope_parameters", None) or {}
    each = [one for one in rotary.values() if isinstance(one, dict)] or [rotary]
    window = getattr(text, "sliding_window", None)
    return (
        kinds <= ({PLAIN, WINDOW} if parts.heeds_kinds else {PLAIN})
        and {one.get("rope_type", "default") for one in each} <= ROTARY
        and not getattr(text, "use_bidirectional_attention", False)
        and (window is None or window >= 1)
    )


def choose_forward(subject: Subject, precision: Precision = "float32") -> Forward:
    """`DirectForward` where it `fits_directly`; `BridgeForward` runs everything else, in float32 only.

    It is for published weights or a copy known to stand for the processed ones: another architecture's attention may
    hold what packing would get wrong.

    Parameters
    ----------
    subject
        The model, written and read at its sites.
    precision
        What the linear layers of the blocks multiply in.

    Returns
    -------
    Forward
        One of the two.

    Raises
    ------
    UsageError
        For another precision than float32 where the bridge is what runs.
    """
    if subject.model is not None and fits_directly(subject.model.config):
        return DirectForward(subject, precision)
    if precision != "float32":
        raise UsageError(f"engine.precision {precision!r}: this model runs in float32 only, leave the key out")
    return BridgeForward(subject)


class DirectForward:
    """Runs the blocks from the write site on over the prompts' earlier tokens followed by all points of each prompt.

    All paths of a prompt share its earlier tokens, which alone go through the blocks before the write site. When that
    is within a block, the last token goes with them, and its row enters that block once for every point.

    With the precisions `fp16x3` and `tf32x3` each product is made of three narrower ones; with `bf16`, the linear
    layers of the blocks multiply in bfloat16 (but experts and their router do not). All else is float32 or as accurate.

    Parameters
    ----------
    subject
        One with a `model` that `fits_directly`; that model is left as it is.
    precision
        What the linear layers of the blocks multiply in.
    """

    def __init__(self, subject: Subject, precision: Precision = "float32") -> None:
        assert subject.model is not None
        model = shared_copy(subject.model)
        self.concurrent = model.device.type == "cpu"
        parts, self._config = VERIFIED[model.config.model_type], text_config(model.config)
        base: Any = model.base_model if parts.language is None else getattr(model.base_model, parts.language)
        layers: torch.nn.ModuleList = getattr(base, parts.blocks)
        write, read = subject.write, subject.read
        frozen: tuple[Site, ...] = subject.frozen
        between = not (write.is_within_block or read.is_within_block)
        self._counted_from_points = gated_fits(self._config)
        reached = {site.block for site in (*(() if between else (write, read)), *frozen)}
        on_kernels = has_kernels(model.device)
        blocks: list[Block] = [
            _prepared(layer, precision, quick=self._counted_from_points and index not in reached, fused=on_kernels)
            for index, layer in enumerate(layers)
        ]
        self._within = None if between and not frozen else WithinBlocks(model, write, read, frozen)
        self._with_clean = bool(frozen)
        base.set_attn_implementation(PACKED_ATTENTION)
        rotary: Callable[..., Any] | None = None if parts.rotary is None else getattr(base, parts.rotary)
        if parts.rotary_by_kind:
            blocks = [BlockOfKind(block, kind) for block, kind in zip(blocks, self._config.layer_types, strict=True)]
            rotary = RotaryByKind(base.rotary_emb, self._config.layer_types)
        self._blocks, self._start = blocks, write.boundary
        self.reads: tuple[Site, ...] = (read,)
        self.depends_on_read = not between and (self._counted_from_points or read.is_within_block)
        """Whether blocks are run in another way where other ones are read."""
        self._write = write
        self._embedding: torch.nn.Module = base.get_input_embeddings()
        self._norm: torch.nn.Module = getattr(base, parts.norm)
        self._rotary = rotary
        self._positions: torch.nn.Module | None = None if parts.positions is None else getattr(base, parts.positions)
        self._parts = parts
        # a logit in bfloat16 would be rounded by more than a small step changes it
        in_bf16: Precision = "fp16x3" if on_kernels else "float32"
        self._head = prepare(model.get_output_embeddings(), in_bf16 if precision == "bf16" else precision)

    def run(self, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt path step width"]) -> Response:
        """All paths of a prompt are one sequence. See `plateaulens.scan.engine.Forward.run`."""
        shared, packed = tokens.shape[1] - 1, points.flatten(1, 2)
        with on(points.device):
            if self._within is None:
                found = self._from_write(self._entering(tokens, packed), shared)
            else:
                with self._within.running(packed, shared + self._with_clean) as passing:
                    found = self._from_write(self._entering(tokens, packed), shared)
                if passing.read is not None:
                    found[1] = passing.read
        final, read, *further = (rows.unflatten(1, points.shape[1:3]) for rows in found)
        return Response(read, final, tuple(further))

    def _entering(
        self, tokens: Int[Tensor, "prompt position"], packed: Float[Tensor, "prompt point width"]
    ) -> Float[Tensor, "prompt token d_model"]:
        """The stream that enters the first block whose result depends on the points."""
        shared, before = tokens.shape[1] - 1, self._blocks[: self._start]
        first = shared + self._with_clean  # what parts are held at is found in the unperturbed token's row
        if self._write.is_between_blocks:
            earlier = self._through(before, self._embed(tokens[:, :first]), shared)
            return torch.cat([earlier, packed], dim=1)
        clean = self._through(before, self._embed(tokens), shared)
        last = torch.zeros_like(clean[:, shared:]) if self._write.place == "mid" else clean[:, shared:]
        return torch.cat([clean[:, :first], last.expand(-1, packed.shape[1], -1)], dim=1)

    def _from_write(
        self, stream: Float[Tensor, "prompt token d_model"], shared: int
    ) -> list[Float[Tensor, "prompt point d_model"]]:
        """What is unembedded, and the stream after the blocks up to each read site, at the points' rows."""
        ends = [read.boundary + read.is_within_block for read in self.reads]
        passed, reached, first = {}, self._start, shared + self._with_clean
        for end in sorted(set(ends)):
            stream = self._through(self._blocks[reached:end], stream, shared)
            passed[end], reached = stream[:, first:], end
        final = self._norm(self._through(self._blocks[reached:], stream, shared)[:, first:])
        is_final = [read.place == "final" for read in self.reads]
        return [final, *(final if last else passed[end] for end, last in zip(ends, is_final, strict=True))]

    def unembed(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """As accurate as float32, whatever the precision. See `plateaulens.scan.engine.Forward.unembed`."""
        with on(final.device):
            logits: Tensor = self._head(final)
        factor, divisor, cap = (
            None if name is None else getattr(self._config, name)
            for name in (self._parts.logit_factor, self._parts.logit_divisor, self._parts.logit_cap)
        )
        if factor is not None:
            logits = logits * factor
        if divisor is not None:
            logits = logits / divisor
        return logits if cap is None else (logits / cap).tanh() * cap

    def _embed(self, tokens: Int[Tensor, "prompt position"]) -> Float[Tensor, "prompt position d_model"]:
        stream: Tensor = self._embedding(tokens)
        if self._parts.embedding_factor is not None:
            stream = stream * getattr(self._config, self._parts.embedding_factor)
        if self._positions is not None:
            stream = stream + self._positions(torch.arange(tokens.shape[1], device=tokens.device))
        return stream

    def _through(
        self, blocks: Sequence[Block], stream: Float[Tensor, "prompt token d_model"], shared: int
    ) -> Float[Tensor, "prompt token d_model"]:
        if not blocks or not stream.shape[1]:
            return stream
        settings: dict[str, Any] = {"shared": shared}
        if self._rotary is not None:
            # some rotary embeddings depend on how long a prompt is, so its last position is always among them
            positions = packed_positions(shared, max(stream.shape[1] - shared, 1))
            if self._counted_from_points:
                # quick blocks rotate no points
                positions = (positions if self._within else positions[:shared]) - shared
            rotation = self._rotary(stream, positions[None].to(stream.device))
            settings["position_embeddings"] = _of_first(rotation, stream.shape[1])
        for block in blocks:
            stream = block(stream, **settings)
        return stream


def _prepared(layer: torch.nn.Module, precision: Precision, *, quick: bool, fused: bool) -> Block:
    """A block as it runs fastest, `quick` where it is one like Llama's that no site is within."""
    if quick and fused:
        from plateaulens.scan.fused import FusedBlock  # noqa: PLC0415  needs Triton

        with torch.inference_mode():
            return FusedBlock(layer, precision)
    prepare_all(layer, precision)
    _fuse_activations(layer)
    return GatedBlock(layer) if quick else layer


def _of_first(rotation: Any, tokens: int) -> Any:
    if isinstance(rotation, dict):
        return {kind: _of_first(one, tokens) for kind, one in rotation.items()}
    return tuple(part[:, :tokens] for part in rotation)


def _fuse_activations(layer: torch.nn.Module) -> None:
    """Compute GPT-2's activation, which transformers writes out in eight passes, in one."""
    for parent in list(layer.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, NewGELUActivation):
                setattr(parent, name, torch.nn.GELU(approximate="tanh"))
