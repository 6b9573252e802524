"""Which architectures are refused by name, and of which it is known that they cannot be packed."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoConfig

from plateaulens.errors import UsageError
from plateaulens.subject.architectures import REFUSED, UNPACKABLE, check_architecture, why_not_packed


def configuration(model_type: str = "llama", **options: Any) -> Any:
    return SimpleNamespace(model_type=model_type, **options)


class TestRefused:
    @pytest.mark.parametrize("model_type", REFUSED)
    def test_by_name(self, model_type: str) -> None:
        with pytest.raises(UsageError, match=f"'{model_type}' cannot be measured: {REFUSED[model_type][:9]}"):
            check_architecture(configuration(model_type), length=10)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"is_encoder_decoder": True}, "not causal, or it has an encoder"),
            ({"use_bidirectional_attention": True}, "not causal, or it has an encoder"),
            ({"max_position_embeddings": 9}, "has 9 positions, prompts.length is 10"),
        ],
    )
    def test_for_a_setting(self, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(UsageError, match=reason) as raised:
            check_architecture(configuration("some_new_model", **options), length=10)
        assert "'some_new_model'" in str(raised.value)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("model_type", ["bert", "t5"])
    def test_transformers_own_configurations(self, model_type: str) -> None:
        with pytest.raises(UsageError, match=f"'{model_type}' cannot be measured"):
            check_architecture(AutoConfig.for_model(model_type), length=10)

    @pytest.mark.parametrize(
        "options",
        [
            {"alibi": True},
            {"attn_logit_softcapping": 50.0},
            {"layer_types": ["full_attention", "linear_attention"]},
            {"sliding_window": 9},
            {"max_position_embeddings": 10},
        ],
    )
    def test_what_only_packing_gets_wrong_is_not(self, options: dict[str, Any]) -> None:
        check_architecture(configuration("some_new_model", **options), length=10)

    @pytest.mark.parametrize("model_type", ["gemma2", "bloom", "mpt", "gpt_oss", "gemma3", "qwen3_5", "mamba"])
    def test_nor_are_causal_models_of_any_kind(self, model_type: str) -> None:
        check_architecture(AutoConfig.for_model(model_type), length=10)


class TestNotPacked:
    @pytest.mark.parametrize("model_type", UNPACKABLE)
    def test_by_name(self, model_type: str) -> None:
        assert why_not_packed(configuration(model_type)) == UNPACKABLE[model_type]

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"alibi": True}, "biased by the distance"),
            ({"position_embedding_type": "alibi"}, "biased by the distance"),
            ({"layer_types": ["full_attention", "linear_attention"]}, "layers of the kind 'linear_attention'"),
        ],
    )
    def test_for_a_setting(self, options: dict[str, Any], reason: str) -> None:
        assert reason in (why_not_packed(configuration("some_new_model", **options)) or "")

    @pytest.mark.parametrize(
        "options", [{}, {"alibi": False, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 4}]
    )
    def test_nothing_is_known_against_others(self, options: dict[str, Any]) -> None:
        assert why_not_packed(configuration("some_new_model", **options)) is None

    def test_falcon_with_its_biases(self) -> None:
        assert why_not_packed(AutoConfig.for_model("falcon", alibi=False)) is None
        assert "ALiBi" in (why_not_packed(AutoConfig.for_model("falcon", alibi=True)) or "")
