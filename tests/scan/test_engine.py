"""The packed engine against the plain way, and the identities that hold at both ends of a path."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from jaxtyping import Float, Int
from tests.scan.plain import plain_scan
from torch import Tensor

from plateaulens.scan import engine
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.direct import DirectForward
from plateaulens.scan.engine import Forward, scan
from plateaulens.scan.walk import relative
from plateaulens.subject.model import Subject

STEPS = 11
FORWARDS: list[Callable[[Subject], Forward]] = [BridgeForward, DirectForward]


@pytest.fixture
def tokens() -> Int[Tensor, "prompt position"]:
    return torch.randint(0, 101, (3, 6), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def points(subject: Subject, tokens: Int[Tensor, "prompt position"]) -> Float[Tensor, "prompt path step d_model"]:
    """Two paths per prompt, towards random activations of the base's length."""
    base = subject.last_activations(tokens)
    noise = torch.randn((2, *base.shape), generator=torch.Generator().manual_seed(2))
    targets = noise * base.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return torch.stack([relative(base, target, STEPS) for target in targets], dim=1)


@pytest.mark.parametrize("make", FORWARDS)
def test_packed_points_equal_whole_prompts_copied_once_per_step(
    make: Callable[[Subject], Forward], subject: Subject, tokens: Tensor, points: Tensor
) -> None:
    measured = scan(make(subject), tokens, points)
    for prompt, path in product(range(points.shape[0]), range(points.shape[1])):
        plain = plain_scan(subject, tokens[prompt], points[prompt, path])
        for index, metric in enumerate(("l2", "kl", "js")):
            scale = float(plain[metric].max())
            assert scale > 0.01, "the path changes nothing: the test would prove nothing"
            torch.testing.assert_close(
                measured.curve[prompt, path, :, index], plain[metric].float(), rtol=2e-5, atol=2e-5 * max(scale, 1)
            )
        assert torch.equal(measured.top_token[prompt, path].long(), plain["top_token"])


@pytest.mark.parametrize("make", FORWARDS)
def test_step_0_is_the_unperturbed_model(
    make: Callable[[Subject], Forward], subject: Subject, tokens: Tensor, points: Tensor
) -> None:
    forward = make(subject)
    with torch.inference_mode():
        untouched, cache = subject.bridge.run_with_cache(tokens, names_filter=subject.read.name)
        response = forward.run(tokens, points)
        logits = forward.unembed(response.final[:, 0, 0])
    torch.testing.assert_close(response.read[:, 0, 0], cache[subject.read.name][:, -1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits, untouched[:, -1], rtol=1e-5, atol=1e-5)
    assert (scan(forward, tokens, points).curve[..., 0, :] == 0).all()


@pytest.mark.parametrize("make", FORWARDS)
def test_the_last_relative_step_is_the_target_patched_in(
    make: Callable[[Subject], Forward], subject: Subject, tokens: Tensor, points: Tensor
) -> None:
    def patch(stream: Tensor, hook: object) -> Tensor:
        stream = stream.clone()
        stream[:, -1] = points[:, 1, -1]
        return stream

    with torch.inference_mode():
        patched = subject.bridge.run_with_hooks(tokens, fwd_hooks=[(subject.write.name, patch)])[:, -1]
        forward = make(subject)
        logits = forward.unembed(forward.run(tokens, points).final[:, 1, -1])
    torch.testing.assert_close(logits, patched, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", FORWARDS)
def test_a_point_does_not_see_its_siblings(
    make: Callable[[Subject], Forward], subject: Subject, tokens: Tensor, points: Tensor
) -> None:
    forward = make(subject)
    first = points[:, :1, :1]
    with torch.inference_mode():
        alone = forward.run(tokens, first).read[:, 0, 0]
        among_steps = forward.run(tokens, torch.cat([first, 100 * points[:, :1, 1:]], dim=2)).read[:, 0, 0]
        among_paths = forward.run(tokens, torch.cat([first, 100 * points[:, 1:, 1:2]], dim=1)).read[:, 0, 0]
    torch.testing.assert_close(among_steps, alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(among_paths, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", FORWARDS)
def test_a_prompt_may_have_one_token(make: Callable[[Subject], Forward], subject: Subject, tokens: Tensor) -> None:
    base = subject.last_activations(tokens[:, :1])
    points = relative(base, base.flip(0), STEPS)[:, None]
    measured = scan(make(subject), tokens[:, :1], points)
    plain = plain_scan(subject, tokens[0, :1], points[0, 0])
    torch.testing.assert_close(measured.curve[0, 0, :, 0], plain["l2"], rtol=1e-5, atol=1e-5)


def test_cutting_the_head_into_rows_changes_nothing(
    subject: Subject, tokens: Tensor, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scan(BridgeForward(subject), tokens, points)
    monkeypatch.setattr(engine, "ROWS_PER_HEAD", 4)
    cut = scan(BridgeForward(subject), tokens, points)
    torch.testing.assert_close(cut.curve, whole.curve, rtol=1e-5, atol=1e-6)
    assert torch.equal(cut.top_token, whole.top_token)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        ("blocks.0.hook_resid_pre", "blocks.2.hook_resid_post"),
        ("blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"),
        ("blocks.2.hook_resid_pre", "blocks.2.hook_resid_pre"),
        ("blocks.1.hook_resid_post", "blocks.2.hook_resid_post"),
    ],
)
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("make", FORWARDS)
def test_every_pair_of_sites(
    make: Callable[[Subject], Forward],
    architecture: str,
    write: str,
    read: str,
    tokens: Tensor,
    subject_at: Callable[..., Subject],
) -> None:
    subject = subject_at(architecture, write=write, read=read)
    base = subject.last_activations(tokens)
    points = relative(base, base.flip(0), STEPS)[:, None]
    measured = scan(make(subject), tokens, points)
    plain = plain_scan(subject, tokens[0], points[0, 0])
    torch.testing.assert_close(measured.curve[0, 0, :, 0], plain["l2"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(measured.curve[0, 0, :, 1], plain["kl"].float(), rtol=1e-5, atol=1e-5)
