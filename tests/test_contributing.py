"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the source."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes import run_code
from tests.tiny import write_preset

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n# (\S+?)(?:: (.+?))?\n(.*?)```", re.DOTALL)
CHECK = """
import json
import sys

import numpy as np

import plateaulens
from plateaulens import figures
from plateaulens.cli import main
from plateaulens.report.page import show

assert plateaulens.__file__.startswith(sys.argv[1]), plateaulens.__file__
assert main(["collect", "--preset", "tiny.toml", "--out", "run.zarr"]) == 0
assert main(["verify", "run.zarr"]) == 0
assert main(["analyze", "--run", "run.zarr", "--out", "summary.zarr"]) == 0

run = plateaulens.open_run("run.zarr")
curve = run["sensitivity"].curve
assert curve.metric.values.tolist() == ["l2", "largest"]
assert (curve.sel(metric="largest") <= curve.sel(metric="l2") * (1 + 1e-6)).all()
assert run["sensitivity"].metric_units.values.tolist() == ["residual stream"] * 2
assert json.loads(run.attrs["definitions"])["halfway"] == "midway between A and the real target"

target = run["activations"].target
middle = (run["activations"].base + target.sel(activation_type="real")) / 2
np.testing.assert_allclose(target.sel(activation_type="halfway"), middle, rtol=1e-5, atol=1e-5)
assert run["to_mean"].fraction[-1] == 1
assert (run["to_mean"].path_length > 0).all()

run = plateaulens.open_summary("summary.zarr")
steps = run["sensitivity"].step_value.sel(convention="corrected", statistic="highest", activation_type="real")
highest = curve.sel(activation_type="real").argmax("step").transpose(*steps.dims)
assert (steps == highest).where(steps.notnull(), True).all()
assert steps.notnull().any()
assert run["sensitivity"].family.sel(statistic="highest", metric="l2") == "highest on l2"
assert "to_mean" in run.children

figure = {cell}
assert figure.axes[0].get_xlabel() == "share censored"
"""


def recipes() -> Iterator[tuple[str, str | None, str]]:
    """File, place in it, and code, of every block of the document that says where it belongs."""
    return ((match[1], match[2], match[3]) for match in BLOCK.finditer((ROOT / "CONTRIBUTING.md").read_text()))


def indented(code: str, by: int) -> str:
    return "".join(" " * by + line if line.strip() else line for line in code.splitlines(keepends=True))


def insert(text: str, place: str, code: str) -> str:
    """The text of a file with the code where the document says."""
    if place == "at the end":
        return f"{text}\n\n{code}"
    if place == "imports":
        return text.replace("\n\nfrom ", f"\n\n{code}from ", 1)
    if before := re.fullmatch(r"before (\w+)", place):
        at = text.index(f"\n{before[1]}")
        return f"{text[:at]}\n\n{code}\n{text[at:]}"
    # an entry of a table: a dict of its own, or one over a tuple of concepts
    code = f"{code.rstrip().removesuffix(',')},"
    begin = re.search(rf"^{place}\b.*?= \{{\n", text, re.MULTILINE)
    assert begin is not None, f"there is no {place}"
    end = text.index("\n}\n", begin.end())
    if text[begin.end() : end].rstrip().endswith(")") and "for " in text[begin.end() : begin.end() + 200]:
        end = text.rindex("\n    )", begin.end(), end)
        return f"{text[:end]}\n{indented(code, 8)}{text[end:]}"
    return f"{text[:end]}\n{indented(code, 4)}{text[end:]}"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source in which every recipe has been followed."""
    source = tmp_path_factory.mktemp("followed") / "analysis"
    ignored = shutil.ignore_patterns("__pycache__", "_resources")
    shutil.copytree(ROOT / "analysis/plateaulens", source / "plateaulens", ignore=ignored)
    for file, place, code in recipes():
        path = source / "plateaulens" / file
        if file.endswith(".qmd"):
            continue
        assert path.exists() == (place is not None), file
        path.write_text(code if place is None else insert(path.read_text(), place, code))
    return source


def test_each_takes_as_many_files_as_its_heading_says() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    sections = re.findall(r"^### [^\n]*: (one|two|three) files?\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    assert len(sections) == 6
    for number, section in sections:
        files = {match[1] for match in BLOCK.finditer(section)}
        assert len(files) == {"one": 1, "two": 2, "three": 3}[number]


@pytest.mark.slow
def test_what_the_recipes_add_is_collected_analysed_and_drawn(copy: Path, tiny_files: Path, tmp_path: Path) -> None:
    changes = {
        "metrics": ["l2", "largest"],
        "experiments": ["sensitivity", "to_mean"],
        "targets__types": ["real", "real_control", "random", "halfway"],
        "to_mean__samples": 4,
        "to_mean__steps": 7,
        "analysis__statistics": ["max_slope", "highest"],
    }
    write_preset(tmp_path / "tiny.toml", tiny_files, **changes)
    (cell,) = (code for file, _, code in recipes() if file.endswith(".qmd"))
    done = run_code(CHECK.replace("{cell}", cell.strip()), str(copy), folder=tmp_path, PYTHONPATH=str(copy))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_family_that_the_recipe_adds_is_held_to_whole_prompts(copy: Path) -> None:
    for name in ("pyproject.toml", "tests/architectures.py", "tests/conftest.py", "tests/seeing.py", "tests/scan"):
        (copy.parent / "tests").mkdir(exist_ok=True)
        place = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        place(ROOT / name, copy.parent / name)
    arguments = ["tests/scan/test_direct.py", "-k", "seed_oss", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = run_code(f"import pytest; raise SystemExit(pytest.main({arguments}))", folder=copy.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 10


def test_hooks_of_commits_are_what_nox_runs() -> None:
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    entries = re.findall(r"^ +entry: (.+?)(?: --force-exclude)?$", config, re.MULTILINE)
    sessions = (ROOT / "noxfile.py").read_text()
    assert entries == ["ruff check", "ruff format", "mypy"]
    for entry in entries:
        words = ", ".join(f'"{word}"' for word in entry.split())
        assert f"session.run({words}" in sessions


def test_the_map_has_every_package_and_nothing_that_is_gone() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    chart = text[text.index("## Where things are") : text.index("## Recipes")]
    source = ROOT / "analysis/plateaulens"
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    assert packages <= set(re.findall(r"`(\w+)`", chart))
    files = re.findall(r"`([\w/]+\.py)`", chart)
    assert len(files) > 20
    assert [name for name in files if not any((f / name).exists() for f in (source, ROOT, *source.iterdir()))] == []
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    for line in re.findall(r"nox -s ([a-z0-9 ]+)", text):
        assert set(line.split()) <= sessions, line
