"""The pages of docs/howto, followed: presets read, files written, commands and blocks of Python run on a tiny model.

A page's TOML joins the preset of the first page. What a reader has of his own (model, texts, SAE) is tiny here.
"""

import argparse
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.conftest import VOCABULARY
from tests.tiny import D_MODEL, write_toml

from plateaulens.cli import main
from plateaulens.cli.entry import _parser
from plateaulens.presets import read_config
from plateaulens.summary.analyze import write_summary

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "howto"
NAMES = sorted(path.stem for path in PAGES.glob("*.md"))
PRESET = "my-model.toml"
SMALLER = {"blocks.11.hook_resid_post": "blocks.2.hook_resid_post"}
"""Sites of the pages' model, and of the tiny one."""
ELSEWHERE = ("--scheduler", "--workers", "s3://", "plateaulens report", "plateaulens plan")
"""What is only read here: other tests run it."""


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Language and content of every block of a page."""
    text = (PAGES / f"{page}.md").read_text()
    return ((match[1], match[2]) for match in re.finditer(r"```(\w+)\n(.*?)```", text, re.DOTALL))


def commands(page: str) -> list[list[str]]:
    """What stands after `plateaulens` in the page's commands."""
    lines = [line for kind, block in blocks(page) if kind == "sh" for line in block.splitlines()]
    assert all(line.startswith("plateaulens ") for line in lines)
    return [line.split()[1:] for line in lines]


def flat(section: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{key}__")
        else:
            yield f"{before}{key}", value


def preset(*given: str, **changes: Any) -> dict[str, Any]:
    """The first page's preset, joined by further TOML."""
    (first,) = (block for kind, block in blocks("own-model") if kind == "toml")
    return {key: value for text in (first, *given) for key, value in flat(tomllib.loads(text))} | changes


def test_there_is_a_page_of_each() -> None:
    assert NAMES == ["cluster", "gpu", "own-activations", "own-model", "own-sae", "own-type", "score-saes", "sweep"]


@pytest.mark.parametrize("page", NAMES)
def test_commands_and_presets_can_be_read(page: str, tmp_path: Path) -> None:
    assert commands(page)
    for arguments in commands(page):
        assert callable(_parser().parse_args(arguments).command)
    given = [block for kind, block in blocks(page) if kind == "toml"]
    for number in range(len(given) + 1):
        read_config(write_toml(tmp_path / PRESET, preset(*given[:number])))


def follow(page: str) -> None:
    """Do what a page says, in the current folder."""
    given: list[str] = []
    names: dict[str, Any] = {}
    write_preset(given)
    for kind, block in blocks(page):
        if kind == "toml":
            given.append(block)
            write_preset(given)
        elif kind == "python" and (name := re.match(r"# (\w+\.py)\n", block)):
            Path(name[1]).write_text(block)
        elif kind == "python":
            exec(block, names)  # noqa: S102  the document's own
        else:
            for line in block.splitlines():
                if not any(word in line for word in ELSEWHERE):
                    assert main(line.split()[1:]) == 0, line


def write_preset(given: list[str]) -> None:
    """The pages' preset for the tiny model, with few samples."""
    keys = preset(*given, sensitivity__samples=8, sensitivity__steps=11, analysis__resamples=150)
    text = write_toml(Path(PRESET), keys).read_text()
    for theirs, own in SMALLER.items():
        assert theirs in text
        text = text.replace(theirs, own)
    Path(PRESET).write_text(text)


@pytest.fixture
def workplace(tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a reader's own files, in which the first page has been followed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-model").symlink_to(tiny_files / "model")
    for name in ("my-sae", "other-sae"):
        (tmp_path / name).symlink_to(tiny_files / "sae")
    words = np.random.default_rng(5).integers(1, VOCABULARY, (60, 12))
    (tmp_path / "my-texts.txt").write_text("\n".join(" ".join(f"w{word}" for word in line) for line in words))
    follow("own-model")
    assert Path("data/summaries/my-model.zarr").is_dir()
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("own-sae", ["my-sae"]),
        ("own-activations", ["drawn", "steered"]),
        ("own-type", ["opposite"]),
        ("sweep", ["layers"]),
        ("score-saes", ["saes"]),
    ],
)
def test_a_page_can_be_followed(
    page: str, made: list[str], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(page)
    summaries = {path.stem for path in (workplace / "data/summaries").iterdir()}
    assert {"my-model", *made} <= summaries
    said = capsys.readouterr().out
    if page == "own-activations":
        assert "conclusion" in said
        assert re.search(r"^l2 +\w+", said, re.MULTILINE)
    if page == "score-saes":
        assert re.search(r"^\d+ +reconstruction +l2 .*(tied for best|too few|undefined)$", said, re.MULTILINE)
        made_of = ("my-sae", "other-sae")
        assert {path.name for path in Path("saes-bench").iterdir()} == {
            f"{name}_custom_sae_eval_results.json" for name in made_of
        }
        exported = json.loads(Path("saes-bench/my-sae_custom_sae_eval_results.json").read_text())["sae_cfg_dict"]
        assert (exported["architecture"], exported["d_in"], exported["hook_layer"]) == ("standard", D_MODEL, 1)
    if page == "sweep":
        assert "hook_resid_pre" in said


DOCUMENTS = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "docs/notebooks").glob("*.ipynb")])


def subcommands() -> dict[str, set[str]]:
    """The options of every subcommand."""
    (action,) = (each for each in _parser()._actions if isinstance(each, argparse._SubParsersAction))
    return {name: set(parser._option_string_actions) for name, parser in action.choices.items()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_documents_name_are_there(document: Path) -> None:
    """Of the history only what is there today can be asked for, so CHANGELOG.md is left out."""
    if document.name == "CHANGELOG.md":
        return
    known, text = subcommands(), document.read_text()
    for command, options in re.findall(r"(?:^|`)plateaulens ([a-z][a-z-]*)([^`\n]*)", text, re.MULTILINE):
        assert command in known, command
        assert set(re.findall(r"(?<= )--[a-z-]+", options)) <= known[command], (command, options)
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    for named in re.findall(r"nox -s ([a-z0-9 ]+)", text):
        assert set(named.split()) <= sessions, named


def test_the_front_page_s_presets_are_those_that_ship() -> None:
    rows = re.findall(r"^\| (`[a-z0-9-]+`[^|]*) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}
    text = (ROOT / "README.md").read_text()
    shipped = {path.stem for path in (ROOT / "data/presets").glob("*.toml")}
    assert named <= shipped
    assert [name for name in sorted(shipped) if f"`{name}`" not in text] == []


def test_the_front_page_s_questions_can_be_asked(
    synthetic_run: Path, synthetic_summary: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/runs").mkdir(parents=True)
    (tmp_path / "data/runs/smollm2.zarr").symlink_to(synthetic_run.resolve())
    write_summary(synthetic_summary.copy(), tmp_path / "data/summaries/smollm2.zarr")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[:2]:
        exec(block, names)  # noqa: S102  the document's own
    assert names["curves"].dims == ("activation_type", "sample", "step", "metric")
    assert set(names["relative"].conclusion.sel(metric="l2").to_series()) & {"later", "equivalent", "undecided"}
