import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from tests.seeing import DESKTOP, NARROW, filled, lines_of, look_at, pages_of, text_of

from qmdrender import RenderError, render
from qmdrender.__main__ import main

Write = Callable[[str], Path]

BIBLIOGRAPHY = """
@article{knuth1984, author = {Donald E. Knuth}, title = {Literate Programming}, journal = {The Computer Journal},
  year = 1984, url = {https://doi.org/10.1093/comjnl/27.2.97}}
"""

ARTICLE = """\
---
title: "One & *two*"
author: Ada
date: 2024-01-05
abstract: The `abstract`.
bibliography: references.bib
number-sections: true
toc: true
execute:
  echo: false
---

```{python}
#| tags: [parameters]
name = "default"
```

# Results {#sec-results}

For `{python} name`, @fig-line and @tbl-numbers say more [@knuth1984], see @sec-results.

```{python}
#| label: fig-line
#| fig-cap: "A line with $x^2$."
#| fig-alt: "A line that rises."
import matplotlib.pyplot as plt
with open("runs.txt", "a") as log:
    log.write("run\\n")
plt.plot([1, 2])
plt.show()
```

```{python}
#| label: tbl-numbers
#| tbl-cap: "Numbers."
from IPython.display import Markdown
Markdown("| a | b |\\n|---|--:|\\n| x_y | -0.5 |\\n")
```
"""


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("article") / "article.qmd"
    path.write_text(ARTICLE)
    (path.parent / "references.bib").write_text(BIBLIOGRAPHY)
    return path


@pytest.fixture(scope="module")
def made(article: Path) -> list[Path]:
    """The article in both formats, from one call."""
    return render(article, article.parent / "out", parameters={"name": "the <run>"})


def test_both_formats_come_from_one_execution(article: Path, made: list[Path]) -> None:
    out = article.parent / "out"
    assert made == [out / "article.html", out / "article.pdf"]
    assert sorted(path.name for path in out.iterdir()) == ["article.html", "article.pdf"]
    assert (article.parent / "runs.txt").read_text() == "run\n"


def test_the_page_holds_everything(made: list[Path]) -> None:
    page = made[0].read_text(encoding="utf-8")
    for piece in (
        "<title>One &amp; two</title>",
        "January 5, 2024",
        "For the &lt;run&gt;,",
        'href="#fig-line" class="crossref">Figure\u00a01</a>',
        'href="#tbl-numbers" class="crossref">Table\u00a01</a>',
        'href="#sec-results" class="crossref">Section\u00a01</a>',
        'alt="A line that rises."',
        'src="data:image/png;base64,',
        "Knuth",
        '<nav id="toc"',
    ):
        assert piece in page
    assert not re.search(r'(?:src|<link[^>]*href)="(?!data:)', page)


def test_the_pdf_is_one(made: list[Path]) -> None:
    content = made[1].read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"%%EOF" in content[-32:]
    assert len(content) > 20_000  # with its fonts and its figure


@pytest.mark.browser
@pytest.mark.parametrize("width", [DESKTOP, NARROW])
def test_a_browser_shows_the_page_whole(made: list[Path], width: int) -> None:
    seen = look_at(made[0], width)
    assert seen["needed"] <= seen["width"] <= width
    assert len(seen["pictures"]) == 1
    assert all(own > 0 and right <= seen["width"] for own, right in seen["pictures"])
    assert seen["astray"] == []
    assert "For the <run>, Figure\u00a01 and Table\u00a01 say more" in seen["text"]


@pytest.mark.browser
def test_a_reader_finds_the_text_of_the_pdf(made: list[Path]) -> None:
    text = text_of(made[1])
    for piece in ("One & two", "January 5, 2024", "For the <run>,", "Figure 1: A line with", "\u22120.5", "Knuth"):
        assert piece in text


GROUPS, ROWS = ("one", "two", "three"), 36
"""Of a table of two pages and a half."""


def with_table(paragraphs: int, rows: int) -> str:
    """A document with a table of three groups behind some lines of text, and a line below."""
    body = [
        line
        for group in GROUPS
        for line in (f"| **group{group}** | |", *(f"| {group}row{row} | {row} |" for row in range(rows)))
    ]
    table = "\n".join(["| name | n |", "|---|--:|", *body])
    text = "\n\n".join(f"Paragraph {number}." for number in range(paragraphs))
    return f"---\ntitle: One\n---\n\n{text}\n\n::: {{#tbl-long}}\n\n{table}\n\nCaption.\n\n:::\n\nBelow.\n"


@pytest.mark.browser
@pytest.mark.parametrize("paragraphs", [1, 16, 28])
def test_a_long_table_goes_on_on_the_next_page(write: Write, tmp_path: Path, paragraphs: int) -> None:
    """It begins where there is room, with its caption; no row is printed over another, and none is lost."""
    (made,) = render(write(with_table(paragraphs, ROWS)), tmp_path / "out", formats=["typst"])
    pages = lines_of(made)
    rows = [[line for line in page.values() if re.match(r"(?:name|group|\w+row\d)", line)] for page in pages]
    assert [line for page in rows for line in page if "row" in line] == [
        f"{group}row{row} {row}" for group in GROUPS for row in range(ROWS)
    ]
    for page in pages:
        heights = [height for height, line in page.items() if re.match(r"(?:name|group|\w+row\d)", line)]
        assert all(below - above > 8 for above, below in pairwise(heights))
    assert [any("Caption." in line for line in page.values()) for page in pages].index(True) == [
        any("row0" in line for line in page) for page in rows
    ].index(True)
    for own in filter(None, rows):
        assert own[0] == "name n", "the head of the table stands on every page of it"
        assert own[1] == f"group{own[2].partition('row')[0]}", "and that of the group of rows"
        assert "row" in own[-1], "none stands alone at the foot"
    looked = [filled(page) for page in pages_of(made, tmp_path)]
    assert len(looked) == len(pages) > 2
    assert all(each > 0.85 for each in looked[:-1])


@pytest.mark.browser
def test_a_short_table_stays_whole(write: Write, tmp_path: Path) -> None:
    """At the foot of the page, where a long one would begin."""
    (made,) = render(write(with_table(28, 2)), tmp_path / "out", formats=["typst"])
    first, second = lines_of(made)
    assert not any("row" in line or "Caption" in line for line in first.values())
    assert sum("row" in line for line in second.values()) == 2 * len(GROUPS)


@pytest.mark.browser
def test_a_row_of_several_bold_cells_is_no_head(write: Write, tmp_path: Path) -> None:
    """A head of a group would be repeated on the next page."""
    rows = "\n".join(["| **total** | **7** | |", *(f"| row{row} | {row} | |" for row in range(80))])
    text = (
        f"---\ntitle: One\n---\n\n::: {{#tbl-long}}\n\n| name | n | note |\n|---|--:|---|\n{rows}\n\nCaption.\n\n:::\n"
    )
    (made,) = render(write(text), tmp_path / "out", formats=["typst"])
    said = [line for page in lines_of(made) for line in page.values()]
    assert said.count("name n note") == len(lines_of(made)) > 1
    assert said.count("total 7") == 1


@pytest.mark.slow
def test_rendering_again_makes_the_same_bytes(
    article: Path, made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    again = render(article, tmp_path, parameters={"name": "the <run>"})
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made]


@pytest.mark.parametrize("text", ["```{python}\n1 / 0\n```\n", "See @fig-nothing.\n"])
def test_a_failure_leaves_the_earlier_files_and_no_others(write: Write, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "article.html").write_text("earlier")
    with pytest.raises(RenderError):
        render(write(text), out)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("article.html", "earlier")]


def test_a_failure_makes_no_folder(write: Write, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"^article\.qmd:1: shortcodes"):
        render(write("{{< video >}}\n"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_citation_that_is_not_in_the_bibliography_is_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "references.bib").write_text(BIBLIOGRAPHY)
    article = write("---\nbibliography: references.bib\n---\nSee [@nobody].\n")
    with pytest.raises(RenderError, match="citation nobody not found"):
        render(article, tmp_path / "out", formats=["html"])


@pytest.mark.slow
@pytest.mark.parametrize(("described", "conforms"), [("a dot, and $x$", True), ("", False)])
def test_a_pdf_can_be_read_aloud_where_its_pictures_can(
    write: Write, tmp_path: Path, described: str, conforms: bool
) -> None:
    (tmp_path / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    article = write(f"---\ntitle: One\n---\nWith $x^2$.\n\n![{described}](dot.svg)\n")
    (made,) = render(article, tmp_path / "out", formats=["typst"])
    assert (b"<pdfuaid:part>1</pdfuaid:part>" in made.read_bytes()) == conforms
    assert b"/StructTreeRoot" in made.read_bytes()


def test_an_unknown_format_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"^no format 'docx'; there are html, typst$"):
        render(write("text\n"), tmp_path, formats=["docx"])


def test_a_pdf_has_a_date_only_when_it_is_given(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    article = write("text\n")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (undated,) = render(article, tmp_path / "undated", formats=["typst"])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (dated,) = render(article, tmp_path / "dated", formats=["typst"])
    assert b"CreationDate" not in undated.read_bytes()
    assert b"D:20231114" in dated.read_bytes()


def test_the_command_line_renders_and_says_where(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    article = write("```{python}\n#| tags: parameters\n#| echo: false\nn = 1\n```\n\n`{python} n + 1`\n")
    assert main([str(article), "--to", "html", "-P", "n:41"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'article.html'}\n"
    assert "42" in (tmp_path / "article.html").read_text(encoding="utf-8")


def test_the_command_line_reports_a_refusal_on_one_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write("{{< video >}}\n"))]) == 1
    assert main([str(write("text\n")), "-P", "n"]) == 1
    assert capsys.readouterr().err == (
        "qmdrender: article.qmd:1: shortcodes ({{< ... >}}) need Quarto itself\nqmdrender: -P n: write NAME:VALUE\n"
    )


def command_line(*arguments: str) -> list[str]:
    """The command that runs the command line in a process of its own."""
    package = Path(sys.modules["qmdrender"].__file__ or "").parent
    program = f"import sys; sys.path.insert(0, {str(package.parent)!r}); from qmdrender.__main__ import main; main()"
    return [sys.executable, "-W", "always", "-c", program, *arguments]


@pytest.mark.slow
def test_two_at_once_into_one_folder(write: Write, tmp_path: Path) -> None:
    article, out = write("```{python}\n1\n```\n"), tmp_path / "out"
    command = command_line(str(article), "--to", "html", "--out", str(out))
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        said, _ = process.communicate()
        assert (process.returncode, said) == (0, f"{out / 'article.html'}\n")
    assert [path.name for path in out.iterdir()] == ["article.html"]
    assert (out / "article.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.slow
def test_no_warning_reaches_the_user(write: Write, tmp_path: Path) -> None:
    article = write("```{python}\n1\n```\n")
    done = subprocess.run(
        command_line(str(article), "--out", str(tmp_path / "out")), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [str(tmp_path / "out" / name) for name in ("article.html", "article.pdf")]


def test_package_is_independent_of_plateaulens() -> None:
    package = Path(sys.modules["qmdrender"].__file__ or "").parent
    sources = textwrap.dedent("\n".join(path.read_text() for path in package.glob("*.py")))
    assert "plateaulens" not in sources
