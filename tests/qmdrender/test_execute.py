import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from qmdrender import kernel
from qmdrender.document import Inline, read_document
from qmdrender.errors import RenderError
from qmdrender.execute import Executed, _inline_text, execute

Write = Callable[[str], Path]

DOCUMENT = """\
---
fig-width: 3
fig-height: 2
---
```{python}
import os, sys, warnings
from IPython.display import Markdown
```

```{python}
#| tags: [parameters]
seed = 3
name: str = "default"
```

Values: `{python} seed + 1`, `{python} name`, `{python} "a*b_$"`, `{python} Markdown("**m**")`, `{python} 1.50`.

```{python}
print(sys.executable)
print(os.getcwd(), end="")
warnings.warn("careful")
```

```{python}
#| error: true
1 / 0
```

```{python}
#| eval: false
raise SystemExit
```

```{python}
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
```

Last: `{python} seed`.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("article")


@pytest.fixture(scope="module")
def parts(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str | Executed]:
    """`DOCUMENT` run once, with other values for its parameters, where a foreign kernel goes by the usual name."""
    (folder / "article.qmd").write_text(DOCUMENT)
    kernels = tmp_path_factory.mktemp("jupyter") / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text('{"argv": ["false"], "display_name": "Foreign", "language": "python"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(kernels.parents[1]))
        return execute(read_document(folder / "article.qmd"), {"seed": 7, "name": "it's"})


@pytest.fixture(scope="module")
def cells(parts: list[str | Executed]) -> list[Executed]:
    return [part for part in parts if isinstance(part, Executed)]


def test_expressions_become_their_value_in_document_order(parts: list[str | Executed]) -> None:
    prose = "".join(part for part in parts if isinstance(part, str))
    assert r"Values: 8, it\'s, a\*b\_\$, **m**, 1.5." in prose
    assert "Last: 7." in prose


def test_parts_keep_their_order(parts: list[str | Executed]) -> None:
    shape = "".join("c" if isinstance(part, Executed) else "t" for part in parts)
    assert re.sub("t+", "t", shape) == "tctctctctctct"


def test_cells_run_in_this_interpreter_and_in_the_documents_folder(cells: list[Executed], folder: Path) -> None:
    assert cells[2].outputs[0]["text"] == f"{sys.executable}\n{folder}"


def test_warnings_of_the_document_are_its_output(cells: list[Executed]) -> None:
    assert [output["name"] for output in cells[2].outputs] == ["stdout", "stderr"]


def test_an_error_that_is_expected_is_an_output(cells: list[Executed]) -> None:
    assert cells[3].outputs[0]["ename"] == "ZeroDivisionError"


def test_a_cell_that_is_not_evaluated_puts_nothing_out(cells: list[Executed]) -> None:
    assert cells[4].outputs == ()


def test_a_figure_comes_as_png_and_as_svg_of_the_asked_size(cells: list[Executed]) -> None:
    data = cells[5].outputs[-1]["data"]
    assert {"image/png", "image/svg+xml"} <= data.keys()
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', data["image/svg+xml"])
    assert size is not None
    assert float(size[1]) == pytest.approx(3 * 72, abs=30)  # saved without its empty margins
    assert float(size[2]) == pytest.approx(2 * 72, abs=20)


@pytest.mark.parametrize(
    ("document", "parameters", "message"),
    [
        (DOCUMENT, {"sede": 1}, r"^article\.qmd has no parameter 'sede'; it has seed, name$"),
        ("text", {"seed": 1}, r"^article\.qmd takes no parameters"),
        ("```{python}\n#| tags: parameters\nx =\n```\n", {"x": 1}, r"^article\.qmd:1: .* not valid Python"),
    ],
)
def test_parameters_that_no_cell_takes_are_refused(
    write: Write, document: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(RenderError, match=message):
        execute(read_document(write(document)), parameters)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            """
            ```{python}
            def f(x):
                return 1 / x
            ```

            ```{python}
            #| label: broken
            a = 1
            f(a - 1)
            ```
            """,
            r"^article\.qmd:9: cell broken failed: ZeroDivisionError: division by zero \(in `f\(a - 1\)`\)$",
        ),
        (
            "text\n\n```{python}\nx = (1,\n```\n",
            r"^article\.qmd:4: cell 1 failed: SyntaxError: .*\(in `x = \(1,`\)$",
        ),
        ("one\ntwo `{python} nothing`\n", r"^article\.qmd:2: inline `nothing` failed: NameError: .*\(in `nothing`\)$"),
        ("```{python}\nimport os\nos._exit(3)\n```\n", r"^article\.qmd:2: cell 1: Python died in it$"),
    ],
)
def test_what_fails_is_named_with_its_line_and_the_exception(write: Write, document: str, message: str) -> None:
    with pytest.raises(RenderError, match=message) as caught:
        execute(read_document(write(textwrap.dedent(document))), {})
    assert "\n" not in str(caught.value)


def test_a_failure_is_one_line_and_its_traceback_goes_to_the_log(write: Write) -> None:
    with pytest.raises(RenderError, match=r"cell 1 failed: ValueError: several lines \(in") as caught:
        execute(read_document(write("```{python}\nraise ValueError('several\\nlines')\n```\n")), {})
    assert "Traceback (most recent call last)" in caught.value.details
    assert "\x1b" not in caught.value.details


def test_an_expression_that_shows_nothing_is_refused(write: Write) -> None:
    document = read_document(write("one `{python} None`\n"))
    with pytest.raises(RenderError, match=r"^article\.qmd:1: inline `None` shows nothing$"):
        _inline_text(document, Inline(1, "None"), [])


def test_a_document_without_code_starts_no_kernel(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "run", None)
    assert execute(read_document(write("only text\n")), {}) == ["only text\n"]
