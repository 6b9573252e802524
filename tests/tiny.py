"""Everything that a run needs, small enough to be written and measured in a second: model, SAE, prompts, preset."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.conftest import VOCABULARY, tiny_model, tiny_tokenizer

D_MODEL, LATENTS, PROMPTS = 32, 128, 40
WRITE, READ = "blocks.1.hook_resid_pre", "blocks.2.hook_resid_post"
TYPES = (
    "real",
    "real_control",
    "random",
    "isotropic",
    "reconstruction",
    "bag",
    "baseline",
    "structured",
    "single_latent",
)


def write_model(folder: Path) -> None:
    """A GPT-2 as a hub repository holds it, whose tokenizer has a BOS token that it does not add by itself."""
    tiny_model("gpt2").save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "w0"})
    tokenizer.save_pretrained(folder)


def make_sae(architecture: str = "standard", *, d_in: int = D_MODEL, hook: str | None = WRITE, **config: Any) -> Any:
    """An SAE with random unit directions of which an activation of the tiny model uses some ten."""
    import torch
    from sae_lens import SAE

    made = SAE.from_dict(
        {
            "architecture": architecture,
            "d_in": d_in,
            "d_sae": LATENTS,
            "metadata": {"hook_name": hook, "model_name": "tiny"},
            **config,
        }
    )
    rng = torch.Generator().manual_seed(3)
    directions = torch.nn.functional.normalize(torch.randn((LATENTS, d_in), generator=rng), dim=1)
    with torch.no_grad():
        made.W_dec.copy_(directions)
        made.W_enc.copy_(directions.T)
        made.b_dec.copy_(0.1 * torch.randn(d_in, generator=rng))
        if architecture == "standard":
            made.b_enc.fill_(-3.0)
        else:
            made.threshold.fill_(3.0)
    return made


def write_sae(folder: Path, sae: Any | None = None) -> None:
    """An SAE in SAELens' own format; every sixteenth latent has never fired."""
    import torch
    from safetensors.torch import save_file

    (make_sae() if sae is None else sae).save_model(folder)
    frequency = torch.linspace(0.01, 0.5, LATENTS)
    frequency[::16] = 0
    save_file({"sparsity": torch.log10(frequency + 1e-10)}, folder / "sparsity.safetensors")


def write_prompts(path: Path) -> None:
    """Forty prompts of eight tokens, the first one the same in all."""
    tokens = np.random.default_rng(5).integers(1, VOCABULARY, (PROMPTS, 8))
    tokens[:, 0] = 0
    np.savez(path, tokens=tokens)


def write_preset(path: Path, files: Path, **changes: Any) -> Path:
    """A preset over `files`. A change is named with `__` between section and key; None leaves the key out."""
    keys = {
        "seed": 7,
        "model__source": str(files / "model"),
        "sites__write": WRITE,
        "sites__read": READ,
        "sae__source": str(files / "sae"),
        "prompts__source": str(files / "prompts.npz"),
        "prompts__length": 6,
        "targets__types": TYPES,
        "sensitivity__samples": 6,
        "sensitivity__steps": 11,
        "sensitivity_absolute__samples": 4,
        "sensitivity_absolute__steps": 7,
        "sensitivity_absolute__step_length": 1.5,
        "plateau__samples": 5,
        "plateau__steps": 7,
        "plateau__step_length": 1.5,
        "engine__samples_per_chunk": 2,
        "analysis__resamples": 150,
        **changes,
    }
    return write_toml(path, keys)


def write_toml(path: Path, keys: Mapping[str, Any]) -> Path:
    """A TOML file of these keys, `__` between section and key, without those that are None."""
    lines = [f"{key.replace('__', '.')} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None]
    path.write_text("".join(lines))
    return path


def measured(run: Path) -> dict[str, bytes]:
    """Every file of a run by its relative path, but for the provenance."""
    files = {file.relative_to(run).as_posix(): file.read_bytes() for file in run.rglob("*") if file.is_file()}
    return {name: content for name, content in files.items() if not name.startswith("provenance/")}
