"""The direct way: it shares the bridge's weights, equals the bridge, and is chosen only where that is known."""

import dataclasses
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.direct import VERIFIED, DirectForward, choose_forward
from plateaulens.scan.engine import scan
from plateaulens.scan.walk import one_per_core, relative
from plateaulens.subject.model import Subject, load_subject, parse_site


@pytest.fixture(params=VERIFIED)
def verified(request: pytest.FixtureRequest, subject_at: Callable[..., Subject]) -> Subject:
    return subject_at(request.param)


def case(subject: Subject, prompts: int = 2, length: int = 6) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(0, int(subject.bridge.cfg.d_vocab), (prompts, length), generator=rng)
    base = subject.last_activations(tokens)
    targets = torch.randn((prompts, 3, subject.d_model), generator=rng) * base.std()
    return tokens, relative(base[:, None].expand_as(targets), targets, 11)


class TestSharing:
    def test_every_tensor_of_the_model_is_one_of_the_bridges(self, verified: Subject) -> None:
        def tensors(model: torch.nn.Module) -> set[int]:
            return {tensor.data_ptr() for tensor in chain(model.parameters(), model.buffers())}

        assert verified.model is not None
        assert tensors(verified.model) <= tensors(verified.bridge.original_model)

    def test_no_module_of_the_model_is_the_bridges(self, verified: Subject) -> None:
        assert verified.model is not None
        names = {type(module).__module__.partition(".")[0] for module in verified.model.modules()}
        assert "transformer_lens" not in names

    def test_the_bridge_keeps_its_attention(self, verified: Subject) -> None:
        tokens, _ = case(verified)
        with torch.inference_mode():
            before = verified.bridge(tokens)
            DirectForward(verified)
            assert torch.equal(verified.bridge(tokens), before)


class TestEquality:
    def test_with_the_bridge_on_every_verified_architecture(self, verified: Subject) -> None:
        tokens, points = case(verified)
        with torch.inference_mode():
            direct, bridge = DirectForward(verified).run(tokens, points), BridgeForward(verified).run(tokens, points)
        assert direct.read.shape == direct.final.shape == points.shape
        torch.testing.assert_close(direct.read, bridge.read, rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(direct.final, bridge.final, rtol=1e-5, atol=2e-5)

    def test_a_prompt_does_not_see_the_others_of_its_batch(self, verified: Subject) -> None:
        tokens, points = case(verified)
        forward = DirectForward(verified)
        with torch.inference_mode():
            torch.testing.assert_close(
                forward.run(tokens, points).read[1:],
                forward.run(tokens[1:], points[1:]).read,
                rtol=1e-5,
                atol=1e-5,
            )

    def test_from_several_threads_at_once(self, verified: Subject) -> None:
        tokens, points = case(verified, prompts=8)
        forward = DirectForward(verified)
        threads = torch.get_num_threads()
        torch.set_num_threads(4)
        try:
            batches = zip(tokens.split(1), points.split(1), strict=True)
            together = list(one_per_core(lambda batch: scan(forward, *batch), batches))
        finally:
            torch.set_num_threads(threads)
        for measured, prompt, point in zip(together, tokens.split(1), points.split(1), strict=True):
            assert torch.equal(measured.curve, scan(forward, prompt, point).curve)


class TestChoice:
    def test_direct_for_every_verified_architecture(self, verified: Subject) -> None:
        assert isinstance(choose_forward(verified), DirectForward)

    def test_the_bridge_for_processed_weights(self, verified: Subject) -> None:
        assert isinstance(choose_forward(dataclasses.replace(verified, model=None)), BridgeForward)

    @pytest.mark.parametrize(
        "change",
        [
            {"model_type": "bloom"},  # biases scores by distance
            {"model_type": "gemma2"},  # caps scores
            {"model_type": "gpt_oss"},  # has attention sinks
            {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        ],
    )
    def test_the_bridge_for_any_other_attention(
        self, change: dict[str, Any], subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subject = subject_at("llama")
        assert subject.model is not None
        for name, value in change.items():
            monkeypatch.setattr(subject.model.config, name, value, raising=False)
        assert isinstance(choose_forward(subject), BridgeForward)

    def test_folded_weights_run_in_a_centred_copy(self, tiny_files: Any) -> None:
        sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.2.hook_resid_post")
        folded = load_subject(ModelConfig(source=str(tiny_files / "model"), processing="folded"), sites)
        forward = choose_forward(folded)
        assert isinstance(forward, DirectForward)
        tokens, points = case(folded)
        direct, bridge = scan(forward, tokens, points), scan(BridgeForward(folded), tokens, points)
        torch.testing.assert_close(direct.curve, bridge.curve, rtol=1e-4, atol=1e-4)
        assert torch.equal(direct.top_token, bridge.top_token)


@pytest.fixture(scope="module")
def smollm2() -> Subject:
    sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.29.hook_resid_post")
    return load_subject(ModelConfig(source="embedded:smollm2"), sites)


@pytest.mark.model
@pytest.mark.parametrize(("write", "read"), [("1.hook_resid_pre", "29.hook_resid_post"), ("20.hook_resid_pre",) * 2])
def test_smollm2_equals_the_bridge(write: str, read: str, smollm2: Subject) -> None:
    """Within 1e-4 of each metric's largest value, which is rounding that thirty blocks have amplified."""
    subject = dataclasses.replace(
        smollm2, write=parse_site(f"blocks.{write}", 30), read=parse_site(f"blocks.{read}", 30)
    )
    tokens, points = case(subject, prompts=1, length=10)
    direct = scan(choose_forward(subject), tokens, points)
    bridge = scan(BridgeForward(subject), tokens, points)
    scale = bridge.curve.amax(dim=(0, 1, 2))
    assert (scale > 0).all()
    assert ((direct.curve - bridge.curve).abs().amax(dim=(0, 1, 2)) <= 1e-4 * scale).all()
    assert torch.equal(direct.top_token, bridge.top_token)
