"""`collect` on every kind of model and site that SAELens' registry has an autoencoder for, held against plain code.

Each pair is one tiny checkpoint on disk, one tiny SAE and the real command. What the run stores is computed again here
from the same files: by transformers with hooks of these tests, by SAELens, and by the textbook formulas.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr
from huggingface_hub import constants
from sae_lens import SAE
from sae_lens.loading import pretrained_sae_loaders
from tests.architectures import VOCABULARY, tiny_config
from tests.conftest import tiny_tokenizer
from tests.subject.tokenizers import make_tokenizer
from tests.tiny import write_preset
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from plateaulens.cli import main
from plateaulens.collect.reach import model_type_of
from plateaulens.store.reading import open_run
from plateaulens.subject import hub
from plateaulens.subject.registry import walk_registry
from plateaulens.subject.weights import loading

TYPES = ["real", "random", "reconstruction", "bag", "structured"]
SAMPLES, STEPS, LENGTH, LATENTS = 2, 5, 8, 128
READ_BLOCK = 2
SCALE = 0.37
PICTURES = {"gemma3", "qwen3_5", "qwen3_5_moe"}
"""Whose checkpoints hold a vision tower, too."""
CLOSE = 2e-5
"""Of the largest value: float32 rounds by a quarter of it at most here."""


class Kind(NamedTuple):
    """An SAE as the releases for a pair have it."""

    architecture: str
    options: dict[str, Any]


RELU = Kind("standard", {})
JUMP = Kind("jumprelu", {"apply_b_dec_to_input": False})
BATCH_TOPK = Kind("jumprelu", {"apply_b_dec_to_input": True})
TOPK = Kind("topk", {"k": 9, "apply_b_dec_to_input": False})
OPENAI = Kind("topk", {"k": 9, "normalize_activations": "layer_norm"})
LLAMA_SCOPE = Kind("jumprelu", {"normalize_activations": "expected_average_only_in"})


class Place(NamedTuple):
    """A site in transformers' own words."""

    module: str
    """Within its block; empty for the block itself."""
    side: Literal["in", "out"]
    """Whether it is what the module reads or what it returns."""
    kind: Kind


PAIRS: dict[tuple[str, str], Place] = {
    ("gemma", "hook_resid_post"): Place("", "out", RELU),
    ("gemma2", "attn.hook_z"): Place("self_attn.o_proj", "in", JUMP),
    ("gemma2", "hook_embed"): Place("", "in", JUMP),
    ("gemma2", "hook_mlp_out"): Place("post_feedforward_layernorm", "out", JUMP),
    ("gemma2", "hook_resid_post"): Place("", "out", JUMP),
    ("gemma3", "attn.hook_z"): Place("self_attn.o_proj", "in", JUMP),
    ("gemma3", "hook_mlp_out"): Place("post_feedforward_layernorm", "out", JUMP),
    ("gemma3", "hook_resid_post"): Place("", "out", JUMP),
    ("gemma3_text", "attn.hook_z"): Place("self_attn.o_proj", "in", JUMP),
    ("gemma3_text", "hook_mlp_out"): Place("post_feedforward_layernorm", "out", JUMP),
    ("gemma3_text", "hook_resid_post"): Place("", "out", JUMP),
    ("gpt2", "attn.hook_z"): Place("attn.c_proj", "in", RELU),
    ("gpt2", "hook_attn_out"): Place("attn", "out", OPENAI),
    ("gpt2", "hook_mlp_out"): Place("mlp", "out", OPENAI),
    ("gpt2", "hook_resid_mid"): Place("ln_2", "in", OPENAI),
    ("gpt2", "hook_resid_post"): Place("", "out", RELU),
    ("gpt2", "hook_resid_pre"): Place("", "in", RELU),
    ("gpt_neox", "hook_attn_out"): Place("attention", "out", RELU),
    ("gpt_neox", "hook_mlp_out"): Place("mlp", "out", RELU),
    ("gpt_neox", "hook_resid_post"): Place("", "out", BATCH_TOPK),
    ("gpt_neox", "hook_resid_pre"): Place("", "in", RELU),
    ("gpt_oss", "hook_resid_post"): Place("", "out", BATCH_TOPK),
    ("llama", "hook_attn_out"): Place("self_attn", "out", LLAMA_SCOPE),
    ("llama", "hook_mlp_out"): Place("mlp", "out", LLAMA_SCOPE),
    ("llama", "hook_resid_post"): Place("", "out", LLAMA_SCOPE),
    ("mistral", "hook_resid_pre"): Place("", "in", RELU),
    ("qwen2", "hook_resid_post"): Place("", "out", BATCH_TOPK),
    ("qwen3", "hook_resid_post"): Place("", "out", TOPK),
    ("qwen3_5", "hook_resid_post"): Place("", "out", TOPK),
    ("qwen3_5_moe", "hook_resid_post"): Place("", "out", TOPK),
    ("qwen3_moe", "hook_resid_post"): Place("", "out", TOPK),
}
"""By `model_type` and end of the hook."""
EMBEDDING = "hook_embed"
"""What comes into block 0; only Gemma Scope calls it so, in a release's own layout."""
EMBEDDING_SAE = "gemma-scope-2b-pt-res", "google/gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6"


class Passed(NamedTuple):
    """One pass of some prompts."""

    site: Tensor
    """What passes the site, for every token."""
    read: Tensor
    """The stream after the last block, at the end of each prompt."""
    logits: Tensor


@contextmanager
def hooked(module: nn.Module, side: str, act: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """What a module reads or returns goes through a function."""

    def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
        if args:
            return (act(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": act(kwargs["hidden_states"])}

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        return (act(output[0]), *output[1:]) if isinstance(output, tuple) else act(output)

    if side == "in":
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def layer(model: Any, block: int) -> nn.Module:
    """A block of the language model."""
    folders = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers", "gemma3": "model.language_model.layers"}
    found: nn.Module = model.get_submodule(f"{folders.get(model.config.model_type, 'model.layers')}.{block}")
    return found


@torch.inference_mode()
def passes(
    model: Any, tokens: Tensor, block: int, place: Place, points: Tensor | None = None, position: int = -1
) -> Passed:
    """Whole prompts through the published model, one token's activation at the site replaced in each, perhaps."""
    kept: dict[str, Tensor] = {}

    def at_site(passing: Tensor) -> Tensor:
        kept["site"] = passing
        # the stream between attention and MLP is nobody's output: it is reached through what attention adds
        return passing if points is None or place.module == "ln_2" else changed(passing, points)

    def changed(passing: Tensor, replacement: Tensor) -> Tensor:
        passing = passing.clone()
        passing[:, position] = replacement
        return passing

    def before_block(stream: Tensor) -> Tensor:
        kept["before"] = stream
        return stream

    def added(output: Tensor) -> Tensor:
        return output if points is None else changed(output, points - kept["before"][:, position])

    def at_end(stream: Tensor) -> Tensor:
        kept["read"] = stream[:, -1]
        return stream

    written = layer(model, block)
    with ExitStack() as stack:
        if place.module == "ln_2":
            stack.enter_context(hooked(written, "in", before_block))
            stack.enter_context(hooked(written.get_submodule("attn"), "out", added))
        stack.enter_context(hooked(written.get_submodule(place.module), place.side, at_site))
        stack.enter_context(hooked(layer(model, READ_BLOCK), "out", at_end))
        logits = model(input_ids=tokens, use_cache=False).logits[:, -1]
    return Passed(kept["site"], kept["read"], logits)


def textbook(passed: Passed) -> dict[str, Tensor]:
    """L2, KL and Jensen-Shannon distance from the first row, and the top token, of the points of one path."""
    q = passed.logits.double().softmax(-1)
    p, m = q[0], (q[0] + q) / 2

    def kl(a: Tensor, b: Tensor) -> Tensor:
        return (a * (a / b).log()).sum(-1)

    return {
        "l2": (passed.read - passed.read[0]).double().norm(dim=-1),
        "kl": kl(p, q),
        "js": ((kl(p, m) + kl(q, m)) / 2 / np.log(2)).clamp(min=0).sqrt(),
        "top_token": passed.logits.argmax(-1),
    }


def make_sae(kind: Kind, hook: str, real: Tensor, *, heads: int | None) -> Any:
    """An SAE with random unit directions, at least five of which are active on every real activation (token, width)."""
    made = SAE.from_dict(
        {
            "architecture": kind.architecture,
            "d_in": real.shape[1],
            "d_sae": LATENTS,
            "reshape_activations": "none" if heads is None else "hook_z",
            "metadata": {"hook_name": hook, "model_name": "tiny"},
            **kind.options,
        }
    )
    rng = torch.Generator().manual_seed(3)
    directions = nn.functional.normalize(torch.randn((LATENTS, real.shape[1]), generator=rng), dim=1)
    with torch.no_grad():
        made.W_dec.copy_(directions)
        made.W_enc.copy_(directions.T)
        made.b_dec.copy_(0.01 * real.std() * torch.randn(real.shape[1], generator=rng))
        if kind.architecture != "topk":
            centre = made.b_dec if made.cfg.apply_b_dec_to_input else 0
            given = real * (SCALE if kind is LLAMA_SCOPE else 1) - centre
            bound = 0.99 * (given @ directions.T).topk(5).values.min()
            assert bound > 0
            if kind.architecture == "standard":
                made.b_enc.fill_(-bound)
            else:
                made.threshold.fill_(bound)
    return made


def reconstruction(sae: Any, rows: Tensor, *, heads: int | None, scale: float) -> Tensor:
    """By SAELens alone, on the scale of the SAE's training."""
    with torch.no_grad():
        given = scale * (rows if heads is None else rows.unflatten(-1, (heads, -1)))
        found: Tensor = sae.decode(sae.encode(given)) / scale
    return found.reshape(rows.shape)


def write_checkpoint(folder: Path, model_type: str, tokenizer: Any = None, **changes: Any) -> None:
    """A randomly weighted model as a repository holds it, with its tokenizer."""
    make: Any = AutoModelForImageTextToText if model_type in PICTURES else AutoModelForCausalLM
    with torch.random.fork_rng(), loading(model_type):
        torch.manual_seed(0)
        make.from_config(AutoConfig.for_model(model_type, **tiny_config(model_type, **changes))).save_pretrained(folder)
    (tiny_tokenizer() if tokenizer is None else tokenizer).save_pretrained(folder)


def read_checkpoint(folder: Path) -> Any:
    with loading(str(folder)):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """TransformerLens runs pip for what it lacks to read pictures, and swallows what comes of it."""
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "check_call", lambda *args, **_: started.append(args))
    yield
    assert not started


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """By `model_type`, the folder of a checkpoint, and transformers' model of it."""
    folder = tmp_path_factory.mktemp("checkpoints")
    known: dict[str, Any] = {}

    def make(model_type: str) -> tuple[Path, Any]:
        if model_type not in known:
            write_checkpoint(folder / model_type, model_type)
            known[model_type] = read_checkpoint(folder / model_type)
        return folder / model_type, known[model_type]

    return make


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor]:
    """A file of token ids, longer than the windows of the tiny models, without those that stand for pictures."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.npz"
    tokens = np.random.default_rng(5).integers(1, VOCABULARY - 4, (40, LENGTH))
    np.savez(path, tokens=tokens)
    return path, torch.from_numpy(tokens)


def collected(folder: Path, model: Path, site: str, **changes: Any) -> xr.DataTree:
    """What the command stores for a preset."""
    keys = {
        "experiments": ["sensitivity"],
        "model__source": str(model),
        "sites__write": site,
        "sites__read": f"blocks.{READ_BLOCK}.hook_resid_post",
        "prompts__length": LENGTH,
        "targets__types": TYPES,
        "sensitivity__samples": SAMPLES,
        "sensitivity__steps": STEPS,
        **changes,
    }
    preset = write_preset(folder / "preset.toml", folder, **keys)
    assert main(["collect", "--preset", str(preset), "--out", str(folder / "run.zarr")]) == 0
    return open_run(folder / "run.zarr").load()


def close(found: Any, expected: Tensor, tolerance: float = CLOSE) -> None:
    """Equal but for rounding, as a share of the largest value."""
    atol = tolerance * float(expected.abs().max())
    np.testing.assert_allclose(np.asarray(found, dtype=float), expected.double().numpy(), rtol=0, atol=atol)


def check_curves(run: xr.DataTree, model: Any, block: int, place: Place, position: int = -1) -> None:
    """Bases, curves and top tokens of a run are those of the published model with one hook."""
    tokens = torch.from_numpy(run["prompts"].token.values).long()
    base = torch.from_numpy(run["activations"].base.values)
    target = torch.from_numpy(run["activations"].target.values)
    plain = passes(model, tokens, block, place).site[:, position]
    close(base, plain)
    shares = torch.linspace(0, 1, STEPS)[:, None]
    for index, kind in enumerate(run["activations"].activation_type.values.tolist()):
        for sample, prompt in enumerate(tokens):
            points = base[sample] + shares * (target[index, sample] - base[sample])
            expected = textbook(passes(model, prompt.expand(STEPS, -1), block, place, points, position))
            stored = run["sensitivity"].to_dataset().sel(activation_type=kind).isel(sample=sample)
            assert stored.top_token.values.tolist() == expected.pop("top_token").tolist()
            for metric, curve in expected.items():
                assert curve[-1] > 0
                close(stored.curve.sel(metric=metric), curve)


def heads_of(model: Any, end: str) -> int | None:
    config = model.config.get_text_config()
    return int(config.num_attention_heads) if end == "attn.hook_z" else None


@contextmanager
def gemma_scope_in_the_cache(cache: Path, sae: Any) -> Iterator[str]:
    """An SAE as Gemma Scope's repositories hold it, but for its extents, which SAELens takes from the names.

    It reads embeddings before the model multiplies them by the root of their width, which SAELens makes up for.
    """
    release, repository, folder = EMBEDDING_SAE
    place, commit = cache / f"models--{repository.replace('/', '--')}", "c" * 40
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    files = place / "snapshots" / commit / folder
    files.mkdir(parents=True)
    tensors = {name.replace("W_", "w_"): value.detach().numpy() for name, value in sae.state_dict().items()}
    root = sae.cfg.d_in**0.5
    np.savez(files / "params.npz", **{**tensors, "w_enc": tensors["w_enc"] * root, "w_dec": tensors["w_dec"] / root})
    real = pretrained_sae_loaders.get_gemma_2_config_from_hf

    def smaller(*args: Any, **kwargs: Any) -> dict[str, Any]:
        settings: dict[str, Any] = real(*args, **kwargs)
        return settings | {"d_in": sae.cfg.d_in, "d_sae": sae.cfg.d_sae}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(pretrained_sae_loaders, "get_gemma_2_config_from_hf", smaller)
        hub.find.cache_clear()
        try:
            yield f"{release}:{folder}"
        finally:
            hub.find.cache_clear()


@pytest.mark.slow
def test_these_are_all_pairs_of_the_registry() -> None:
    found: dict[tuple[str, str], str] = {}
    for entry in walk_registry():
        if entry.is_autoencoder:
            pair = (model_type_of(entry.model) or entry.model, re.sub(r"^blocks\.\d+\.", "", entry.hook))
            found.setdefault(pair, f"{entry.release}:{entry.id}")
    assert {pair: name for pair, name in found.items() if pair not in PAIRS} == {}
    assert set(PAIRS) - set(found) == set()


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_pair_of_the_registry(
    pair: tuple[str, str],
    checkpoint: Callable[[str], tuple[Path, Any]],
    prompts: tuple[Path, Tensor],
    tmp_path: Path,
) -> None:
    (model_type, end), place = pair, PAIRS[pair]
    folder, model = checkpoint(model_type)
    path, tokens = prompts
    block = 0 if end == EMBEDDING else 1
    hook = f"blocks.{block}.{'hook_resid_pre' if end == EMBEDDING else end}"
    real = passes(model, tokens, block, place).site[:, -1]
    heads, scale = heads_of(model, end), SCALE if place.kind is LLAMA_SCOPE else 1.0
    made = make_sae(place.kind, hook, real, heads=heads)
    with ExitStack() as stack:
        if end == EMBEDDING:
            source = stack.enter_context(gemma_scope_in_the_cache(tmp_path / "hub", made))
            own: Any = SAE.from_pretrained(*EMBEDDING_SAE[::2])
        else:
            source = str(tmp_path / "sae")
            made.save_model(source)
            if scale != 1:
                (tmp_path / "sae" / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale}))
            own = SAE.load_from_disk(source)
        run = collected(tmp_path, folder, hook, prompts__source=str(path), sae__source=source)
    assert set(run["prompts"].token.values.flatten().tolist()) <= set(tokens.flatten().tolist())
    check_curves(run, model, block, place)

    activations = run["activations"].to_dataset()
    assert (activations.active_latents > 0).all()
    rebuilt = activations.sel(activation_type="reconstruction")
    # of the real target of the same sample
    row = torch.from_numpy(rebuilt.source_row.values)
    close(rebuilt.target, reconstruction(own, real[row], heads=heads, scale=scale))
    close(activations.target.sel(activation_type="real"), real[row])


class TestPrompts:
    @pytest.mark.slow
    @pytest.mark.parametrize("position", [3, -3])
    def test_a_token_in_the_middle(
        self,
        position: int,
        checkpoint: Callable[[str], tuple[Path, Any]],
        prompts: tuple[Path, Tensor],
        tmp_path: Path,
    ) -> None:
        folder, model = checkpoint("llama")
        run = collected(
            tmp_path,
            folder,
            "blocks.1.hook_resid_pre",
            prompts__source=str(prompts[0]),
            prompts__position=position,
            sae__source=None,
            targets__types=["real", "random"],
        )
        check_curves(run, model, 1, Place("", "in", RELU), position)

    @pytest.mark.slow
    def test_texts_with_the_models_tokenizer(self, tmp_path: Path) -> None:
        """One that puts BOS in front by itself, as Gemma's."""
        tokenizer = make_tokenizer(adds=True)
        write_checkpoint(tmp_path / "model", "gemma3_text", tokenizer, vocab_size=len(tokenizer))
        model = read_checkpoint(tmp_path / "model")
        texts = [f"{number} in the beginning there was the word" for number in range(10, 30)]
        (tmp_path / "texts.txt").write_text("\n".join(texts))
        run = collected(
            tmp_path,
            tmp_path / "model",
            "blocks.1.hook_resid_post",
            prompts__source=str(tmp_path / "texts.txt"),
            sae__source=None,
            targets__types=["real", "random"],
        )
        expected = [tokenizer(text)["input_ids"][:LENGTH] for text in texts]
        for row in run["prompts"].token.values.tolist():
            assert row in expected
            assert row.count(tokenizer.bos_token_id) == 1
            assert row[0] == tokenizer.bos_token_id
        assert json.loads(run.attrs["identity"])["prompts"]["bos"] == "by the tokenizer"
        check_curves(run, model, 1, Place("", "out", RELU))


@pytest.mark.slow
def test_bfloat16_is_said_and_moves_the_curves_a_little(
    checkpoint: Callable[[str], tuple[Path, Any]], prompts: tuple[Path, Tensor], tmp_path: Path
) -> None:
    folder, _ = checkpoint("llama")
    runs = {}
    for dtype in ("float32", "bfloat16"):
        (tmp_path / dtype).mkdir()
        runs[dtype] = collected(
            tmp_path / dtype,
            folder,
            "blocks.1.hook_resid_post",
            model__dtype=dtype,
            prompts__source=str(prompts[0]),
            sae__source=None,
            targets__types=["real", "random"],
        )
        assert json.loads(runs[dtype].attrs["identity"])["dtype"] == dtype
    wide, narrow = (runs[dtype]["sensitivity"].curve for dtype in runs)
    for metric in ("l2", "kl", "js"):
        one, other = wide.sel(metric=metric), narrow.sel(metric=metric)
        moved = float(np.abs(one - other).max() / np.abs(one).max())
        assert 1e-5 < moved < 0.05, metric
