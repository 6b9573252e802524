"""The presets of other models and sites than the paper's, end to end and offline, on tiny stand-ins for their hubs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import constants
from sae_lens.loading import pretrained_sae_loaders
from tests.hubs import (
    ATTENTION_SAES,
    ATTENTION_SITE,
    COMMIT,
    DATA,
    GEMMA,
    GEMMA_SCOPE,
    LATENTS,
    MLP_SAES,
    MLP_SITE,
    MODEL,
    TEXTS,
    WIDTH,
    Repositories,
    sae_weights,
    serve,
    write_cache,
    write_gemma_repositories,
    write_other_sites,
)
from tests.processes import run_code
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from plateaulens.cli import main
from plateaulens.presets import read_config
from plateaulens.resources import find
from plateaulens.store.reading import open_run
from plateaulens.subject import hub
from plateaulens.subject.weights import loading

RUN = "run.zarr"
SMALL_SCOPE = f"""
from sae_lens.loading import pretrained_sae_loaders as loaders
whole = loaders.get_gemma_2_config_from_hf
loaders.get_gemma_2_config_from_hf = lambda *a, **k: whole(*a, **k) | {{"d_in": {WIDTH}, "d_sae": {LATENTS}}}
"""
"""SAELens takes the extents of Gemma Scope's SAEs from their names, and these are smaller."""


class Preset(NamedTuple):
    """What a preset should come to."""

    model: str
    sae: str
    prompts: str
    write: Callable[[Path], Repositories]
    site: str
    processing: str
    architecture: str
    frequency: str


PRESETS = {
    "gemma2-2b": Preset(
        GEMMA,
        GEMMA_SCOPE,
        TEXTS,
        write_gemma_repositories,
        "blocks.12.hook_resid_post",
        "none",
        "jumprelu",
        "measured",
    ),
    "gpt2-mlp": Preset(MODEL, MLP_SAES, DATA, write_other_sites, MLP_SITE, "folded", "standard", "shipped"),
    "gpt2-attn": Preset(
        MODEL, ATTENTION_SAES, DATA, write_other_sites, ATTENTION_SITE, "folded", "standard", "measured"
    ),
}


class Case(NamedTuple):
    """A run of a preset from what the hub's cache holds."""

    name: str
    preset: Preset
    repositories: Repositories
    file: Path
    """The preset that ships, with fewer steps and sequences."""
    run: Any


@pytest.fixture(scope="module", params=PRESETS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, preset = request.param, PRESETS[request.param]
    folder = tmp_path_factory.mktemp(name)
    repositories = preset.write(folder / "repositories")
    write_cache(folder / "hub", repositories)
    text = find("presets", name).read_text().replace("sequences = 8192", "sequences = 50")
    file = folder / f"{name}.toml"
    file.write_text(text.replace("[sensitivity]\n", "[sensitivity]\nsteps = 5\n"))
    whole = pretrained_sae_loaders.get_gemma_2_config_from_hf

    def smaller(*args: Any, **kwargs: Any) -> dict[str, Any]:
        settings: dict[str, Any] = whole(*args, **kwargs)
        return settings | {"d_in": WIDTH, "d_sae": LATENTS}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(pretrained_sae_loaders, "get_gemma_2_config_from_hf", smaller)
        hub.find.cache_clear()
        assert main(["collect", "--preset", str(file), "--out", str(folder / RUN), "--samples", "2"]) == 0
    hub.find.cache_clear()
    return Case(name, preset, repositories, file, open_run(folder / RUN).load())


def passing(case: Case, tokens: Tensor) -> Tensor:
    """What passes the site at the end of each prompt: transformers' own, with the processing done by hand."""
    folder = case.repositories[case.preset.model]
    with loading(str(folder)):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    kept: list[Tensor] = []
    block = model.get_submodule("model.layers.12" if case.preset.model == GEMMA else "transformer.h.8")
    if case.name == "gpt2-attn":
        block.attn.c_proj.register_forward_pre_hook(lambda module, args: kept.append(args[0]))  # noqa: ARG005
    else:
        module = block.mlp if case.name == "gpt2-mlp" else block
        module.register_forward_hook(
            lambda module, args, out: kept.append(out[0] if isinstance(out, tuple) else out)  # noqa: ARG005
        )
    with torch.inference_mode():
        model(input_ids=tokens)
        found = kept[0][:, -1]
        if case.name == "gpt2-mlp":  # centred
            found = found - found.mean(dim=-1, keepdim=True)
        if case.name == "gpt2-attn":  # without what the values of all tokens have in common
            values = slice(2 * WIDTH, None)
            found = found - block.attn.c_attn.bias[values] - block.ln_1.bias @ block.attn.c_attn.weight[:, values]
    return found


class TestFromTheCache:
    def test_every_curve_is_there(self, case: Case) -> None:
        curve = case.run["sensitivity"].curve.to_numpy()
        assert curve.shape == (9, 2, 5, 3)
        assert np.isfinite(curve).all()
        assert (curve[:, :, 1:, 0] > 0).all()
        assert [name for name in case.run.children if name.startswith(("sens", "plat"))] == ["sensitivity"]

    def test_all_three_are_identified_by_their_commits(self, case: Case) -> None:
        identity, preset = json.loads(case.run.attrs["identity"]), case.preset
        assert identity["model"] == {"hub_id": preset.model, "commit": COMMIT[preset.model]}
        assert (identity["processing"], identity["write_site"]) == (preset.processing, preset.site)
        assert (
            identity["sae"].items()
            >= {
                "hub_id": preset.sae,
                "commit": COMMIT[preset.sae],
                "architecture": preset.architecture,
                "hook_name": preset.site,
                "frequency": preset.frequency,
            }.items()
        )
        normalized = "folded (expected_average_only_in)" if case.name == "gpt2-mlp" else None
        assert identity["sae"].get("normalization") == normalized
        assert (identity["prompts"]["hub_id"], identity["prompts"]["commit"]) == (
            preset.prompts,
            COMMIT[preset.prompts],
        )

    def test_bases_are_what_passes_the_site(self, case: Case) -> None:
        tokens = torch.from_numpy(case.run["prompts"].token.values).long()
        base, expected = case.run["activations"].base.values, passing(case, tokens)
        atol = 1e-4 * float(expected.abs().max())
        np.testing.assert_allclose(base, expected.numpy(), rtol=0, atol=atol)

    def test_reconstructions_are_the_releases(self, case: Case) -> None:
        """By the formulas of the releases, from the weights as they lie on the hub."""
        activations = case.run["activations"].to_dataset()
        real = torch.from_numpy(activations.target.sel(activation_type="real").values)
        weights = sae_weights()
        if case.name == "gemma2-2b":
            before = real @ weights["W_enc"]
            code, scale = before * (before > 2), 1.0
        else:
            scale = 0.9123762783479742 if case.name == "gpt2-mlp" else 1.0
            code = ((scale * real - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]).relu()
        expected = (code @ weights["W_dec"] + weights["b_dec"]) / scale
        found = activations.target.sel(activation_type="reconstruction").values
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4 * float(expected.abs().max()))

    def test_prompts_are_the_data_sets(self, case: Case) -> None:
        (file, *_) = sorted((case.repositories[case.preset.prompts] / "data").glob("train-*.parquet"))
        table = pq.read_table(file)
        if case.preset.prompts == TEXTS:
            tokenizer = AutoTokenizer.from_pretrained(case.repositories[GEMMA])
            rows = [tokenizer(text)["input_ids"][:10] for text in table["text"].to_pylist()]
            assert {row[0] for row in rows} == {tokenizer.bos_token_id}
        else:
            files = sorted((case.repositories[DATA] / "data").glob("train-*.parquet"))
            rows = [row[:10] for each in files for row in pq.read_table(each)["input_ids"].to_pylist()]
        for prompt in case.run["prompts"].token.values.tolist():
            assert prompt in rows


@pytest.mark.slow
def test_what_is_needed_is_downloaded(case: Case, tmp_path: Path) -> None:
    """In a process of its own, which takes the hub's address from the environment as a user's would."""
    with serve(case.repositories) as (address, asked):
        done = run_code(
            f"import sys\n{SMALL_SCOPE if case.name == 'gemma2-2b' else ''}\n"
            "from plateaulens.cli import main; sys.exit(main(sys.argv[1:]))",
            *("collect", "--preset", str(case.file), "--out", RUN, "--samples", "2"),
            folder=tmp_path,
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT=address,
            HF_HOME=str(tmp_path),
        )
    assert done.returncode == 0, done.stderr
    again = open_run(tmp_path / RUN).load()
    assert np.array_equal(again["sensitivity"].curve, case.run["sensitivity"].curve)
    got = [line for line in asked if line.startswith("GET") and "/resolve/" in line]
    for name in (case.preset.model, case.preset.sae, case.preset.prompts):
        assert any(f"{name}/resolve/{COMMIT[name]}/" in line for line in got)


@pytest.mark.parametrize("name", PRESETS)
def test_relative_steps_only_as_no_step_length_has_been_measured(name: str) -> None:
    config, preset = read_config(find("presets", name)), PRESETS[name]
    assert config.experiments == ("sensitivity",)
    assert config.sae is not None
    assert (config.model.source, config.prompts.source, config.prompts.length) == (preset.model, preset.prompts, 10)
    assert (config.sites.write, config.model.processing) == (preset.site, preset.processing)
