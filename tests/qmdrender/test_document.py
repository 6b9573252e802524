from collections.abc import Callable
from pathlib import Path

import pytest

from qmdrender.document import Cell, Inline, Prose, read_document
from qmdrender.errors import RenderError

Write = Callable[[str], Path]

DOCUMENT = """
---
title: T
execute:
  echo: false
---
Before `{python} 1 + 1` after,
and ``{python} not this`` one.

```{python}
#| label: fig-x
#| fig-cap: "A: caption"
#| echo: true

x = 1
```

````markdown
```{python}
shown()
```
`{python} shown`
````

```{python}
y = 2
```
"""


def test_prose_expressions_and_cells_come_in_order_with_their_lines(write: Write) -> None:
    document = read_document(write(DOCUMENT))
    kinds = [type(part) for part in document.parts if not (isinstance(part, Prose) and not part.text.strip())]
    assert kinds == [Prose, Inline, Prose, Cell, Prose, Cell]

    inline = next(part for part in document.parts if isinstance(part, Inline))
    assert (inline.line, inline.code) == (6, "1 + 1")

    first, second = document.cells
    assert (first.number, first.line, first.source_line, first.source) == (1, 9, 13, "\nx = 1")
    assert (first.label, first.kind, first.name) == ("fig-x", "fig", "cell fig-x")
    assert (second.number, second.line, second.name, second.source) == (2, 24, "cell 2", "y = 2")


def test_own_options_win_over_the_defaults(write: Write) -> None:
    first, second = read_document(write(DOCUMENT)).cells
    assert first.options["echo"] is True
    assert second.options["echo"] is False


def test_fenced_blocks_are_left_alone(write: Write) -> None:
    parts = read_document(write(DOCUMENT)).parts
    block = next(part.text for part in parts if isinstance(part, Prose) and "shown()" in part.text)
    assert block.startswith("````markdown\n")
    assert block.endswith("`{python} shown`\n````\n")


def test_nothing_but_cells_and_expressions_is_lost(write: Write) -> None:
    text = "# A\n\ntext\n\n``` {.r}\nx\n```\n- item\n"
    assert "".join(part.text for part in read_document(write(text)).parts if isinstance(part, Prose)) == text


def test_an_expression_may_run_over_a_line(write: Write) -> None:
    document = read_document(write("a\nb `{python} 1 +\n2` c\n"))
    assert [(p.line, p.code) for p in document.parts if isinstance(p, Inline)] == [(2, "1 + 2")]


@pytest.mark.parametrize(("tags", "expected"), [("parameters", ["parameters"]), ("[a, b]", ["a", "b"])])
def test_tags(write: Write, tags: str, expected: list[str]) -> None:
    (cell,) = read_document(write(f"```{{python}}\n#| tags: {tags}\n```\n")).cells
    assert cell.tags == expected


def test_cells_run_in_the_folder_that_the_project_asks_for(tmp_path: Path) -> None:
    article = tmp_path / "sub" / "a.qmd"
    article.parent.mkdir()
    article.write_text("text\n")
    assert read_document(article).working_folder == article.parent
    (tmp_path / "_quarto.yml").write_text("project:\n  execute-dir: project\n")
    assert read_document(article).working_folder == tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text\n\n{{< pagebreak >}}\n", r"^article\.qmd:3: shortcodes"),
        ("```{mermaid}\n```\n", r"^article\.qmd:1: only \{python\} cells can be run here, not \{mermaid\}"),
        ("```{python, echo=False}\n```\n", r"^article\.qmd:1: only \{python\} cells"),
        ("1. a\n\n    ```{python}\n    ```\n", r"^article\.qmd:3: a cell inside a list"),
        ("```{python}\nx\n", r"^article\.qmd:1: this fenced block is never closed"),
        ("```{python}\n#| fig-captoin: x\n```\n", r"^article\.qmd:1: cell option 'fig-captoin' is not known"),
        ("```{python}\n#| label: fig-x\n```\n", r"^article\.qmd:1: cell fig-x .* needs a fig-cap"),
        ("```{python}\n#| label: a b\n```\n", r"^article\.qmd:1: label 'a b' must be"),
        ("```{python}\n#| label: [\n```\n", r"^article\.qmd:1, cell options: not valid YAML"),
        ("```{python}\n#| label: a\n```\n```{python}\n#| label: a\n```\n", r"^article\.qmd:4: .* of line 1$"),
        ("---\n- a\n---\n", r"^article\.qmd, front matter: expected `key: value` lines"),
    ],
)
def test_what_would_not_come_out_as_with_quarto_is_refused(write: Write, text: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        read_document(write(text))


def test_a_missing_document_is_named(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"there is no document .*nowhere\.qmd"):
        read_document(tmp_path / "nowhere.qmd")
