"""What a run will take is estimated before loading, and what does not fit is refused with what would help."""

from pathlib import Path
from typing import Any

import pytest
from tests.tiny import write_preset
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from plateaulens.collect import footprint
from plateaulens.collect.footprint import Needs, available, check_memory, needs
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.subject import weights
from plateaulens.subject.tiny import tiny_config


@pytest.fixture
def config(tiny_files: Path, tmp_path: Path) -> RunConfig:
    return read_config(write_preset(tmp_path / "tiny.toml", tiny_files))


def of(config: RunConfig, **changes: Any) -> RunConfig:
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


def of_shape(model_type: str, **shape: Any) -> PreTrainedModel:
    return weights.empty_model(AutoConfig.for_model(model_type, **shape))


def test_weights_are_counted(config: RunConfig) -> None:
    """SmolLM2-135M has 134.5 million parameters, 28.3 million of them its tied embedding."""
    smollm2 = of_shape(
        "llama",
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        tie_word_embeddings=True,
    )
    on_a_card = of(config, device="cuda")
    found = needs(on_a_card, smollm2, prompts=8192)
    assert found.weights == pytest.approx(2 * 4 * 134.5e6, rel=0.01)  # the engine lays them out anew
    assert found.pool == pytest.approx(4 * 8192 * 576 + 24 * 576**2, rel=0.01)
    narrow = needs(of(config, device="cuda", dtype="bfloat16"), smollm2, prompts=8192)
    assert narrow.weights == pytest.approx(2 * (2 * 106.2e6 + 4 * 28.3e6), rel=0.01)
    assert needs(config, smollm2, prompts=8192).weights == found.weights
    assert needs(config, smollm2, prompts=8192, loaded=True).weights == found.weights / 2
    assert "of weights" in str(found)


def test_a_model_without_numbers_is_made_once_for_a_run(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for before loading, to say what memory is needed, and while loading, to see whether files fit."""
    make: Any = AutoModelForCausalLM.from_config
    made = []

    def counted(given: Any, **options: Any) -> Any:
        made.append(given)
        return make(given, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_config", counted)
    monkeypatch.setattr(weights, "_empty", {})
    found = weights.read_config(Path(config.model.source))
    weights.empty_model(found)
    weights.load_weights(config.model)
    assert len(made) == 1
    of_shape("llama", **tiny_config("llama"))
    assert len(made) == 2


def test_pictures_have_weights_too(config: RunConfig) -> None:
    both = of_shape("gemma3", **tiny_config("gemma3"))
    alone = of_shape("gemma3_text", **tiny_config("gemma3_text"))
    assert needs(config, both, prompts=40).weights > needs(config, alone, prompts=40).weights


def test_more_at_once_takes_more(config: RunConfig) -> None:
    many = config.model_copy(update={"engine": config.engine.model_copy(update={"prompts_per_batch": 8})})
    small = of_shape("llama", **tiny_config("llama"))
    assert needs(many, small, prompts=40).batch > needs(config, small, prompts=40).batch


def test_what_does_not_fit_is_refused_with_the_options(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available", lambda _: 5 * 10**9)
    fits, large = Needs(4 * 10**9, 10**6, 10**6), Needs(32 * 10**9, 10**6, 10**6)
    check_memory(fits, config)
    with pytest.raises(
        UsageError, match=r'does not fit on cpu: .*32\.0 GB.* 5\.0 GB are free; use dtype = "bfloat16"'
    ) as it:
        check_memory(large, config)
    assert "\n" not in str(it.value)
    with pytest.raises(UsageError) as it:
        check_memory(large, of(config, dtype="bfloat16"))
    assert "bfloat16" not in str(it.value).split("use ")[-1]
    with pytest.raises(UsageError, match=r"a walk through model .* does not fit on cpu: .*; use fewer"):
        check_memory(large, config, loaded=True)
    monkeypatch.setattr(footprint, "available", lambda _: None)
    check_memory(large, config)


def test_what_is_free_here() -> None:
    assert (available("cpu") or 0) > 10**8
    assert available("meta") is None
