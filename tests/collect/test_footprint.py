"""What a run will take is estimated before loading, and what does not fit is refused with what would help."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.tiny import write_preset
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from plateaulens.collect import footprint
from plateaulens.collect.context import open_context
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


@pytest.mark.parametrize(
    ("types", "doubles"), [(["token_gaussian", "code_top"], 5), (["token_gaussian", "with_error"], 8)]
)
def test_what_types_are_fitted_to_is_counted_as_it_is(
    types: list[str], doubles: int, tiny_files: Path, tmp_path: Path
) -> None:
    """Of 20 prompts the tokens from the fourth to the eighth, each 32 wide."""
    preset = write_preset(tmp_path / "tiny.toml", tiny_files, targets__types=["real", types[0]])
    with preset.open("a") as file:
        error = "drawn" if "with_error" in types else "none"
        file.write(f'\ntargets.variants.other = {{ type = "code_top", sae_error = "{error}" }}\n')
    config = read_config(preset)
    context = open_context(config)
    corpus = context.target_context.corpus
    held = corpus.activation.nbytes + corpus.embedding.nbytes + corpus.token.nbytes
    (note,) = (note for note in context.notes if note.startswith("memory"))
    model = context.subject.model
    assert model is not None
    found = needs(config, model, prompts=40, fitted_to=len(corpus.token), errors=doubles == 8)
    assert found.corpus == held == 20 * 5 * (2 * 32 * 4 + 8)
    assert found.fitting == doubles * 20 * 5 * 32 * 8
    assert str(found) == note


def test_without_fitted_types_nothing_is_set_aside(config: RunConfig) -> None:
    found = needs(config, of_shape("llama", **tiny_config("llama")), prompts=40)
    assert found.corpus == found.fitting == 0
    assert "fitted" not in str(found)


def test_fitting_and_walking_are_not_at_once() -> None:
    assert Needs(1, 20, 300, 4000, 50_000).total == 1 + 300 + 4000 + 50_000
    assert Needs(1, 20, 300, 4000, 5).total == 1 + 20 + 300 + 4000


def test_a_corpus_that_does_not_fit_is_refused(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as prompts are there, and before anything is computed of them."""
    config = read_config(write_preset(tmp_path / "tiny.toml", tiny_files, targets__types=["real", "token_mean"]))
    monkeypatch.setattr("plateaulens.collect.context.corpus", Mock(side_effect=AssertionError))
    monkeypatch.setattr("plateaulens.collect.context.fitted_to", lambda *_: 10**12)
    with pytest.raises(UsageError, match=r"does not fit on cpu: .* for those that types are fitted to.*fewer prompts"):
        open_context(config)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how large a process was")
@pytest.mark.parametrize(("what", "doubles"), [("Tokens", 5), ("SaeError", 8)])
def test_a_fit_holds_no_more_than_is_said(what: str, doubles: int) -> None:
    """In a process of its own, whose largest size the system keeps; 20,000 activations are 41 MB in float64."""
    found = subprocess.run([sys.executable, "-c", FITTING, what], check=True, capture_output=True, text=True)
    assert 0.4 * doubles < float(found.stdout) < 1.1 * doubles


FITTING = """
import sys
import numpy as np, torch
from plateaulens.targets import fitting
from plateaulens.targets.dictionary import Dictionary

rows, width = 20_000, 256
rng = torch.Generator().manual_seed(0)
made, table = torch.randn((rows, width), generator=rng), torch.randn((1000, width), generator=rng)
decoder = torch.randn((512, width), generator=rng) / 16
sae = Dictionary(lambda x: torch.relu(x @ decoder.T - 2), lambda f: f @ decoder, decoder, torch.ones(512))
token = np.random.default_rng(0).integers(0, 1000, rows)
corpus = fitting.Corpus(made, token, table[token])
own = fitting.Fitting(lambda: corpus, sae, 0)
own.learned(fitting.Codes)
def largest():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = largest()
own.learned(getattr(fitting, sys.argv[1]))
print((largest() - before) * 1024 / (8 * rows * width))
"""


def test_what_is_free_here() -> None:
    assert (available("cpu") or 0) > 10**8
    assert available("meta") is None
