"""Whole prompts equal the published model with one hook, at every site, at any position, with a cache and without."""

from collections.abc import Callable

import pytest
import torch
from tests.scan.plainly import passing, plain_points
from torch import Tensor

from plateaulens.scan.whole import WholeForward
from plateaulens.subject.model import Subject

SEQUENTIAL = ("gpt2", "llama", "qwen3", "gemma3_text")
HOOKS = {
    "post": "blocks.1.hook_resid_post",
    "attn_out": "blocks.1.hook_attn_out",
    "mlp_out": "blocks.1.hook_mlp_out",
    "z": "blocks.1.attn.hook_z",
}


def case(subject: Subject, steps: int = 7) -> tuple[Tensor, Tensor]:
    """Two prompts of nine tokens, and points around what passes the write site: the first is what does pass."""
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(0, subject.vocabulary, (2, 9), generator=rng)
    base = subject.last_activations(tokens)
    moved = torch.randn((2, 2, steps, subject.width), generator=rng) * base.std()
    moved[:, :, 0] = 0
    return tokens, base[:, None, None] + moved


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("place", HOOKS)
@pytest.mark.parametrize("architecture", [*SEQUENTIAL, "gpt_neox"])
def test_equal_to_one_hook_at_the_very_module(
    architecture: str, place: str, cached: bool, subject_at: Callable[..., Subject]
) -> None:
    subject = subject_at(architecture, write=HOOKS[place], lens=False)
    tokens, points = case(subject)
    assert subject.model is not None
    torch.testing.assert_close(subject.activations(tokens), passing(subject.model, tokens, block=1, place=place))
    forward = WholeForward(subject, cached=cached)
    found = forward.run(tokens, points)
    for prompt, own, read, final in zip(tokens, points, found.read, found.final, strict=True):
        for path in range(own.shape[0]):
            stream, log_p = plain_points(subject.model, prompt, own[path], block=1, place=place, read=2)
            torch.testing.assert_close(read[path], stream, rtol=1e-4, atol=1e-4)
            mine = forward.unembed(final[path]).log_softmax(-1)
            torch.testing.assert_close(mine, log_p, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("architecture", SEQUENTIAL)
def test_between_attention_and_mlp_it_is_the_stream_that_the_mlp_sees(
    architecture: str, subject_at: Callable[..., Subject]
) -> None:
    """`mid + mlp_out = post`: moving `mid` moves the block's output by as much, and by what the MLP makes of it."""
    middle = subject_at(architecture, write="blocks.1.hook_resid_mid", read="blocks.1.hook_resid_post", lens=False)
    added = subject_at(architecture, write="blocks.1.hook_attn_out", read="blocks.1.hook_resid_post", lens=False)
    tokens, points = case(middle)
    moved = points - points[:, :, :1]
    base = added.last_activations(tokens)
    through_middle = WholeForward(middle, cached=True).run(tokens, points).read
    through_attention = WholeForward(added, cached=True).run(tokens, base[:, None, None] + moved).read
    torch.testing.assert_close(through_middle, through_attention, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("position", [0, 3, -2])
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text"])
def test_any_position_is_read_at_the_end_of_the_prompt(
    architecture: str, position: int, cached: bool, subject_at: Callable[..., Subject]
) -> None:
    subject = subject_at(architecture, write="blocks.0.hook_resid_post", lens=False, position=position)
    tokens, points = case(subject)
    assert subject.model is not None
    forward = WholeForward(subject, cached=cached)
    found = forward.run(tokens, points)
    for prompt, own, read, final in zip(tokens, points, found.read, found.final, strict=True):
        stream, log_p = plain_points(subject.model, prompt, own[0], block=0, place="post", read=2, position=position)
        torch.testing.assert_close(read[0], stream, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(forward.unembed(final[0]).log_softmax(-1), log_p, rtol=1e-4, atol=1e-3)
        assert (stream - stream[0]).abs().max() > 1e-2


def test_the_model_is_left_as_it_was(subject_at: Callable[..., Subject]) -> None:
    subject = subject_at("llama", write=HOOKS["z"], lens=False)
    tokens, points = case(subject)
    assert subject.model is not None
    with torch.inference_mode():
        before = subject.model(input_ids=tokens).logits
        WholeForward(subject, cached=True).run(tokens, points)
        assert torch.equal(subject.model(input_ids=tokens).logits, before)
