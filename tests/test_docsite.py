"""The documentation's site: what it is made of, that it asks nothing of the network, and that its notebooks run."""

import json
from pathlib import Path

import pytest

import docsite
import plateaulens

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(docsite.NOTEBOOKS.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def test_every_page_has_its_place_in_the_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    pages += [*docsite.PAGES, *(f"notebooks/{name}.md" for name in NAMES)]
    assert sorted(
        line.removeprefix("- ") for line in map(str.strip, contents.splitlines()) if line.endswith(".md")
    ) == (sorted(pages))


def test_the_reference_has_all_that_the_package_offers() -> None:
    page = (ROOT / "docs/api/library.md").read_text()
    shown = {line.rpartition(".")[2] for line in page.splitlines() if line.startswith("::: ")}
    assert shown == set(plateaulens.__all__) - {"__version__", "stats"}


def test_links_of_documents_become_those_of_pages() -> None:
    text = "[a](docs/methods.md#x) [b](data/presets/x.toml) [c](https://d.org) [e](CONTRIBUTING.md) ![f](docs/g.png)"
    found = docsite.linked(text, {"CONTRIBUTING.md": "contributing.md"})
    assert found == "[a](methods.md#x) b [c](https://d.org) [e](contributing.md) ![f](g.png)"


def test_links_to_the_repository_s_documents_lead_to_their_pages() -> None:
    text = "[a](../README.md#installing) [b](methods.md) [c](https://d.org/../README.md) [e](../data/x.toml)"
    assert docsite.within(text, "library.md") == text.replace("../README.md#", "index.md#", 1)
    text = "[a](../../README.md) [b](../../CONTRIBUTING.md#x) [c](../README.md) [d](../models.md)"
    found = docsite.within(text, "howto/own.md")
    assert found == "[a](../index.md) [b](../contributing.md#x) [c](../README.md) [d](../models.md)"


def test_what_a_page_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    page = """
    <link rel="canonical" href="https://own.org"><a href="https://linked.org">x</a><img src="own.png">
    <script src="https://scripts.org/x.js"></script><link rel="stylesheet" href="//styles.org/x.css">
    <img src="http://pictures.org/x.png">
    """
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "style.css").write_text("@import 'https://fonts.org/x'; a { background: url(//back.org/y.png) } b { }")
    assert list(docsite.foreign(tmp_path)) == [
        "page.html: https://scripts.org/x.js",
        "page.html: //styles.org/x.css",
        "page.html: http://pictures.org/x.png",
        "style.css: https://fonts.org/x",
        "style.css: //back.org/y.png",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quick-start", ["<div", "random", "image/png"]),
        ("my-own-activations", ["steered", "shrunk", "conclusion", "image/png"]),
        (
            "two-saes",
            [
                "shuffled            worse            worse",
                "slight    not shown worse  not shown worse",
                "prompts for a quarter",
                "image/png",
            ],
        ),
    ],
)
def test_a_notebook_runs(name: str, said: list[str]) -> None:
    outputs = [
        output
        for cell in docsite.run_notebook(docsite.NOTEBOOKS / f"{name}.ipynb").cells
        for output in cell.get("outputs", [])
    ]
    assert {output.output_type for output in outputs} <= {
        "execute_result",
        "display_data",
    }  # no warning, nothing printed
    found = json.dumps(outputs)
    assert [word for word in said if word not in found] == []
