"""The direct way: it equals whole prompts run by transformers itself, and is chosen only where that is known."""

import dataclasses
from collections.abc import Callable
from functools import cache
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from tests.architectures import BLOCKS, MODEL_TYPES, VOCABULARY, stir, tiny_config
from tests.conftest import NAMES, tiny_model
from torch import Tensor
from transformers import AutoConfig

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.scan import attention, layers
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.direct import VERIFIED, DirectForward, fits_directly
from plateaulens.scan.engine import Response, scan
from plateaulens.scan.split import Precision
from plateaulens.scan.walk import one_per_core, relative
from plateaulens.subject.anatomy import find_anatomy, reading_sites, run, site_width, writing_site
from plateaulens.subject.model import Subject, load_subject
from plateaulens.subject.sites import parse_site

LENGTH = 9
"""Longer than the windows of the tiny models."""
CLOSE = 2e-5
"""Of the effect: float32 rounds by less (`TestWhatMatters` has what a mistake does)."""
BETWEEN = "1.hook_resid_pre", "2.hook_resid_post"
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
EDGE = {"rope_theta": 100.0, "original_max_position_embeddings": LENGTH - 1}
ROTARIES: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **EDGE},
    "yarn": {"rope_type": "yarn", "factor": 8.0, **EDGE},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0},
    # one set of frequencies for prompts of up to LENGTH - 1 tokens, which the earlier tokens alone would be
    "longrope": {"rope_type": "longrope", "factor": 8.0, **EDGE, "short_factor": [1.0] * 4, "long_factor": [3.0] * 4},
}


def direct(model: Any, write: str, read: str, precision: Precision = "float32") -> DirectForward:
    """Of a subject, its model and its sites are all that is needed."""
    sites = {"write": parse_site(f"blocks.{write}", BLOCKS), "read": parse_site(f"blocks.{read}", BLOCKS)}
    return DirectForward(cast("Subject", SimpleNamespace(model=model, frozen=(), **sites)), precision)


@torch.inference_mode()
def whole(model: Any, write: str, read: str, tokens: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """What is read, and the logits, with the whole prompt copied for every point and run by transformers."""
    anatomy, read_site = anatomy_of(model), parse_site(f"blocks.{read}", BLOCKS)
    rows = points.flatten(0, 2)

    def put(stream: Tensor) -> Tensor:
        return torch.cat([stream[:, :-1], rows[:, None]], dim=1)

    with (
        writing_site(anatomy, parse_site(f"blocks.{write}", BLOCKS), put),
        reading_sites(anatomy, {"read": read_site}) as kept,
    ):
        logits = run(model, tokens.repeat_interleave(len(rows) // len(tokens), dim=0)).logits
    at_read, at_end = (part[:, -1].unflatten(0, points.shape[:3]) for part in (kept["read"], logits))
    return at_read, at_end


def random_case(width: int = 32, *, length: int = LENGTH, steps: int = 5, prompts: int = 2) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(1, VOCABULARY - 5, (prompts, length), generator=rng)
    return tokens, torch.randn((prompts, 2, steps, width), generator=rng)


def differences(model: Any, write: str = BETWEEN[0], read: str = BETWEEN[1], **options: Any) -> tuple[float, float]:
    """At the read site and in the logits, the largest one as a share of the largest effect of a point."""
    site = parse_site(f"blocks.{write}", BLOCKS)
    tokens, points = random_case(site_width(anatomy_of(model), site, 32), **options)
    forward = direct(model, write, read)
    with torch.inference_mode():
        found: Response = forward.run(tokens, points)
        logits = forward.unembed(found.final.flatten(0, 2)).unflatten(0, points.shape[:3])
    shares = []
    for ours, theirs in zip((found.read, logits), whole(model, write, read, tokens, points), strict=True):
        assert ours.shape == theirs.shape
        shares.append(float((ours - theirs).abs().max() / (theirs - theirs[:, :, :1]).abs().max()))
    return shares[0], shares[1]


def stirred(model_type: str, **changes: Any) -> Any:
    """A tiny model whose biases and norms are no neutral ones, made once where nothing is changed."""
    return make_stirred(model_type) if not changes else stir(tiny_model(model_type, **changes).eval())


@cache
def make_stirred(model_type: str) -> Any:
    return stir(tiny_model(model_type).eval())


anatomy_of = cache(find_anatomy)


def check_threads(forward: DirectForward, tokens: Tensor, points: Tensor) -> None:
    """Each thread gets what it gets alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        batches = zip(tokens.split(1), points.split(1), strict=True)
        together = list(one_per_core(lambda batch: scan(forward, *batch), batches))
    finally:
        torch.set_num_threads(threads)
    for measured, prompt, point in zip(together, tokens.split(1), points.split(1), strict=True):
        assert torch.equal(measured.curve, scan(forward, prompt, point).curve)


@pytest.fixture(params=VERIFIED)
def model_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=NAMES)
def bridged(request: pytest.FixtureRequest, subject_at: Callable[..., Subject]) -> Subject:
    """A subject of every architecture that has a bridge in these tests."""
    return subject_at(request.param)


class TestWholePrompts:
    def test_every_verified_architecture(self, model_type: str) -> None:
        assert max(differences(stirred(model_type))) < CLOSE

    @pytest.mark.parametrize("length", [1, 2])
    def test_short_prompts(self, length: int, model_type: str) -> None:
        assert max(differences(stirred(model_type), length=length)) < CLOSE

    def test_the_number_of_points_is_nothing_to_a_window(self, model_type: str) -> None:
        assert max(differences(stirred(model_type), steps=60, prompts=1)) < CLOSE

    @pytest.mark.parametrize("read", ["0.hook_resid_pre", "1.hook_resid_post"])
    def test_written_before_the_first_block(self, read: str, model_type: str) -> None:
        assert max(differences(stirred(model_type), "0.hook_resid_pre", read)) < CLOSE

    @pytest.mark.parametrize("window", [1, 2, LENGTH - 1, LENGTH, LENGTH + 1])
    @pytest.mark.parametrize("model_type", ["gemma2", "gemma3_text", "gpt_oss", "mistral"])
    def test_windows_of_any_length(self, window: int, model_type: str) -> None:
        assert max(differences(stirred(model_type, sliding_window=window))) < CLOSE

    @pytest.mark.parametrize("model_type", ["gemma3", "gemma3_text"])
    def test_only_the_language_model_alone_caps_its_logits(self, model_type: str) -> None:
        assert max(differences(stirred(model_type, final_logit_softcapping=3.0))) < CLOSE

    def test_qwen2_and_qwen3_without_and_with_a_window(self) -> None:
        for model_type in ("qwen2", "qwen3"):
            for options in ({"use_sliding_window": False}, {"use_sliding_window": True, "max_window_layers": 2}):
                assert max(differences(stirred(model_type, sliding_window=3, **options))) < CLOSE

    @pytest.mark.parametrize("length", [LENGTH - 1, LENGTH])
    @pytest.mark.parametrize(
        ("model_type", "rotary"), [*(("llama", rotary) for rotary in ROTARIES), ("phi3", "longrope")]
    )
    def test_rotary_embeddings(self, model_type: str, rotary: str, length: int) -> None:
        changes: dict[str, Any] = {"rope_parameters": ROTARIES[rotary]}
        if rotary == "dynamic":  # grows with a prompt that is longer than what the model is said to take
            changes["max_position_embeddings"] = LENGTH - 1
        assert max(differences(stirred(model_type, **changes), length=length)) < CLOSE

    def test_a_prompt_does_not_see_the_others_of_its_batch(self, model_type: str) -> None:
        tokens, points = random_case()
        forward = direct(stirred(model_type), *BETWEEN)
        with torch.inference_mode():
            together, alone = forward.run(tokens, points).read[1:], forward.run(tokens[1:], points[1:]).read
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)

    def test_bf16_is_near(self, model_type: str) -> None:
        """A router may send a token to other experts for a rounding, so most points are asked and not all."""
        tokens, points = random_case(steps=20)
        exact, rounded = (direct(stirred(model_type), *BETWEEN, precision) for precision in PRECISIONS)
        with torch.inference_mode():
            expected, found = exact.run(tokens, points).read, rounded.run(tokens, points).read
        error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
        assert 0 < error.median() < 0.05

    def test_of_several_threads_at_once(self, model_type: str) -> None:
        check_threads(direct(stirred(model_type), *BETWEEN), *random_case(prompts=8))


class TestWhatMatters:
    """What is not heeded makes a difference that `CLOSE` does not let pass."""

    @pytest.mark.parametrize(
        ("model_type", "option", "value"),
        [
            ("cohere", "logit_scale", 1.0),
            ("cohere2", "logit_scale", 1.0),
            ("gemma2", "final_logit_softcapping", 1e9),
            ("granite", "embedding_multiplier", 1.0),
            ("granite", "logits_scaling", 1.0),
        ],
    )
    def test_an_option_of_the_model(self, model_type: str, option: str, value: float) -> None:
        model = stir(tiny_model(model_type).eval())
        tokens, points = random_case()
        _, logits = whole(model, *BETWEEN, tokens, points)
        setattr(model.config, option, value)
        forward = direct(model, *BETWEEN)
        with torch.inference_mode():
            found = forward.unembed(forward.run(tokens, points).final.flatten(0, 2)).view_as(logits)
        assert (found - logits).abs().max() > 0.01 * logits.abs().max()

    @pytest.mark.parametrize(
        ("model_type", "option"),
        [
            *((model_type, "window") for model_type in ("cohere2", "gemma2", "gemma3", "gpt_oss", "phi3")),
            ("gemma2", "cap"),
            ("gpt_oss", "sinks"),
        ],
    )
    def test_an_option_of_the_attention(self, model_type: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
        attend = attention.attend
        monkeypatch.setattr(attention, "attend", lambda *args, **options: attend(*args, **options | {option: None}))
        assert max(differences(stirred(model_type))) > 0.01

    @pytest.mark.parametrize("model_type", ["mistral", "qwen2"])
    def test_the_window_of_a_quick_block(self, model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
        attend = attention.attend
        monkeypatch.setattr(layers, "attend", lambda *args, **options: attend(*args, **options | {"window": None}))
        assert max(differences(stirred(model_type))) > 0.01


SEQUENTIAL = ("gpt2", "llama", "qwen3", "gemma2", "olmo2", "granite", "gpt_oss", "gemma3", "qwen3_moe")
PARALLEL = ("gpt_neox", "cohere", "cohere2")


class TestWithinBlocks:
    @pytest.mark.parametrize("write", ["attn.hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out"])
    @pytest.mark.parametrize("read", ["1.hook_mlp_out", "2.hook_resid_post"])
    @pytest.mark.parametrize("model_type", SEQUENTIAL)
    def test_written_in_the_middle(self, model_type: str, read: str, write: str) -> None:
        assert max(differences(stirred(model_type), f"1.{write}", read)) < CLOSE

    @pytest.mark.parametrize("read", ["attn.hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out"])
    @pytest.mark.parametrize("write", ["1.hook_resid_pre", "0.hook_resid_mid"])
    @pytest.mark.parametrize("model_type", SEQUENTIAL)
    def test_read_in_the_middle(self, model_type: str, write: str, read: str) -> None:
        assert max(differences(stirred(model_type), write, f"1.{read}")) < CLOSE

    @pytest.mark.parametrize(
        ("write", "read"),
        [
            ("1.attn.hook_z", "1.hook_attn_out"),
            ("1.attn.hook_z", "2.hook_mlp_out"),
            ("1.hook_attn_out", "2.attn.hook_z"),
            ("1.hook_mlp_out", "1.hook_resid_post"),
            ("0.hook_resid_pre", "1.hook_mlp_out"),
        ],
    )
    @pytest.mark.parametrize("model_type", PARALLEL)
    def test_parallel_blocks(self, model_type: str, write: str, read: str) -> None:
        assert max(differences(stirred(model_type), write, read)) < CLOSE

    def test_there_is_no_stream_in_the_middle_of_a_parallel_block(self) -> None:
        with pytest.raises(UsageError, match="there is none between them"):
            direct(stirred("gpt_neox"), "1.hook_resid_mid", "2.hook_resid_post")

    @pytest.mark.parametrize("place", ["attn.hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out"])
    @pytest.mark.parametrize("model_type", ["gpt2", "granite", "llama"])
    def test_what_is_read_where_it_is_written_is_what_was_written(self, model_type: str, place: str) -> None:
        tokens, points = random_case()
        with torch.inference_mode():
            found = direct(stirred(model_type), f"1.{place}", f"1.{place}").run(tokens, points)
        torch.testing.assert_close(found.read, points, rtol=1e-6, atol=0)

    @pytest.mark.parametrize("write", ["attn.hook_z", "hook_resid_mid"])
    @pytest.mark.parametrize("options", [{"length": 1}, {"length": 2}, {"steps": 60}])
    @pytest.mark.parametrize("model_type", ["gemma2", "gpt_oss", "llama", "mistral"])
    def test_short_prompts_and_many_points(self, model_type: str, options: dict[str, Any], write: str) -> None:
        assert max(differences(stirred(model_type), f"1.{write}", **options)) < CLOSE

    @pytest.mark.parametrize(("write", "read"), [("0.hook_resid_mid", "1.hook_mlp_out"), ("1.hook_attn_out",) * 2])
    @pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma2"])
    def test_of_several_threads_at_once(self, model_type: str, write: str, read: str) -> None:
        check_threads(direct(stirred(model_type), write, read), *random_case(prompts=8))

    def test_a_width_of_heads_that_is_not_the_streams(self) -> None:
        model = stirred("qwen3", head_dim=16)
        assert site_width(find_anatomy(model), parse_site("blocks.1.attn.hook_z", BLOCKS), 32) == 64
        assert max(differences(model, "1.attn.hook_z")) < CLOSE
        assert max(differences(model, "0.hook_resid_post", "1.attn.hook_z")) < CLOSE

    def test_bf16_is_near(self) -> None:
        tokens, points = random_case()
        exact, rounded = (
            direct(stirred("llama"), "1.hook_resid_mid", "2.hook_mlp_out", precision) for precision in PRECISIONS
        )
        with torch.inference_mode():
            expected, found = exact.run(tokens, points).read, rounded.run(tokens, points).read
        assert 0 < (found - expected).norm() / expected.norm() < 0.05


class TestBridge:
    def test_every_tensor_of_the_model_is_one_of_the_bridges(self, bridged: Subject) -> None:
        def tensors(model: torch.nn.Module) -> set[int]:
            return {tensor.data_ptr() for tensor in chain(model.parameters(), model.buffers())}

        assert bridged.model is not None
        assert tensors(bridged.model) <= tensors(bridged.bridge.original_model)

    def test_no_module_of_the_model_is_the_bridges(self, bridged: Subject) -> None:
        assert bridged.model is not None
        names = {type(module).__module__.partition(".")[0] for module in bridged.model.modules()}
        assert "transformer_lens" not in names

    def test_it_keeps_its_attention(self, bridged: Subject) -> None:
        tokens, _ = random_case()
        with torch.inference_mode():
            before = bridged.bridge(tokens)
            DirectForward(bridged)
            assert torch.equal(bridged.bridge(tokens), before)

    def test_it_gives_the_same(self, bridged: Subject) -> None:
        tokens, points = random_case(length=6)
        with torch.inference_mode():
            found, bridge = DirectForward(bridged).run(tokens, points), BridgeForward(bridged).run(tokens, points)
        assert found.read.shape == found.final.shape == points.shape
        torch.testing.assert_close(found.read, bridge.read, rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(found.final, bridge.final, rtol=1e-5, atol=2e-5)


class TestFits:
    def test_every_verified_architecture(self, model_type: str) -> None:
        assert fits_directly(AutoConfig.for_model(model_type, **tiny_config(model_type)))

    @pytest.mark.parametrize("model_type", sorted(set(MODEL_TYPES) - set(VERIFIED)))
    def test_no_other(self, model_type: str) -> None:
        assert not fits_directly(AutoConfig.for_model(model_type, **tiny_config(model_type)))

    @pytest.mark.parametrize(
        ("model_type", "changes"),
        [
            ("gemma3_text", {"use_bidirectional_attention": True}),
            ("gemma3", {"use_bidirectional_attention": True}),
            ("mistral", {"sliding_window": 0}),
        ],
    )
    def test_not_with_another_attention(self, model_type: str, changes: dict[str, Any]) -> None:
        assert not fits_directly(AutoConfig.for_model(model_type, **tiny_config(model_type, **changes)))

    @pytest.mark.parametrize(
        ("model_type", "option", "value"),
        [
            ("gemma2", "layer_types", ["full_attention", "chunked_attention", "full_attention"]),
            ("llama", "layer_types", ["full_attention", "sliding_attention", "full_attention"]),
            ("llama", "rope_parameters", {"rope_type": "proportional"}),
            ("gemma3_text", "rope_parameters", {"full_attention": {"rope_type": "default"}, "x": {"rope_type": "new"}}),
        ],
    )
    def test_not_with_what_it_does_not_know(self, model_type: str, option: str, value: Any) -> None:
        config = AutoConfig.for_model(model_type, **tiny_config(model_type))
        setattr(config, option, value)
        assert not fits_directly(config)


def test_folded_weights_run_in_a_centred_copy(tiny_files: Any) -> None:
    sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.2.hook_resid_post")
    folded = load_subject(ModelConfig(source=str(tiny_files / "model"), processing="folded"), sites)
    tokens, points = random_case(length=6)
    found, bridge = scan(DirectForward(folded), tokens, points), scan(BridgeForward(folded), tokens, points)
    torch.testing.assert_close(found.curve, bridge.curve, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.top_token, bridge.top_token)


@pytest.fixture(scope="module")
def smollm2() -> Subject:
    sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.29.hook_resid_post")
    return load_subject(ModelConfig(source="embedded:smollm2"), sites)


def smollm2_case(subject: Subject) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(0, int(subject.bridge.cfg.d_vocab), (1, 10), generator=rng)
    base = subject.last_activations(tokens)
    targets = torch.randn((1, 3, subject.d_model), generator=rng) * base.std()
    return tokens, relative(base[:, None].expand_as(targets), targets, 11)


@pytest.mark.model
@pytest.mark.parametrize(("write", "read"), [("1.hook_resid_pre", "29.hook_resid_post"), ("20.hook_resid_pre",) * 2])
def test_smollm2_equals_the_bridge(write: str, read: str, smollm2: Subject) -> None:
    """Within 1e-4 of each metric's largest value, which is rounding that thirty blocks have amplified."""
    subject = dataclasses.replace(
        smollm2, write=parse_site(f"blocks.{write}", 30), read=parse_site(f"blocks.{read}", 30)
    )
    tokens, points = smollm2_case(subject)
    direct = scan(DirectForward(subject), tokens, points)
    bridge = scan(BridgeForward(subject), tokens, points)
    scale = bridge.curve.amax(dim=(0, 1, 2))
    assert (scale > 0).all()
    assert ((direct.curve - bridge.curve).abs().amax(dim=(0, 1, 2)) <= 1e-4 * scale).all()
    assert torch.equal(direct.top_token, bridge.top_token)
