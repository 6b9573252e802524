"""Documents to render, and the conversions that the tests look into."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from qmdrender.pandoc import convert

Write = Callable[[str], Path]
Convert = Callable[[str, str], str]

DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><circle cx="5" cy="5" r="5"/></svg>'

NUMBERED = """
# First {#sec-first}

See @fig-b, [-@fig-b], [Fig. @fig-b], [@tbl-a; @eq-a], @sec-second, @fig-parts-2 and @sec-none.

![A *dot*.](dot.svg){#fig-a width=40% fig-alt="A \\"black\\" <dot>"}

::: {#fig-b}
![](dot.svg)

The second.
:::

## Second {#sec-second}

| a | b |
|---|--:|
| x | 1 |

: By hand. {#tbl-a}

::: {#tbl-b}
| c |
|---|
| 2 |

In a block.
:::

Text
$$ x = 1 $$ {#eq-a}
more text, then
$$ y = 2 $$ {#eq-b}

::: {#fig-parts layout-ncol=2}
![left](dot.svg){#fig-left}

::: {#fig-parts-2}
![](dot.svg)

right
:::

Two parts.
:::

# Not counted {#sec-none .unnumbered}

### Deep

# Last
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text, dedented, as `article.qmd` in a folder of its own."""

    def write_document(text: str) -> Path:
        path = tmp_path / "article.qmd"
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write_document


def convert_in(folder: Path) -> Convert:
    """Conversion of Markdown with numbered sections in `folder`, without running anything."""

    def convert_markdown(markdown: str, to: str) -> str:
        options = ["--metadata=number-sections=true", "--metadata=title=Title", "--mathml", "--embed-resources"]
        text = textwrap.dedent(markdown)
        return convert(text, to, folder=folder, resources=[folder], cited=False, options=options)

    return convert_markdown


@pytest.fixture
def converted(tmp_path: Path) -> Convert:
    """Convert Markdown to a format, beside a picture `dot.svg`: (markdown, format) -> document."""
    (tmp_path / "dot.svg").write_text(DOT)
    return convert_in(tmp_path)


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The article of `NUMBERED` by format, as pandoc makes it."""
    folder = tmp_path_factory.mktemp("numbered")
    (folder / "dot.svg").write_text(DOT)
    return {to: convert_in(folder)(NUMBERED, to) for to in ("html", "typst")}
