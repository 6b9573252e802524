"""Parts of blocks held at what they are in the unperturbed prompt, and the output of the last norm as a read site."""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from tests.conftest import BLOCKS
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.choice import choose, reading
from plateaulens.scan.direct import VERIFIED, DirectForward
from plateaulens.scan.engine import Forward, scan
from plateaulens.scan.walk import one_per_core
from plateaulens.scan.whole import WholeForward
from plateaulens.subject.anatomy import find_anatomy
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import FINAL, parse_parts, parse_read_site

MLPS = (f"blocks.0-{BLOCKS - 1}.hook_mlp_out",)
ATTENTIONS = (f"blocks.0-{BLOCKS - 1}.hook_attn_out",)
SETS = {
    "mlps": MLPS,
    "attentions": ATTENTIONS,
    "one of each": ("blocks.1.hook_mlp_out", "blocks.2.hook_attn_out"),
    "behind the read site": ("blocks.2.hook_mlp_out",),
}
CLOSE = 1e-4
Case = tuple[Tensor, Tensor]


def case(subject: Subject, steps: int = 6) -> Case:
    """Two prompts of nine tokens, and points around what passes the write site: the first is what does pass."""
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(1, subject.vocabulary - 5, (2, 9), generator=rng)
    base = subject.last_activations(tokens)
    moved = torch.randn((2, 2, steps, subject.width), generator=rng) * base.std()
    moved[:, :, 0] = 0
    return tokens, base[:, None, None] + moved


@torch.inference_mode()
def effects(forward: Forward, tokens: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """By how much each point moves the read site and the logits."""
    found = forward.run(tokens, points)
    logits = forward.unembed(found.final.flatten(0, 2)).unflatten(0, points.shape[:3])
    return found.read - found.read[:, :, :1], logits - logits[:, :, :1]


def assert_alike(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() <= CLOSE * theirs.abs().max()


def keeper(kept: list[Any]) -> Callable[..., None]:
    return lambda _module, _args, output: kept.append(output)


@torch.inference_mode()
def by_hand(subject: Subject, tokens: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """One point at a time: the prompt is run once as it is and once perturbed, with the very outputs of the first."""
    model: Any = subject.model
    layers = find_anatomy(model).blocks
    modules = [
        getattr(layers[site.block], "mlp" if site.place == "mlp_out" else "self_attn") for site in subject.frozen
    ]
    read, logits = [], []
    for prompt, own in zip(tokens, points, strict=True):
        clean: list[Any] = []
        with ExitStack() as stack:
            for module in modules:
                stack.callback(module.register_forward_hook(keeper(clean)).remove)
            model(input_ids=prompt[None])
        for point in own.flatten(0, 1):
            streams: list[Any] = []

            def put(module: Any, args: Any, output: Any, point: Tensor = point) -> Any:
                changed = output.clone()
                changed[:, subject.position] = point
                return changed

            with ExitStack() as stack:
                hooks = [layers[subject.write.boundary - 1].register_forward_hook(put)]
                for module, held in zip(modules, clean, strict=True):
                    hooks.append(module.register_forward_hook(lambda *_, held=held: held))
                hooks.append(layers[subject.read.block].register_forward_hook(keeper(streams)))
                for hook in hooks:
                    stack.callback(hook.remove)
                logits.append(model(input_ids=prompt[None]).logits[0, -1])
            read.append(streams[0][0, -1])
    shape = points.shape[:3]
    at_read, at_end = (torch.stack(each).unflatten(0, shape) for each in (read, logits))
    return at_read - at_read[:, :, :1], at_end - at_end[:, :, :1]


@pytest.mark.parametrize("position", [-1, 4])
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("frozen", SETS)
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_whole_prompts_are_what_hooks_by_hand_give(
    architecture: str, frozen: str, cached: bool, position: int, subject_at: Callable[..., Subject]
) -> None:
    options = {"frozen": SETS[frozen], "read": "blocks.1.hook_resid_post", "lens": False, "position": position}
    subject = subject_at(architecture, **options)
    tokens, points = case(subject, steps=3)
    assert_alike(effects(WholeForward(subject, cached=cached), tokens, points), by_hand(subject, tokens, points))


@pytest.mark.parametrize("frozen", SETS)
@pytest.mark.parametrize("architecture", sorted(VERIFIED))
def test_packed_points_are_what_whole_prompts_are(
    architecture: str, frozen: str, subject_at: Callable[..., Subject]
) -> None:
    subject = subject_at(architecture, frozen=SETS[frozen], read="blocks.1.hook_resid_post", lens=False)
    tokens, points = case(subject)
    found = effects(DirectForward(subject), tokens, points)
    assert_alike(found, effects(WholeForward(subject, cached=False), tokens, points))


@pytest.mark.parametrize("write", ["1.attn.hook_z", "1.hook_attn_out", "1.hook_resid_mid", "0.hook_mlp_out"])
def test_a_write_site_within_a_block(write: str, subject_at: Callable[..., Subject]) -> None:
    subject = subject_at("llama", write=f"blocks.{write}", frozen=MLPS, lens=False)
    tokens, points = case(subject)
    found = effects(DirectForward(subject), tokens, points)
    assert_alike(found, effects(WholeForward(subject, cached=False), tokens, points))


@pytest.mark.parametrize("read", ["1.hook_mlp_out", "2.hook_resid_mid", "2.hook_attn_out", "2.attn.hook_z"])
def test_a_read_site_within_a_block(read: str, subject_at: Callable[..., Subject]) -> None:
    subject = subject_at("llama", read=f"blocks.{read}", frozen=("blocks.1.hook_attn_out",), lens=False)
    tokens, points = case(subject)
    found = effects(DirectForward(subject), tokens, points)
    assert_alike(found, effects(WholeForward(subject, cached=False), tokens, points))


def test_what_is_held_is_read_as_such(subject_at: Callable[..., Subject]) -> None:
    subject = subject_at("llama", read="blocks.2.hook_mlp_out", frozen=("blocks.2.hook_mlp_out",), lens=False)
    tokens, points = case(subject)
    read, _ = effects(DirectForward(subject), tokens, points)
    assert not read.any()


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox"])
def test_with_all_parts_held_the_stream_moves_by_what_was_written(
    architecture: str, subject_at: Callable[..., Subject]
) -> None:
    """The residual stream is a sum: x + attention + MLP, block by block."""
    subject = subject_at(architecture, frozen=MLPS + ATTENTIONS, lens=False)
    tokens, points = case(subject)
    read, _ = effects(DirectForward(subject), tokens, points)
    torch.testing.assert_close(read, points - points[:, :, :1], rtol=1e-4, atol=1e-4)


def test_parts_before_the_write_site_are_as_they_are(subject_at: Callable[..., Subject]) -> None:
    assert subject_at("llama", frozen=("blocks.0.hook_mlp_out",), lens=False).frozen == ()
    free = subject_at("llama", lens=False)
    tokens, points = case(free)
    held = dataclasses.replace(free, frozen=parse_parts(["blocks.0.hook_mlp_out"], BLOCKS))
    assert_alike(*(effects(WholeForward(own, cached=False), tokens, points) for own in (held, free)))


def test_held_parts_change_what_comes_of_a_point(subject_at: Callable[..., Subject]) -> None:
    free = subject_at("llama", lens=False)
    tokens, points = case(free)
    curves = [
        scan(DirectForward(subject_at("llama", frozen=frozen, lens=False)), tokens, points).curve
        for frozen in ((), MLPS, ATTENTIONS)
    ]
    for one in range(3):
        assert (curves[one] - curves[one - 1]).abs().max() > 1e-2


def test_each_thread_has_its_own_prompt(subject_at: Callable[..., Subject]) -> None:
    subject = subject_at("llama", frozen=MLPS, lens=False)
    tokens, points = (torch.cat([part] * 4) for part in case(subject))
    forward = DirectForward(subject)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        batches = list(zip(tokens.split(1), points.split(1), strict=True))
        together = list(one_per_core(lambda batch: scan(forward, *batch).curve, batches))
    finally:
        torch.set_num_threads(threads)
    for curve, batch in zip(together, batches, strict=True):
        assert torch.equal(curve, scan(forward, *batch).curve)


@pytest.mark.parametrize("frozen", [(), MLPS])
def test_the_quickest_right_way_is_chosen(frozen: tuple[str, ...], subject_at: Callable[..., Subject]) -> None:
    subject = subject_at("llama", frozen=frozen)
    tokens, _ = case(subject)
    assert choose(subject, tokens, points=40).way == "packed"
    # TransformerLens' bridge holds nothing
    refused = pytest.raises(UsageError, match="cannot be measured as bridge")
    with refused if frozen else ExitStack():
        assert choose(subject, tokens, points=40, way="bridge").way == "bridge"


def test_a_model_whose_parts_are_not_found_is_refused(subject_at: Callable[..., Subject]) -> None:
    subject = dataclasses.replace(subject_at("bloom", lens=False), frozen=subject_at("llama", frozen=MLPS).frozen)
    with pytest.raises(UsageError, match=r"blocks\.1\.hook_mlp_out.*do not add up"):
        subject.check_sites()


WAYS: dict[str, Callable[[Subject], Forward]] = {
    "packed": DirectForward,
    "bridge": BridgeForward,
    "whole": lambda subject: WholeForward(subject, cached=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text"])
def test_the_last_norm_is_read_as_what_is_unembedded(
    architecture: str, way: str, subject_at: Callable[..., Subject]
) -> None:
    subject = subject_at(architecture, read=FINAL, lens=way == "bridge")
    tokens, points = case(subject)
    before = subject_at(architecture, lens=way == "bridge")
    with torch.inference_mode():
        found, last = (WAYS[way](own).run(tokens, points) for own in (subject, before))
        normed = find_norm(before)(last.read)
    assert torch.equal(found.read, found.final)
    torch.testing.assert_close(found.read, normed, rtol=1e-4, atol=1e-4)


def find_norm(subject: Subject) -> Any:
    base: Any = getattr(subject.model, "base_model")  # noqa: B009  of any architecture
    return next(getattr(base, name) for name in ("norm", "ln_f") if hasattr(base, name))


@pytest.mark.parametrize("frozen", [(), MLPS])
def test_the_last_norm_among_other_read_sites(frozen: tuple[str, ...], subject_at: Callable[..., Subject]) -> None:
    names = ["blocks.1.hook_resid_post", FINAL, "blocks.2.hook_resid_post"]
    subjects = [subject_at("llama", read=name, frozen=frozen, lens=False) for name in names]
    tokens, points = case(subjects[0])
    together = reading(DirectForward(subjects[0]), [parse_read_site(name, BLOCKS) for name in names])
    assert together is not None
    found = scan(together, tokens, points)
    for subject, curve in zip(subjects, (found.curve, *found.further), strict=True):
        assert torch.equal(curve, scan(DirectForward(subject), tokens, points).curve)
