"""What the sources of the pages must keep to so that Quarto renders them as the built-in renderer does.

None of this needs Quarto's program: each rule stands for something that was seen with it.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typst

from plateaulens import resources
from plateaulens.report import build
from qmdrender.document import Cell, Inline, Prose, read_document

REPORT = resources.root() / "report"
PAGES = sorted(REPORT.glob("*.qmd"))
WRAPPED = {"shown", "say"}
"""The functions of `plateaulens.report.page` that give Markdown: Quarto prints a plain text as its escaped repr."""

TABLE = """
{header}
#set page(width: 12cm, height: 8cm, margin: 1cm)
#figure(kind: "quarto-float-tbl", supplement: "Table", caption: [A caption.], {body})
"""
BODIES = {
    "alone": "table(columns: 2, {rows})",
    "in pandoc's figure": "[#figure(align(center)[#table(columns: 2, {rows})], kind: table)]",
}


def inlines(page: Path) -> list[Inline]:
    return [part for part in read_document(page).parts if isinstance(part, Inline)]


def unwrapped(code: str) -> bool:
    """Whether an expression is anything but a call that gives Markdown."""
    tree = ast.parse(code, mode="eval").body
    return not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in WRAPPED)


def test_there_are_pages() -> None:
    assert [page.name for page in PAGES] == ["index.qmd", "ladder.qmd", "saes.qmd", "sweep.qmd"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_inline_expressions_give_markdown(page: Path) -> None:
    found = inlines(page)
    assert len(found) > 3
    assert [part.code for part in found if unwrapped(part.code)] == []


def test_a_plain_text_is_caught() -> None:
    assert unwrapped('thresholds["minimum_slope"]')
    assert unwrapped("sweep.resampling(run)")
    assert not unwrapped("shown(sweep.resampling(run))")


@pytest.mark.parametrize("name", ["index", "saes", "sweep"])
def test_the_first_screen_is_what_was_found_with_a_picture_and_facts(name: str) -> None:
    text = (REPORT / f"{name}.qmd").read_text(encoding="utf-8")
    headings = [line for line in text.partition("include: false")[2].splitlines() if line.startswith("## ")]
    assert re.fullmatch(r"## `\{python\} shown\(.*\)` \{#finding \.unnumbered \.unlisted\}", headings[0])
    first = text.partition(headings[0])[2].partition("\n## ")[0]
    assert [each in first for each in ("points(run)", "::: {#fig-", "facts(run)")] == [True] * 3
    assert "::: {#tbl-" not in first


def test_equations_stand_on_pages_alone() -> None:
    """Those that the code of the report wrote would not be seen by the check of blank lines below."""
    files = [*Path(build.__file__).parent.glob("*.py")]
    assert len(files) > 20
    assert [file.name for file in files if "$$" in file.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_display_equations_stand_by_themselves(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    equations = re.findall(r"(?:^|\n)([^\n]*)\n\$\$\n.*?\n\$\$ \{#eq-[\w-]+\}\n([^\n]*)", text, re.DOTALL)
    assert len(equations) == text.count("{#eq-")
    assert [around for around in equations if any(around)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_folded_parts_are_whole_and_hold_no_heading(page: Path) -> None:
    """A heading within would begin a section that ends outside."""
    inside = False
    for part in read_document(page).parts:
        if isinstance(part, Cell) or not isinstance(part, Prose):
            continue
        for line in part.text.splitlines():
            if line.startswith("<details>"):
                assert not inside
                inside = True
            elif line == "</details>":
                assert inside
                inside = False
            assert not (inside and line.startswith("#")), line
    assert not inside


def test_no_callout_is_used() -> None:
    """Quarto sets a callout in a block that does not break across pages, so that a long one is cut at the foot."""
    assert not [page.name for page in PAGES if ".callout" in page.read_text(encoding="utf-8")]


def pages_of(header: str, body: str, folder: Path) -> int:
    """How many pages a table of sixty rows takes as Quarto sets it, under a header."""
    rows = ", ".join(f"[row {row}], [{row}]" for row in range(60))
    source = folder / "table.typ"
    source.write_text(TABLE.format(header=header, body=body.format(rows=rows)))
    made: Any = typst.compile(source, format="svg")
    return len(made) if isinstance(made, list) else 1


@pytest.mark.parametrize("body", BODIES)
def test_tables_break_across_pages_under_the_header_of_the_project(body: str, tmp_path: Path) -> None:
    """Quarto's own figures of tables do not: their rows were printed over each other at the foot of a page."""
    yaml = pytest.importorskip("yaml")
    settings = yaml.safe_load((REPORT / "_quarto.yml").read_text(encoding="utf-8"))
    header = settings["format"]["typst"]["include-in-header"]["text"]
    assert pages_of("", BODIES[body], tmp_path) < 3
    assert pages_of(header, BODIES[body], tmp_path) > 3


def test_what_quarto_leaves_beside_the_sources_is_not_versioned() -> None:
    file = Path(__file__).parents[2] / ".gitignore"
    if not file.is_file():
        pytest.skip("an archive of the sources has no .gitignore")
    ignored = file.read_text(encoding="utf-8").splitlines()
    left = ("*.html", "*.pdf", "*.typ", "*_files/", "*.quarto_ipynb*", ".jupyter_cache/", "models.svg")
    assert [pattern for pattern in left if f"report/{pattern}" not in ignored] == []
