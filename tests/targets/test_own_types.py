"""A user's activation types as docs/activation_types.md shows them: from a file, and from an installed package."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.processes import run_code
from tests.tiny import write_preset

from plateaulens import resources
from plateaulens.store.reading import open_run
from plateaulens.targets import registry
from plateaulens.targets.base import Base, TargetContext

DOCUMENT = (resources.root() / "docs" / "activation_types.md").read_text(encoding="utf-8")

COLLECT = """
import sys
from plateaulens.cli import main

sys.exit(main(["collect", "--preset", "mine.toml", "--out", "run.zarr"]))
"""

EXIT_AT_IMPORT = """import sys
sys.exit(0)
"""
EXIT_IN_A_RECIPE = """import sys
from plateaulens.targets.registry import register

@register
def halved(base, context, rng):
    return base.activation / 2

@register
def opposite(base, context, rng):
    sys.exit(0)
"""


def block(language: str, having: str) -> str:
    """The document's only code block in a language that has this text in it."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL) if having in text]
    return str(found)


@pytest.fixture
def folder(tiny_files: Path, tmp_path: Path) -> Path:
    """An empty folder with a preset for the two types of the document."""
    targets = tomllib.loads(block("toml", "modules ="))["targets"]
    samples = {"experiments": ["sensitivity"], "sensitivity__samples": 4}
    keys = {f"targets__{key}": value for key, value in targets.items()}
    write_preset(tmp_path / "mine.toml", tiny_files, **samples, **keys)
    return tmp_path


def check(folder: Path) -> None:
    """That the run has the document's types, made by its recipes."""
    with open_run(folder / "run.zarr") as run:
        activations = run["activations"].to_dataset().load()
        assert run["sensitivity"].completed.all()
    base, opposite = activations["base"], activations["target"].sel(activation_type="opposite")
    middle = ((base + opposite) / 2).to_numpy()
    np.testing.assert_allclose(middle, np.broadcast_to(middle[0], middle.shape), rtol=1e-4, atol=1e-4)
    assert not np.allclose(activations["target"].sel(activation_type="halved"), base)


@pytest.mark.slow
def test_from_a_file(folder: Path) -> None:
    (folder / "my_types.py").write_text(block("python", "@register"))
    done = run_code(COLLECT, folder=folder)
    assert done.returncode == 0, done.stderr
    check(folder)
    with (folder / "my_types.py").open("a") as file:
        file.write("# another recipe, for all we know\n")
    again = run_code(COLLECT, folder=folder)
    assert again.returncode == 1
    assert "identity.activation_types.opposite.sha256: stored" in again.stderr


@pytest.mark.slow
def test_from_an_installed_package(folder: Path) -> None:
    """What an installer leaves behind: a package and the dist-info with its entry points, on the path."""
    site = folder / "site"
    package, info = site / "my_package", site / "my_package-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "types.py").write_text(block("python", "@register"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    points = tomllib.loads(block("toml", "entry-points"))["project"]["entry-points"]
    (group, offered), *_ = points.items()
    offered["halved"] = "my_package.types:halved"
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in offered.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    preset = folder / "mine.toml"
    kept = [line for line in preset.read_text().splitlines() if not line.startswith("targets.modules")]
    preset.write_text("\n".join(kept))
    done = run_code(f"import sys; sys.path.append({str(site)!r})\n{COLLECT}", folder=folder)
    assert done.returncode == 0, done.stderr
    check(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "line"),
    [
        (EXIT_AT_IMPORT, "targets.modules: my_types.py: SystemExit: 0 ({file}, line 2)"),
        (
            EXIT_IN_A_RECIPE,
            "activation type 'opposite', sample 0: SystemExit: 0 ({file}, line 10) (recipe in my_types.py)",
        ),
    ],
)
def test_a_file_that_ends_the_program(code: str, line: str, folder: Path) -> None:
    file = folder / "my_types.py"
    file.write_text(code)
    done = run_code(COLLECT, folder=folder)
    assert done.returncode == 1
    assert f"plateaulens: error: {line.format(file=file)}" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr


def test_the_document_names_every_type_that_ships() -> None:
    from plateaulens.targets.registry import shipped

    named = re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE)
    assert sorted(named) == sorted(shipped())


def test_the_document_s_variants_are_valid() -> None:
    from plateaulens.config import TargetConfig

    targets = TargetConfig.model_validate(tomllib.loads(block("toml", "structured_random"))["targets"])
    assert targets.variants["structured_with_error"].add_error
    assert targets.variants["structured_error"].sae_error == "predicted"
    assert targets.variants["structured_matched"].matched
    assert targets.variants["latents_kept_90"].constants == {"kept_share": 0.9}


@pytest.mark.slow
def test_a_fitted_type_of_one_s_own(tiny_files: Path, tmp_path: Path) -> None:
    """That of docs/ladder.md: bases mirrored in the mean of activations that no base is among."""
    text = (resources.root() / "docs" / "ladder.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_types.py").write_text(code)
    types = {"targets__types": ["real", "mirrored"], "targets__modules": ["my_types.py"]}
    write_preset(tmp_path / "mine.toml", tiny_files, experiments=["sensitivity"], sensitivity__samples=4, **types)
    done = run_code(COLLECT, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with open_run(tmp_path / "run.zarr") as run:
        activations = run["activations"].to_dataset().load()
    assert activations["fit_distance"].notnull().all()
    mean = ((activations["base"] + activations["target"].sel(activation_type="mirrored")) / 2).to_numpy()
    np.testing.assert_allclose(mean, np.broadcast_to(mean[0], mean.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("test", ["one", "another"])
def test_a_type_is_forgotten_after_its_test(test: str) -> None:
    """What the suite's own fixture promises: without it the second of these could not register another `opposite`."""

    def opposite(base: Base, context: TargetContext, rng: np.random.Generator) -> torch.Tensor:
        return -base.activation

    opposite.__module__ = f"of_{test}"
    registry.register(opposite)
    assert "opposite" in registry.names()
