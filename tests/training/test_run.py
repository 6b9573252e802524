"""A whole recipe on the tiny model: everything that ships is made, fits together, and is not made twice."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import READ, WRITE, write_preset

from plateaulens.collect.context import open_context
from plateaulens.config import PromptConfig, SaeConfig
from plateaulens.presets import read_config
from plateaulens.subject.prompts import Prompts
from plateaulens.subject.sae import load_sae
from plateaulens.training import run
from plateaulens.training.run import train_recipe

pytestmark = pytest.mark.slow

RECIPE = f"""
held_out = 16
coverage = 1
[model]
source = "MODEL"
[sites]
write = "{WRITE}"
read = "{READ}"
[prompts]
seed = 1
sequences = 40
length = 12
dtype = "float32"
[text]
seed = 2
sequences = 64
dtype = "float32"
[sae]
architecture = "batchtopk"
latents = 64
k = 8
samples = 6400
batch_size = 128
learning_rate = 3e-3
[compared.plain]
architecture = "standard"
latents = 32
samples = 1280
batch_size = 128
"""


@pytest.fixture(scope="module")
def made(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, followed: `data` has what ships, `cache` what was kept on the way."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(RECIPE.replace("MODEL", str(tiny_files / "model")))
    train_recipe(folder / "tiny.toml", folder / "data", folder / "cache")
    return folder


def test_what_ships(made: Path) -> None:
    folder = made / "data" / "saes" / f"tiny-{WRITE}"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "cfg.json",
        "quality.json",
        "sae_weights.safetensors",
        "sparsity.safetensors",
    }
    with np.load(made / "data" / "prompts" / "tiny.npz") as file:
        assert file["tokens"].shape == (40, 12)
    card = (folder / "README.md").read_text()
    for words in ("batchtopk, 64 latents, k 8", "standard", "plain", "variance unexplained"):
        assert words in card
    assert str(made) not in card


def test_the_sae_belongs_to_the_model(made: Path) -> None:
    folder = made / "data" / "saes" / f"tiny-{WRITE}"
    loaded = load_sae(SaeConfig(source=str(folder)), width=32, write_site=WRITE, blocks=3)
    quality = json.loads((folder / "quality.json").read_text())["quality"]
    assert loaded.sae.cfg.d_sae == 64
    assert 0 < quality["fraction_of_variance_unexplained"] < 1
    assert 0 < quality["mean_l0"] < 32
    assert 0 < loaded.frequency.max() <= 1


def test_a_run_takes_what_was_made(made: Path, tiny_files: Path, tmp_path: Path) -> None:
    preset = write_preset(
        tmp_path / "tiny.toml",
        tiny_files,
        sae__source=str(made / "data" / "saes" / f"tiny-{WRITE}"),
        prompts__source=str(made / "data" / "prompts" / "tiny.npz"),
        targets__types=["real", "reconstruction"],
    )
    run_context = open_context(read_config(preset))
    assert np.isfinite(run_context.activations(slice(0, 2))["target"]).all()


def test_nothing_is_made_twice(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    before = {path: path.read_bytes() for path in (made / "data").rglob("*") if path.is_file()}
    monkeypatch.setattr("plateaulens.training.run.train", refuse)
    monkeypatch.setattr("plateaulens.training.text.sample_sequences", refuse)
    train_recipe(made / "tiny.toml", made / "data", made / "cache")
    assert {path: path.read_bytes() for path in (made / "data").rglob("*") if path.is_file()} == before


def test_without_coverage(made: Path, tmp_path: Path) -> None:
    text = (made / "tiny.toml").read_text().replace("coverage = 1\n", "").partition("[compared")[0]
    (tmp_path / "plain.toml").write_text(text.replace("samples = 6400", "samples = 256"))
    train_recipe(tmp_path / "plain.toml", tmp_path / "data", tmp_path / "cache")
    assert (tmp_path / "data" / "saes" / f"plain-{WRITE}" / "README.md").is_file()
    assert torch.get_default_dtype() == torch.float32


class TestCache:
    """What is kept is found again by exactly the settings that it came of."""

    def made_again(self, made: Path, tmp_path: Path, change: tuple[str, str]) -> list[str]:
        """What a changed recipe makes again when it finds all that the recipe of `made` has left."""
        shutil.copytree(made / "cache", tmp_path / "cache")
        text = (made / "tiny.toml").read_text()
        assert change[0] in text
        (tmp_path / "tiny.toml").write_text(text.replace(*change))
        before = {path.name for path in (tmp_path / "cache" / "tiny").iterdir()}
        train_recipe(tmp_path / "tiny.toml", tmp_path / "data", tmp_path / "cache")
        return sorted(
            path.name.split("-")[0] for path in (tmp_path / "cache" / "tiny").iterdir() if path.name not in before
        )

    @pytest.mark.parametrize(
        ("change", "again"),
        [
            (("seed = 2", "seed = 3"), ["plain", "shipped", "text"]),
            (("coverage = 1", "coverage = 2"), ["plain", "shipped"]),
            (("held_out = 16", "held_out = 20"), ["plain", "shipped"]),
            ((f'write = "{WRITE}"', 'write = "blocks.2.hook_resid_pre"'), ["plain", "shipped"]),
            (("latents = 32", "latents = 36"), ["plain"]),
        ],
        ids=["text", "coverage", "held_out", "site", "sae"],
    )
    def test_a_change_makes_again_what_depends_on_it(
        self,
        made: Path,
        tmp_path: Path,
        change: tuple[str, str],
        again: list[str],
    ) -> None:
        assert self.made_again(made, tmp_path, change) == again


def test_prompts_that_ship_are_taken_and_not_made(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = torch.randint(0, 101, (40, 11), generator=torch.Generator().manual_seed(1))

    def shipped(config: PromptConfig, *, vocabulary: int) -> Prompts:
        assert (config.source, config.length, vocabulary) == ("there", 11, 101)
        return Prompts(tokens, {})

    monkeypatch.setattr(run, "load_prompts", shipped)
    before, _, rest = RECIPE.partition("[prompts]")
    text = f'prompts = "there"\n{before}[text]{rest.partition("[text]")[2]}'
    (tmp_path / "tiny.toml").write_text(text.replace("MODEL", str(tiny_files / "model")))
    train_recipe(tmp_path / "tiny.toml", tmp_path / "data", tmp_path / "cache")
    assert not (tmp_path / "data" / "prompts").exists()
    assert "`data/prompts/there.npz`" in (tmp_path / "data" / "saes" / f"tiny-{WRITE}" / "README.md").read_text()


def test_prompts_and_nothing_else(tiny_files: Path, tmp_path: Path) -> None:
    sections = RECIPE.partition("[prompts]")[2].partition("[text]")[0]
    (tmp_path / "few.toml").write_text(f'[model]\nsource = "{tiny_files / "model"}"\n[prompts]{sections}')
    train_recipe(tmp_path / "few.toml", tmp_path / "data", tmp_path / "cache")
    assert [path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*.*")] == [
        "prompts/few.npz"
    ]
    with np.load(tmp_path / "data" / "prompts" / "few.npz") as file:
        assert file["tokens"].shape == (40, 12)
