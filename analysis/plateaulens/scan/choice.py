"""Which way a model is run, decided before a run on the very model, prompts and machine.

Whole prompts through the published model are the truth. The quicker ways are held against it, on one of the run's
prompts with as many points as it packs and on another with a few: what passes the write site, what is read, and the
next token's log-probabilities. A window that only many points reach is found like this, and so is a bridge that
computes something else than the published model.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.names import BRIDGE, COPIED, PACKED, WHOLE
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.direct import DirectForward, fits_directly
from plateaulens.scan.engine import Forward, Response
from plateaulens.scan.split import Precision, has_kernels
from plateaulens.scan.whole import WholeForward
from plateaulens.subject.anatomy import run
from plateaulens.subject.architectures import BOTH_WAYS, why_not_packed
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import Site

TOLERANCE = 1e-3
"""Largest difference that passes for rounding, as a share of the largest effect. It is a thousand times what float32
gives in small models; an attention that is packed wrongly differs by a hundredth at least."""
TOLERANCE_NARROW = 3e-2
"""The same where the blocks' weights are in bfloat16, which rounds at the third digit."""
PROMPTS = 2
"""On which the ways are compared."""
COMPARED = 6
"""Points of each prompt that are compared, the first and the last of those that are packed among them."""


@dataclass(frozen=True)
class Choice:
    """How a model will be run."""

    subject: Subject
    """Without its bridge where that computes something else than the published model."""
    forward: Forward
    way: str
    """Of `plateaulens.names.WAYS`."""
    why: str
    """What speaks against the quicker ways; empty where there are none."""
    precision: Precision = "float32"
    """What the linear layers of the blocks multiply in."""
    is_certain: bool = True
    """Whether each quicker way was refused for what it computes, and none for an error, which may not come again."""


class _Truth(NamedTuple):
    points: Float[Tensor, "prompt 1 step width"]
    compared: Int[Tensor, " compared"]
    write: Float[Tensor, "prompt width"]
    read: Float[Tensor, "prompt compared read_width"]
    log_p: Float[Tensor, "prompt compared vocabulary"]


class _WrongError(Exception):
    """Why a way is not taken."""


@torch.inference_mode()
def choose(
    subject: Subject,
    tokens: Int[Tensor, "prompt position"],
    *,
    points: int,
    precision: Precision | Literal["auto"] = "float32",
    way: str | None = None,
) -> Choice:
    """The quickest way of running a model that gives what whole prompts give.

    Parameters
    ----------
    subject
        The model, written and read at its sites.
    tokens
        The prompts, shaped (prompt, position); the first two of them are used, or the only one.
    points
        How many points a run packs for each prompt.
    precision
        What the linear layers of the blocks multiply in. `auto` is `fp16x3` on a GPU that can, if that passes the
        check, and else float32. `bf16` itself is not checked, as it rounds by more than the check lets pass; float32 is
        then.
    way
        One of `plateaulens.names.WAYS`, the only one that may be chosen; None allows all.

    Returns
    -------
    Choice
        The subject, how it is run, and why not in a quicker way.

    Raises
    ------
    UsageError
        For a model that is not causal, for one that no way is right for, and for another precision than float32 where
        the packed way is not what runs.
    """
    tokens = tokens[:PROMPTS].to(subject.device)
    if subject.model is None:
        return _through_processed_weights(subject, tokens, points, precision, way)
    _check_causal(subject, tokens)
    truth = _truth(subject, tokens, points)
    why: list[str] = []
    is_certain = True
    if subject.lens is not None:
        difference = _difference(truth.write, subject.last_activations(tokens))
        if not difference <= TOLERANCE:
            why.append(f"TransformerLens' activations differ by {difference:.1g} from the published model's")
            subject = replace(subject, lens=None)
    for name, own in _candidates(subject, tokens.shape[1], _precisions(subject, precision), why):
        if way not in (None, name):
            continue
        tried = name if own == "float32" else f"{name} in {own}"
        try:
            forward = forward_of(subject, name, own)
            if name != COPIED:  # which is how the truth was found
                _check(forward, tokens, truth, TOLERANCE_NARROW if subject.is_narrow else TOLERANCE)
        except _WrongError as error:
            why.append(f"{tried}: {error}")
        except (UsageError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # noqa: BLE001  a way that fails on this model is not its way
            why.append(f"{tried}: {type(error).__name__}")
            is_certain = False
        else:
            if name != PACKED and precision not in {"auto", "float32"} and not subject.is_narrow:
                raise UsageError(
                    f"engine.precision {precision!r}: this model runs in float32 only ({'; '.join(why)}), leave the "
                    "key out"
                )
            said = "; ".join(why)
            if precision == "bf16" and not subject.is_narrow:
                return Choice(subject, forward_of(subject, name, "bf16"), name, said, "bf16", is_certain)
            return Choice(subject, forward, name, said, own, is_certain)
    raise UsageError(
        f"model type {subject.model_type!r} cannot be measured {'in any way' if way is None else f'as {way}'}: "
        f"{'; '.join(why) or 'not at these sites'}; leave engine.way out, or use another model"
    )


def forward_of(subject: Subject, way: str, precision: Precision = "float32") -> Forward:
    """A way of running a model, which is not held against anything.

    Parameters
    ----------
    subject
        The model, one that the way is for.
    way
        One of `plateaulens.names.WAYS`.
    precision
        What the linear layers of the blocks multiply in, where it is the packed way.

    Returns
    -------
    Forward
        As `choose` finds it when it finds it right.
    """
    if way == PACKED:
        return DirectForward(subject, precision)
    if way == BRIDGE:
        return BridgeForward(subject)
    return WholeForward(subject, cached=way == WHOLE)


def reading(forward: Forward, reads: Sequence[Site]) -> Forward | None:
    """A way of running a model that is read at several sites at once, and at each gives what it gives there alone.

    Parameters
    ----------
    forward
        A way of running that `choose` has found, at any of the sites.
    reads
        The read sites, none of them before the write site. `Response.read` is of the first, `Response.further` of those
        that follow.

    Returns
    -------
    Forward or None
        None where it is not known to give the same numbers to the last bit: for sites within a block, which may be run
        in another way than other blocks.
    """
    if not isinstance(forward, DirectForward | BridgeForward | WholeForward):
        return None
    depends = isinstance(forward, DirectForward) and forward.depends_on_read
    if depends or any(site.is_within_block for site in reads):
        return None
    other = copy.copy(forward)
    other.reads = tuple(reads)
    return other


def _precisions(subject: Subject, asked: Precision | Literal["auto"]) -> tuple[Precision, ...]:
    """In what the packed way is tried, the first choice first."""
    if subject.is_narrow:
        if asked in {"fp16x3", "tf32x3"}:
            raise UsageError(
                f"engine.precision {asked!r}: the weights are in bfloat16 and so are products; leave the key out"
            )
        return ("bf16",)
    if asked == "auto":
        return ("fp16x3", "float32") if has_kernels(subject.device) else ("float32",)
    return ("float32",) if asked == "bf16" else (asked,)  # bfloat16 rounds by more than the check lets pass


def _candidates(
    subject: Subject, length: int, precisions: Sequence[Precision], why: list[str]
) -> Iterator[tuple[str, Precision]]:
    assert subject.model is not None
    is_last = range(length)[subject.position] == length - 1
    known = why_not_packed(subject.config)
    if not is_last:
        why.append("tokens that follow the perturbed one are not packed")
    elif known is not None:
        why.append(f"not packed, as {known}")
    else:
        if fits_directly(subject.model.config):
            for precision in precisions:
                yield PACKED, precision
        else:
            why.append(f"packed: not for model type {subject.model_type!r}")
        within = subject.frozen or subject.write.is_within_block or subject.read.is_within_block
        if subject.lens is not None and not within:
            yield BRIDGE, precisions[-1]
    yield WHOLE, precisions[-1]
    yield COPIED, precisions[-1]


def _truth(subject: Subject, tokens: Int[Tensor, "prompt position"], count: int) -> _Truth:
    own = replace(subject, lens=None)
    write = own.last_activations(tokens)
    points, compared = _points(write, count)
    forward = WholeForward(own, cached=False)
    found = forward.run(tokens, points[:, :, compared])
    return _Truth(points, compared, write, found.read[:, 0], _log_p(forward, found.final[:, 0]))


def _points(
    write: Float[Tensor, "prompt width"], count: int
) -> tuple[Float[Tensor, "prompt 1 step width"], Int[Tensor, " compared"]]:
    """As many points as a run packs around what passes the write site, and which of them are compared."""
    # two prompts may be the same, and a tiny model's activations small: the norm is what a point is moved by then
    away = write.flip(0) + torch.linspace(-1, 1, write.shape[1], device=write.device) * write.norm(dim=1, keepdim=True)
    # multiples of the golden ratio, which fill the range however many there are; the first point is the base itself
    number = torch.arange(count, device=write.device)
    scale = (number * 0.618034) % 1.0 * (1 - 2 * (number % 2))
    points = (write[:, None] + scale[:, None] * (away - write)[:, None])[:, None]
    compared = torch.linspace(0, count - 1, min(COMPARED, count)).round().long().to(write.device)
    return points, compared


def _check(
    forward: Forward, tokens: Int[Tensor, "prompt position"], truth: _Truth, tolerance: float = TOLERANCE
) -> None:
    """Raise `_WrongError` unless a way gives what whole prompts give."""
    several: Response = forward.run(tokens, truth.points[:, :, truth.compared])
    # of one prompt as many as the run packs
    most: Response = forward.run(tokens[:1], truth.points[:1])
    read, final = (
        torch.cat([of_most[:, 0, truth.compared], of_several[1:, 0]])
        for of_most, of_several in zip(most[:2], several[:2], strict=True)
    )
    log_p = _log_p(forward, final)
    for where, whole, own in (("the read site", truth.read, read), ("the log-probabilities", truth.log_p, log_p)):
        if not _difference(whole, own) <= tolerance:  # NaN is a difference
            raise _WrongError(
                f"at {where}, it differs from whole prompts by {_difference(whole, own):.2g} of the effect"
            )


def _difference(whole: Tensor, own: Tensor) -> float:
    """The largest difference, as a share of how much the first dimension but one moves the truth."""
    spread = whole if whole.ndim == 2 else whole - whole[:, :1]
    return float((own - whole).abs().amax() / spread.abs().amax().clamp(min=torch.finfo(whole.dtype).tiny))


def _log_p(forward: Forward, final: Float[Tensor, "prompt row d_model"]) -> Float[Tensor, "prompt row vocabulary"]:
    return torch.stack([forward.unembed(rows) for rows in final]).log_softmax(-1)


def _check_causal(subject: Subject, tokens: Int[Tensor, "prompt position"]) -> None:
    """Refuse a model whose earlier outputs change with the last token."""
    assert subject.model is not None
    before = run(subject.model, tokens[:1]).logits.float()
    if not before.isfinite().all():
        raise UsageError(
            f"model type {subject.model_type!r} cannot be measured: its outputs for the first prompt are no finite "
            "numbers; use a sound checkpoint"
        )
    if tokens.shape[1] < 2:
        return
    other = tokens[:1].clone()
    other[:, -1] = (other[:, -1] + 1) % subject.vocabulary
    before, after = before[:, :-1], run(subject.model, other).logits[:, :-1].float()
    if not torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().amax())):
        raise UsageError(
            f"model type {subject.model_type!r} cannot be measured: {BOTH_WAYS}; use a causal language model"
        )


def _through_processed_weights(
    subject: Subject, tokens: Int[Tensor, "prompt position"], points: int, precision: str, way: str | None
) -> Choice:
    """The bridge, whose processed weights no model of transformers has, held against whole prompts through itself."""
    if precision not in {"float32", "auto"}:
        raise UsageError(f"engine.precision {precision!r}: this model runs in float32 only, leave the key out")
    if way not in (None, BRIDGE):
        raise UsageError(
            f'engine.way {way!r}: processed weights of this model run as {BRIDGE} only; use processing = "none"'
        )
    if range(tokens.shape[1])[subject.position] != tokens.shape[1] - 1:
        raise UsageError(
            "prompts.position: with processed weights of this model only the last token can be perturbed; use "
            'processing = "none"'
        )
    forward = BridgeForward(subject)
    write = subject.last_activations(tokens)
    moved, compared = _points(write, points)
    read, logits = _plain(subject, tokens, moved[:, 0, compared])
    truth = _Truth(moved, compared, write, read, logits.log_softmax(-1))
    try:
        _check(forward, tokens, truth)
    except _WrongError as error:
        raise UsageError(
            f"model type {subject.model_type!r} cannot be measured with processed weights: {error}; use "
            'processing = "none"'
        ) from None
    return Choice(subject, forward, BRIDGE, "its processed weights are TransformerLens' own")


def _plain(
    subject: Subject, tokens: Int[Tensor, "prompt position"], points: Float[Tensor, "prompt step d_model"]
) -> tuple[Float[Tensor, "prompt step d_model"], Float[Tensor, "prompt step vocabulary"]]:
    """The whole prompt through the bridge, copied for every point: no packing, no positions given, no mask."""
    kept: dict[str, Tensor] = {}
    shape = points.shape[:2]

    def write(stream: Tensor, hook: Any) -> Tensor:  # noqa: ARG001  passed by name
        return torch.cat([stream[:, :-1], points.flatten(0, 1)[:, None]], dim=1)

    def keep(stream: Tensor, hook: Any) -> None:  # noqa: ARG001
        kept["read"] = stream[:, -1].clone()

    logits = subject.bridge.run_with_hooks(
        tokens.repeat_interleave(shape[1], dim=0), fwd_hooks=[(subject.write.hook, write), (subject.read.hook, keep)]
    )
    return kept["read"].unflatten(0, shape), logits[:, -1].unflatten(0, shape)
