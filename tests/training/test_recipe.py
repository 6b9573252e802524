"""Recipes: read, defaulted, and refused by name."""

from pathlib import Path
from typing import Any

import pytest
from tests.tiny import write_toml

from plateaulens import resources
from plateaulens.errors import UsageError
from plateaulens.training.recipe import TextRecipe, TrainRecipe, read_recipe

RECIPES = sorted((resources.root() / "data" / "recipes").glob("*.toml"))


def write(path: Path, **changes: Any) -> Path:
    keys = {
        "model__source": "embedded:smollm2",
        "sites__write": "blocks.1.hook_resid_pre",
        "sites__read": "blocks.2.hook_resid_post",
        "prompts__seed": 1,
        "prompts__sequences": 100,
        "text__seed": 2,
        "text__sequences": 1000,
        "held_out": 100,
        "sae__architecture": "standard",
        "sae__latents": 64,
        "sae__samples": 10_000,
        **changes,
    }
    return write_toml(path, keys)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_that_ships(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    made = f"{recipe.name}-{recipe.sites.write}" if isinstance(recipe, TrainRecipe) else recipe.name
    presets = [preset.read_text(encoding="utf-8") for preset in (resources.root() / "data/presets").glob("*.toml")]
    assert any(f'source = "{made}"' in preset for preset in presets)


def test_defaults_and_comparisons(tmp_path: Path) -> None:
    compared = {"compared__other__architecture": "jumprelu", "compared__other__latents": 8}
    recipe = read_recipe(write(tmp_path / "mine.toml", **compared, compared__other__samples=5000))
    assert isinstance(recipe, TrainRecipe)
    assert (recipe.name, recipe.text.length, recipe.text.top_k, recipe.coverage) == ("mine", 16, 200, 0)
    assert recipe.compared["other"].architecture == "jumprelu"
    assert TrainRecipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sae__laten": 3}, "sae.laten: Extra inputs are not permitted"),
        ({"sae__architecture": "topk"}, "sae.architecture: Input should be 'batchtopk', 'standard' or 'jumprelu'"),
        ({"sae__latents": 0}, "sae.latents: Input should be from 1 to 10,000,000"),
        ({"sae__samples": 4095}, r"sae: samples \(4095\) are fewer than one batch_size \(4096\)"),
        ({"sae__centre": 1.5}, "sae.centre: Input should be from 0 to 1"),
        ({"text__length": 2}, "text.length: Input should be from 3 to 100,000"),
        (
            {
                "compared__shipped__architecture": "standard",
                "compared__shipped__latents": 8,
                "compared__shipped__samples": 5000,
            },
            "compared.shipped: the name of the SAE that ships",
        ),
        ({"text__seed": -1}, "text.seed: Input should be from 0 to 9,223,372,036,854,775,807"),
        ({"text__seed": None}, "text.seed: Field required"),
        ({"text__temperature": 0}, "text.temperature: Input should be from 1e-06 to 1,000,000"),
        ({"text__dtype": "float16"}, "text.dtype: Input should be 'float32' or 'bfloat16'"),
        ({"held_out": 1000}, r"held_out \(1000\) leaves none of the text's 1000 sequences"),
        ({"name": "a/b"}, "name: String should match"),
    ],
)
def test_mistakes(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "wrong.toml", **change)
    with pytest.raises(UsageError, match=f"^recipe {path}: .*{message}") as raised:
        read_recipe(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"a b", "not valid TOML"), (b"\xff", "not valid TOML"), (b"", "model: Field required")]
)
def test_files_that_are_no_recipe(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_recipe(tmp_path / "wrong.toml")


def test_prompts_alone_are_a_recipe_and_a_misspelt_one_is_not(tmp_path: Path) -> None:
    only = {"model__source": "embedded:gemma3-270m", "prompts__seed": 1, "prompts__sequences": 9}
    recipe = read_recipe(write_toml(tmp_path / "few.toml", only))
    assert not isinstance(recipe, TrainRecipe)
    assert isinstance(recipe.prompts, TextRecipe)
    assert (recipe.name, recipe.prompts.sequences) == ("few", 9)
    with pytest.raises(UsageError, match=r"sites: Field required, and 4 more"):
        read_recipe(write_toml(tmp_path / "wrong.toml", {**only, "sea__latents": 3}))


def test_prompts_that_ship_are_for_an_autoencoder(tmp_path: Path) -> None:
    (tmp_path / "alone.toml").write_text('prompts = "smollm2"\n[model]\nsource = "embedded:smollm2"\n')
    with pytest.raises(UsageError, match="nothing to make of prompts that ship"):
        read_recipe(tmp_path / "alone.toml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe .*none.toml cannot be read: No such file"):
        read_recipe(tmp_path / "none.toml")
