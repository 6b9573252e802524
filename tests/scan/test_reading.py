"""Several read sites at once: at each of them, and at the output, the very numbers that it has alone."""

from collections.abc import Callable

import pytest
import torch
from tests.conftest import BLOCKS

from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.choice import reading
from plateaulens.scan.direct import DirectForward
from plateaulens.scan.engine import Forward, Telling, scan
from plateaulens.scan.whole import WholeForward
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import parse_site

READS = ["blocks.2.hook_resid_post", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post", "blocks.2.hook_resid_pre"]
"""The last one first, and the last two the same place."""
METRICS = ("kl", "l2", "cosine")
WAYS: dict[str, Callable[[Subject], Forward]] = {
    "packed": DirectForward,
    "bridge": BridgeForward,
    "whole": lambda subject: WholeForward(subject, cached=True),
    "copied": lambda subject: WholeForward(subject, cached=False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen3", "gemma3_text", "gpt_neox"])
def test_each_site_has_what_it_has_alone(architecture: str, way: str, subject_at: Callable[..., Subject]) -> None:
    subjects = [subject_at(architecture, read=read, lens=way == "bridge") for read in READS]
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(0, subjects[0].vocabulary, (2, 7), generator=rng)
    points = torch.randn((2, 2, 5, subjects[0].width), generator=rng)
    together = reading(WAYS[way](subjects[0]), [subject.read for subject in subjects])
    assert together is not None
    found = scan(Telling(together, 2), tokens, points, METRICS)
    assert len(found.further) == len(READS) - 1
    for subject, curve in zip(subjects, (found.curve, *found.further), strict=True):
        alone = scan(Telling(WAYS[way](subject), 2), tokens, points, METRICS)
        assert torch.equal(curve, alone.curve)
        assert torch.equal(found.top_token, alone.top_token)
        assert found.likely is not None
        assert alone.likely is not None
        assert torch.equal(found.likely.probability, alone.likely.probability)
        assert alone.further == ()
    assert not torch.equal(found.curve, found.further[0])


@pytest.mark.parametrize(
    ("architecture", "write", "own", "further"),
    [
        ("gpt2", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "blocks.1.hook_mlp_out"),
        ("gpt2", "blocks.0.hook_resid_post", "blocks.1.hook_mlp_out", "blocks.1.hook_resid_post"),
        ("llama", "blocks.0.hook_mlp_out", "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"),
    ],
)
def test_not_where_a_block_may_run_in_another_way(
    architecture: str, write: str, own: str, further: str, subject_at: Callable[..., Subject]
) -> None:
    subject = subject_at(architecture, write=write, read=own, lens=False)
    assert reading(DirectForward(subject), [subject.read, parse_site(further, BLOCKS)]) is None
