"""The second real model, where somebody has installed its wheels."""

import importlib.util

import pytest
import torch
from tests.scan.plain import plain_scan

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.scan.direct import DirectForward, choose_forward
from plateaulens.scan.engine import scan
from plateaulens.scan.walk import relative
from plateaulens.subject.embedded import GEMMA3
from plateaulens.subject.model import load_subject

INSTALLED = all(importlib.util.find_spec(part.partition("/")[0]) for part in GEMMA3.parts)
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not INSTALLED, reason="Gemma comes under its own terms: install its wheels to run this"),
]


def test_packed_steps_equal_whole_prompts() -> None:
    """Five of six layers look back through a window, by index; a hundred points lie beyond none of them."""
    sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.17.hook_resid_post")
    subject = load_subject(ModelConfig(source="embedded:gemma3-270m"), sites)
    assert (subject.blocks, subject.d_model, int(subject.bridge.cfg.d_vocab)) == (18, 640, 262144)
    text = "The capital of France is the city of"
    tokens = torch.tensor([subject.tokenizer.encode(text)])
    assert int(tokens[0, 0]) == subject.tokenizer.bos_token_id == 2
    forward = choose_forward(subject)
    assert isinstance(forward, DirectForward)
    base = subject.last_activations(tokens)
    noise = torch.randn(base.shape, generator=torch.Generator().manual_seed(0))
    target = noise * base.norm() / noise.norm()
    points = relative(base[:, None], target[:, None], 541)  # more than fit into the window of 512
    few = points[:, :, ::60].contiguous()
    with torch.inference_mode():
        crowded, alone = forward.run(tokens, points).read[:, :, ::60], forward.run(tokens, few).read
    torch.testing.assert_close(crowded, alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))
    measured, plain = scan(forward, tokens, few), plain_scan(subject, tokens[0], few[0, 0])
    for index, metric in enumerate(("l2", "kl", "js")):
        scale = float(plain[metric].max())
        torch.testing.assert_close(measured.curve[0, 0, :, index], plain[metric].float(), rtol=1e-3, atol=1e-3 * scale)
