"""Which architectures are measured, which are refused by name, and that packing errors are found out."""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.conftest import NAMES
from torch import Tensor
from transformers import AutoConfig

from plateaulens.errors import UsageError
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.direct import choose_forward
from plateaulens.scan.engine import Response
from plateaulens.scan.packing import check_packing
from plateaulens.subject.architectures import REFUSED, check_architecture
from plateaulens.subject.model import Subject

LENGTH = 6


@pytest.fixture(params=NAMES)
def subject(request: pytest.FixtureRequest, subject_at: Callable[..., Subject]) -> Subject:
    """A tiny model of every architecture that the project promises to measure."""
    return subject_at(request.param)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, 101, (3, LENGTH), generator=torch.Generator().manual_seed(1))


def configuration(model_type: str = "llama", **options: Any) -> Any:
    return SimpleNamespace(model_type=model_type, **options)


class TestArchitectures:
    def test_the_five_are_measured(self, subject: Subject) -> None:
        check_architecture(subject.bridge.original_model.config, length=LENGTH)

    @pytest.mark.parametrize("model_type", REFUSED)
    def test_refused_by_name(self, model_type: str) -> None:
        with pytest.raises(UsageError, match=f"'{model_type}' cannot be measured: {REFUSED[model_type][:9]}"):
            check_architecture(configuration(model_type), length=10)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"alibi": True}, "biased by the distance"),
            ({"position_embedding_type": "alibi"}, "biased by the distance"),
            ({"attn_logit_softcapping": 50.0}, "caps scores or logits"),
            ({"final_logit_softcapping": 30.0}, "caps scores or logits"),
            ({"is_encoder_decoder": True}, "not causal, or it has an encoder"),
            ({"use_bidirectional_attention": True}, "not causal, or it has an encoder"),
            ({"layer_types": ["full_attention", "linear_attention"]}, "layers of the kind 'linear_attention'"),
            ({"layer_types": ["sliding_attention"], "sliding_window": 9}, "looks back 9 tokens, prompts.length is 10"),
            ({"sliding_window": 9}, "looks back 9 tokens, prompts.length is 10"),
            ({"max_position_embeddings": 9}, "has 9 positions, prompts.length is 10"),
        ],
    )
    def test_refused_for_a_setting(self, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(UsageError, match=reason) as raised:
            check_architecture(configuration("some_new_model", **options), length=10)
        assert "'some_new_model'" in str(raised.value)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        "options",
        [
            {"alibi": False, "attn_logit_softcapping": None},
            {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 10},
            {"sliding_window": 9, "use_sliding_window": False},
            {"layer_types": ["full_attention"], "sliding_window": 9},
            {"sliding_window": None, "max_position_embeddings": 10},
        ],
    )
    def test_a_harmless_setting_is_none_of_these(self, options: dict[str, Any]) -> None:
        check_architecture(configuration("some_new_model", **options), length=10)

    @pytest.mark.parametrize("model_type", ["gemma2", "bloom", "mpt", "gpt_oss", "mamba"])
    def test_transformers_own_configurations(self, model_type: str) -> None:
        with pytest.raises(UsageError, match=f"'{model_type}' cannot be measured"):
            check_architecture(AutoConfig.for_model(model_type), length=10)

    def test_falcon_with_its_biases(self) -> None:
        check_architecture(AutoConfig.for_model("falcon", alibi=False), length=10)
        with pytest.raises(UsageError, match=r"'falcon' cannot be measured: .*ALiBi"):
            check_architecture(AutoConfig.for_model("falcon", alibi=True), length=10)


class TestPacking:
    def test_every_architecture_passes_with_the_engine_that_is_chosen_for_it(
        self, subject: Subject, tokens: Tensor
    ) -> None:
        check_packing(subject, choose_forward(subject), tokens)

    def test_so_does_the_reference_engine(self, subject: Subject, tokens: Tensor) -> None:
        check_packing(subject, BridgeForward(subject), tokens)

    def test_a_prompt_of_one_token(self, subject: Subject, tokens: Tensor) -> None:
        check_packing(subject, choose_forward(subject), tokens[:, :1])

    def test_the_same_prompt_twice(self, subject: Subject, tokens: Tensor) -> None:
        check_packing(subject, choose_forward(subject), tokens[:1].expand(2, -1))

    @pytest.mark.parametrize("window", [LENGTH - 1, 2])
    def test_a_window_shorter_than_the_prompt_is_found_out(
        self, window: int, tokens: Tensor, subject_at: Callable[..., Subject]
    ) -> None:
        """Should a configuration not tell: attention by index is measured to be wrong."""
        subject = subject_at("gemma3_text", sliding_window=window)
        with pytest.raises(UsageError, match=r"model type 'gemma3_text' cannot be measured: at the read site"):
            check_packing(subject, BridgeForward(subject), tokens)

    @pytest.mark.parametrize("what", ["read", "final"])
    @pytest.mark.parametrize("error", [0.02, float("nan")])
    def test_a_small_error_is_found_out(
        self, what: str, error: float, tokens: Tensor, subject_at: Callable[..., Subject]
    ) -> None:
        class Wrong(BridgeForward):
            def run(self, tokens: Tensor, points: Tensor) -> Response:
                right = super().run(tokens, points)
                changed = getattr(right, what) * (1 + error * torch.eye(points.shape[-1])[0])
                return right._replace(**{what: changed})

        subject = subject_at("llama")
        check_packing(subject, BridgeForward(subject), tokens)
        with pytest.raises(UsageError, match=r"packed steps differ from whole prompts by"):
            check_packing(subject, Wrong(subject), tokens)

    def test_processed_weights_pass(self, tiny_files: Any) -> None:
        from plateaulens.config import ModelConfig, SiteConfig
        from plateaulens.subject.model import load_subject

        sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.2.hook_resid_post")
        folded = load_subject(ModelConfig(source=str(tiny_files / "model"), processing="folded"), sites)
        tokens = torch.randint(0, 101, (2, 8), generator=torch.Generator().manual_seed(2))
        check_packing(folded, choose_forward(folded), tokens)
        unprocessed = dataclasses.replace(
            folded, model=load_subject(ModelConfig(source=str(tiny_files / "model")), sites).model
        )
        with pytest.raises(UsageError, match="at the read site"):
            check_packing(unprocessed, choose_forward(unprocessed), tokens)
