"""The way that is chosen gives what whole prompts give, the quickest such way is chosen, and no wrong one passes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.architectures import MODEL_TYPES
from tests.conftest import NAMES
from tests.scan.plainly import plain_points
from torch import Tensor

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.names import BRIDGE, COPIED, PACKED, WAYS, WHOLE
from plateaulens.scan import choice
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.choice import choose
from plateaulens.scan.direct import DirectForward
from plateaulens.scan.engine import Response
from plateaulens.scan.whole import WholeForward
from plateaulens.subject.anatomy import run
from plateaulens.subject.model import Subject, load_subject

LENGTH = 6
UNLIKE_PACKED = {
    "bloom": "ALiBi",
    "mpt": "ALiBi",
    "qwen3_next": "carries a state",
    "qwen3_5_text": "carries a state",
    "gpt_neo": "packed: not for model type 'gpt_neo'",
}


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 101, (3, LENGTH), generator=torch.Generator().manual_seed(1))


class TestQuickest:
    @pytest.mark.parametrize("architecture", NAMES)
    def test_packed_where_the_architecture_is_verified(
        self, architecture: str, tokens: Tensor, subject_at: Callable[..., Subject]
    ) -> None:
        found = choose(subject_at(architecture), tokens, points=30)
        assert (found.way, found.why) == (PACKED, "")
        assert isinstance(found.forward, DirectForward)

    @pytest.mark.parametrize("architecture", UNLIKE_PACKED)
    def test_whole_prompts_where_packing_is_wrong(
        self, architecture: str, tokens: Tensor, subject_at: Callable[..., Subject]
    ) -> None:
        found = choose(subject_at(architecture, lens=False), tokens, points=80)
        assert found.way in {WHOLE, COPIED}
        assert UNLIKE_PACKED[architecture] in found.why

    def test_the_bridge_where_it_is_right_and_the_blocks_are_not_known(
        self, tokens: Tensor, subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choice, "fits_directly", lambda _: False)
        found = choose(subject_at("llama"), tokens, points=30)
        assert found.way == BRIDGE
        assert isinstance(found.forward, BridgeForward)

    def test_whole_prompts_at_an_earlier_position(self, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        found = choose(subject_at("llama", position=2), tokens, points=30)
        assert found.way == WHOLE
        assert "tokens that follow the perturbed one" in found.why

    def test_one_way_can_be_asked_for(self, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        assert {way: choose(subject_at("gpt2"), tokens, points=9, way=way).way for way in WAYS} == {w: w for w in WAYS}
        with pytest.raises(UsageError, match=r"cannot be measured as bridge: .*leave engine\.way out"):
            choose(subject_at("gpt2", position=2), tokens, points=9, way=BRIDGE)

    @pytest.mark.parametrize("length", [1, 2])
    def test_prompts_of_a_token_or_two(self, length: int, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        assert choose(subject_at("llama"), tokens[:, :length], points=9).way == PACKED
        assert choose(subject_at("llama"), tokens[:, :length], points=9, way=WHOLE).way == WHOLE

    def test_the_same_prompt_twice(self, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        assert choose(subject_at("gpt2"), tokens[:1].expand(2, -1), points=9).way == PACKED

    def test_processed_weights(self, tiny_files: Any, tokens: Tensor) -> None:
        sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.2.hook_resid_post")
        folded = load_subject(ModelConfig(source=str(tiny_files / "model"), processing="folded"), sites)
        assert choose(folded, tokens, points=30).way == PACKED
        alone = dataclasses.replace(folded, model=None)
        found = choose(alone, tokens, points=30)
        assert found.way == BRIDGE
        assert "processed weights" in found.why
        with pytest.raises(UsageError, match=r"only the last token can be perturbed; use processing"):
            choose(dataclasses.replace(alone, position=2), tokens, points=30)
        with pytest.raises(UsageError, match=r"engine\.way 'whole': processed weights"):
            choose(alone, tokens, points=30, way=WHOLE)


class TestTruth:
    """Of every architecture that tests make, what is chosen equals the published model."""

    @torch.inference_mode()
    @pytest.mark.parametrize("architecture", MODEL_TYPES)
    def test_the_chosen_way_is_right(self, architecture: str, subject_at: Callable[..., Subject]) -> None:
        subject = subject_at(architecture, lens=False)
        tokens = torch.randint(0, 101, (2, 9), generator=torch.Generator().manual_seed(3))
        found = choose(subject, tokens, points=60)
        base = found.subject.last_activations(tokens)
        moved = torch.randn((2, 2, 30, subject.width), generator=torch.Generator().manual_seed(5)) * base.std()
        moved[:, :, 0] = 0
        points = base[:, None, None] + moved
        response = found.forward.run(tokens, points)
        for prompt, own, final in zip(tokens, points, response.final, strict=True):
            whole = WholeForward(subject, cached=False)
            truth = whole.run(prompt[None], own[None])
            for path in range(2):
                mine = found.forward.unembed(final[path]).log_softmax(-1)
                theirs = whole.unembed(truth.final[0, path]).log_softmax(-1)
                torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=2e-3)


class TestWrongWays:
    @pytest.mark.parametrize("what", ["read", "final"])
    @pytest.mark.parametrize("error", [0.02, float("nan")])
    def test_a_small_error_is_found_out(
        self,
        what: str,
        error: float,
        tokens: Tensor,
        subject_at: Callable[..., Subject],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Wrong(DirectForward):
            def run(self, tokens: Tensor, points: Tensor) -> Response:
                right = super().run(tokens, points)
                changed = getattr(right, what) * (1 + error * torch.eye(points.shape[-1])[0])
                return right._replace(**{what: changed})

        monkeypatch.setattr(choice, "DirectForward", Wrong)
        found = choose(subject_at("llama"), tokens, points=30)
        assert found.way != PACKED
        assert "packed: at the" in found.why

    def test_so_is_one_that_only_the_last_of_many_points_has(
        self, tokens: Tensor, subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Wrong(DirectForward):
            def run(self, tokens: Tensor, points: Tensor) -> Response:
                right = super().run(tokens, points)
                right.read[:, :, 900:] *= 1.05
                return right

        monkeypatch.setattr(choice, "DirectForward", Wrong)
        assert choose(subject_at("llama"), tokens, points=900).way == PACKED
        assert choose(subject_at("llama"), tokens, points=909).way != PACKED

    def test_a_window_that_only_many_points_reach(self, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        """GPT-Neo in the bridge counts a window in indices: right with a few points, wrong with many."""
        subject = subject_at("gpt_neo", window_size=20)
        assert subject.lens is not None
        few = choose(subject, tokens, points=6)
        many = choose(subject, tokens, points=50)
        assert few.way == BRIDGE
        assert many.way == WHOLE
        assert "differs from whole prompts" in many.why

    def test_a_bridge_that_computes_another_model_is_not_used(
        self, tokens: Tensor, subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subject = subject_at("llama")
        monkeypatch.setattr(choice, "fits_directly", lambda _: False)
        assert choose(subject, tokens, points=9).way == BRIDGE
        other = subject_at("llama", rms_norm_eps=0.1)  # the same weights
        found = choose(dataclasses.replace(subject, lens=other.lens), tokens, points=9)
        assert found.way == WHOLE
        assert found.subject.lens is None
        assert "TransformerLens' activations differ" in found.why

    def test_a_way_that_fails_is_not_chosen(
        self, tokens: Tensor, subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: Any) -> None:
            raise IndexError("no such position")

        monkeypatch.setattr(DirectForward, "run", fail)
        monkeypatch.setattr(BridgeForward, "run", fail)
        found = choose(subject_at("gpt2"), tokens, points=9)
        assert (found.way, found.why) == (WHOLE, "packed: IndexError; bridge: IndexError")

    def test_bf16_is_for_the_packed_way_only(self, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        assert choose(subject_at("llama"), tokens, points=9, precision="bf16").way == PACKED
        with pytest.raises(UsageError, match="'bf16': this model runs in float32 only"):
            choose(subject_at("llama", position=1), tokens, points=9, precision="bf16")

    @pytest.mark.parametrize("length", [1, 6])
    def test_outputs_that_overflow_are_refused(
        self, length: int, tokens: Tensor, subject_at: Callable[..., Subject]
    ) -> None:
        subject = subject_at("gpt2", lens=False)
        assert subject.model is not None
        layer: Any = subject.model.get_submodule("transformer.h.1.mlp.c_proj")
        with torch.no_grad():
            layer.weight.fill_(3e38)
        with pytest.raises(UsageError, match="its outputs for the first prompt are no finite numbers"):
            choose(subject, tokens[:, :length], points=9)

    def test_a_way_that_these_sites_do_not_have(self, tokens: Tensor, subject_at: Callable[..., Subject]) -> None:
        with pytest.raises(UsageError, match="cannot be measured as bridge: not at these sites; leave"):
            choose(subject_at("gpt2", write="blocks.1.hook_resid_mid"), tokens, points=9, way=BRIDGE)

    def test_a_model_that_sees_later_tokens_is_refused(
        self, tokens: Tensor, subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subject = subject_at("llama", lens=False)

        def both_ways(model: Any, tokens: Tensor, cache: Any = None) -> Any:
            found = run(model, tokens, cache)
            found.logits = found.logits + found.logits[:, -1:]
            return found

        monkeypatch.setattr(choice, "run", both_ways)
        with pytest.raises(UsageError, match="model type 'llama' cannot be measured: its attention is not causal"):
            choose(subject, tokens, points=9)


@torch.inference_mode()
def test_equal_to_transformers_alone(subject_at: Callable[..., Subject]) -> None:
    """An independent computation: the published model with one hook, no code of this project."""
    subject = subject_at("llama", lens=False)
    tokens = torch.randint(0, 101, (1, 9), generator=torch.Generator().manual_seed(3))
    found = choose(subject, tokens, points=20)
    base = found.subject.last_activations(tokens)
    points = base[:, None] + torch.randn((1, 20, 32), generator=torch.Generator().manual_seed(5))
    response = found.forward.run(tokens, points[:, None])
    assert subject.model is not None
    read, log_p = plain_points(subject.model, tokens[0], points[0], block=0, place="post", read=2)
    torch.testing.assert_close(response.read[0, 0], read, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.forward.unembed(response.final[0, 0]).log_softmax(-1), log_p, rtol=1e-4, atol=1e-3)
