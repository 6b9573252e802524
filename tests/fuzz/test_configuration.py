"""Presets and recipes of training, through the functions and the command that read them. No torch."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fuzz import inputs
from tests.fuzz.inputs import DEEP, NUMBERS, altered, check, damaged, fuzz, run

from plateaulens import resources
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.training.recipe import read_recipe

pytestmark = pytest.mark.slow
PRESET = (resources.root() / "data" / "presets" / "smollm2.toml").read_bytes()
SWEEP = (resources.root() / "data" / "presets" / "smollm2-sweep.toml").read_bytes()
RECIPE = (resources.root() / "data" / "recipes" / "smollm2.toml").read_bytes()


def as_toml(value: Any) -> str:
    """A value as TOML; what it has no word for (null) becomes an empty text."""
    match value:
        case bool():
            return str(value).lower()
        case inputs.HUGE:
            return "1" + "0" * 5000
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(as_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{as_toml(str(key))} = {as_toml(inner)}' for key, inner in value.items())}}}"
        case _:
            letters = (c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in str(value or ""))
            return f'"{"".join(letters)}"'


def toml_files(content: bytes) -> st.SearchStrategy[bytes]:
    structures = altered(tomllib.loads(content.decode())).map(
        lambda tree: "\n".join(f"{as_toml(str(key))} = {as_toml(value)}" for key, value in tree.items()).encode()
    )
    nested = st.sampled_from([(b"x = ", b"["), (b"x = ", b"{a="), (b"[", b"a.")]).map(lambda it: it[0] + it[1] * DEEP)
    return structures | structures | damaged(content) | nested


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "any.toml"


def check_preset(file: Path) -> None:
    """A preset is refused on one line, or its numbers are what they should be; the command line agrees."""
    try:
        config = read_config(file)
    except UsageError as error:
        check(error, file)
        assert run("analyze", "--preset", file) is not None
        return
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    assert config.seed == read.get("seed", 0)
    assert config.model.source == read["model"]["source"]
    said = run("analyze", "--preset", file)
    assert said is not None
    assert said.startswith(("no run at", "no sweep at"))


@fuzz(500)
@given(content=toml_files(PRESET) | toml_files(SWEEP))
@example(content=PRESET.replace(b"seed = 20241", b"seed = 1" + b"0" * 5000))
@example(content=PRESET.replace(b"seed = 20241", b"seed = 0x1" + b"0" * 5000))
def test_presets(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    check_preset(file)


@fuzz(300)
@given(content=toml_files(RECIPE))
def test_recipes(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    try:
        recipe = read_recipe(file)
    except UsageError as error:
        check(error, file)
    else:
        assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe


KEYS = [
    ("seed",),
    ("prompts", "length"),
    ("prompts", "sequences"),
    ("sensitivity", "samples"),
    ("sensitivity", "steps"),
    ("plateau", "step_length"),
    ("engine", "prompts_per_batch"),
    ("engine", "samples_per_chunk"),
    ("analysis", "resamples"),
    ("analysis", "confidence"),
    ("targets", "anchor_cosine"),
]


@fuzz(300)
@given(key=st.sampled_from(KEYS), value=NUMBERS | st.integers() | st.floats())
@example(key=("sensitivity", "steps"), value=10**12)
@example(key=("plateau", "step_length"), value=1e308)
@example(key=("engine", "prompts_per_batch"), value=10**30)
def test_numbers(key: tuple[str, ...], value: float, file: Path) -> None:
    tree = tomllib.loads(PRESET.decode())
    inner = tree
    for part in key[:-1]:
        inner = inner.setdefault(part, {})
    inner[key[-1]] = value
    file.write_text("\n".join(f"{name} = {as_toml(part)}" for name, part in tree.items()), encoding="utf-8")
    check_preset(file)
