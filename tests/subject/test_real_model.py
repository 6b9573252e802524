"""The embedded SmolLM2: what is measured on it is what the plain way measures."""

import importlib.machinery
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.scan.plain import plain_scan

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.direct import choose_forward
from plateaulens.scan.engine import Forward, scan
from plateaulens.scan.walk import relative
from plateaulens.subject.embedded import SMOLLM2, locate
from plateaulens.subject.model import Subject, load_subject
from plateaulens.subject.weights import load_weights

pytestmark = pytest.mark.model

PROMPTS = ("The capital of France is the city of", "Once upon a time there was a little")


@pytest.fixture(scope="module")
def smollm2() -> Subject:
    return load_subject(
        ModelConfig(source="embedded:smollm2"),
        SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.29.hook_resid_post"),
    )


def test_what_is_known_of_it(smollm2: Subject) -> None:
    assert (smollm2.blocks, smollm2.d_model, int(smollm2.bridge.cfg.d_vocab)) == (30, 576, 49152)
    assert smollm2.identity == {"file": SMOLLM2.file, "sha256": SMOLLM2.sha256}


@pytest.mark.parametrize("make", [BridgeForward, choose_forward])
def test_the_packed_engines_equal_the_plain_way(make: Callable[[Subject], Forward], smollm2: Subject) -> None:
    tokens = torch.tensor([smollm2.tokenizer.encode(text) for text in PROMPTS])
    base = smollm2.last_activations(tokens)
    noise = torch.randn(base.shape, generator=torch.Generator().manual_seed(0))
    target = torch.stack([base.flip(0), noise * base.norm(dim=1, keepdim=True) / 24], dim=1)
    points = torch.stack([relative(a.expand_as(t), t, 11) for a, t in zip(base, target, strict=True)])
    measured = scan(make(smollm2), tokens, points)
    for prompt in range(2):
        for path in range(2):
            plain = plain_scan(smollm2, tokens[prompt], points[prompt, path])
            for index, metric in enumerate(("l2", "kl", "js")):
                scale = float(plain[metric].max())
                assert scale > 0.1, "the path changes nothing: the test would prove nothing"
                torch.testing.assert_close(
                    measured.curve[prompt, path, :, index], plain[metric].float(), rtol=1e-4, atol=1e-4 * max(scale, 1)
                )
            assert torch.equal(measured.top_token[prompt, path].long(), plain["top_token"])


def test_a_file_with_one_flipped_bit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / SMOLLM2.file
    content = bytearray(locate(SMOLLM2).read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    spec = importlib.machinery.ModuleSpec(SMOLLM2.parts[0].partition("/")[0], None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(UsageError, match=rf"{SMOLLM2.file} has SHA-256 \w+, expected {SMOLLM2.sha256}: run `pip "):
        load_weights(ModelConfig(source="embedded:smollm2"))
