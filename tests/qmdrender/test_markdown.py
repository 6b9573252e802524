import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qmdrender.document import Cell
from qmdrender.errors import RenderError
from qmdrender.execute import Executed
from qmdrender.markdown import MarkdownWriter

PNG = b"\x89PNG"
SVG = "<svg><metadata><date>today</date></metadata><g/></svg>"


def shown(
    outputs: list[dict[str, Any]],
    options: Mapping[str, Any],
    folder: Path,
    to: str = "html",
    settings: Mapping[str, Any] | None = None,
    source: str = "x = 1",
) -> str:
    cell = Cell(1, 1, 2, source, options)
    return MarkdownWriter(to, settings or {}, folder).document([Executed(cell, tuple(outputs))]).strip()


def figure(width: int = 200) -> dict[str, Any]:
    data = {"image/png": base64.b64encode(PNG).decode(), "image/svg+xml": SVG, "text/plain": "<Figure>"}
    return {"output_type": "display_data", "data": data, "metadata": {"image/png": {"width": width}}}


def markdown(text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/markdown": text, "text/plain": "x"}, "metadata": {}}


def stream(name: str, text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def test_each_format_takes_its_own_form_of_a_figure(tmp_path: Path) -> None:
    assert shown([figure()], {"echo": False}, tmp_path) == '![](cell-1-1.png){alt="" width=200px}'
    assert (tmp_path / "cell-1-1.png").read_bytes() == PNG
    assert shown([figure()], {"echo": False}, tmp_path, "typst") == '![](cell-1-1.svg){alt=""}'
    assert (tmp_path / "cell-1-1.svg").read_text() == "<svg><g/></svg>"
    assert "cell-1-1.svg" in shown([figure()], {"echo": False}, tmp_path, settings={"fig-format": "svg"})


def test_a_labelled_figure_becomes_a_block_with_its_caption(tmp_path: Path) -> None:
    options = {"echo": False, "label": "fig-a", "fig-cap": "Two\nlines.", "fig-alt": 'A "dot" \\ {x}'}
    assert shown([figure()], options, tmp_path).splitlines() == [
        "::: {#fig-a .fig-float}",
        "",
        '![](cell-1-1.png){alt="A \\"dot\\" \\\\ {x}" width=200px}',
        "",
        "Two lines.",
        "",
        ":::",
    ]


def test_subfigures_have_captions_and_labels_of_their_own(tmp_path: Path) -> None:
    options = {"echo": False, "label": "fig-a", "fig-cap": "All.", "fig-subcap": ["l", "r"], "layout-ncol": 2}
    text = shown([figure(), figure()], {**options, "fig-alt": ["left"]}, tmp_path)
    assert "::: {#fig-a .fig-float layout-ncol=2}" in text
    assert '::: {#fig-a-1 .subfloat}\n![](cell-1-1.png){alt="left" width=200px}\n\nl\n:::' in text
    assert '::: {#fig-a-2 .subfloat}\n![](cell-1-2.png){alt="" width=200px}\n\nr\n:::' in text
    with pytest.raises(RenderError, match=r"^cell fig-a has 2 fig-subcap entries for 1 outputs$"):
        shown([figure()], options, tmp_path)


def test_a_caption_without_a_label_is_not_numbered(tmp_path: Path) -> None:
    text = shown([markdown("|a|\n|-|\n")], {"echo": False, "tbl-cap": "C."}, tmp_path)
    assert text.splitlines()[0] == "::: {.tbl-float}"


def test_code_is_shown_with_a_fence_that_it_cannot_end(tmp_path: Path) -> None:
    assert shown([], {}, tmp_path, source="\na = 1\n") == "``` {.python}\na = 1\n```"
    assert shown([], {}, tmp_path, source='"```"') == '```` {.python}\n"```"\n````'
    assert shown([], {"echo": False}, tmp_path) == ""


@pytest.mark.parametrize(
    ("options", "settings", "expected"),
    [
        ({}, {"code-fold": True}, '::: {.code-fold state=closed summary="Code"}'),
        ({"code-fold": "show", "code-summary": "See"}, {}, '::: {.code-fold state=open summary="See"}'),
        ({"code-fold": False}, {"code-fold": True}, "``` {.python}"),
    ],
)
def test_code_folds_as_the_cell_or_else_the_format_says(
    tmp_path: Path, options: dict[str, object], settings: dict[str, object], expected: str
) -> None:
    assert shown([], options, tmp_path, settings=settings).splitlines()[0] == expected


def test_streams_warnings_and_tracebacks(tmp_path: Path) -> None:
    outputs = [
        stream("stdout", "a\n"),
        stream("stderr", "/a/ipykernel_12/34.py:2: UserWarning: b\n"),
        {"output_type": "error", "traceback": ["\x1b[31mE\x1b[0m", "F"]},
    ]
    text = shown(outputs, {"echo": False}, tmp_path)
    assert text == (
        "``` {.output .stdout}\na\n```\n\n"
        "``` {.output .stderr}\ncell:2: UserWarning: b\n```\n\n"
        "``` {.output .error}\nE\nF\n```"
    )
    assert "UserWarning" not in shown(outputs, {"echo": False, "warning": False}, tmp_path)


def test_output_can_be_hidden_or_taken_as_markdown(tmp_path: Path) -> None:
    outputs = [stream("stdout", "# Heading\n")]
    assert shown(outputs, {"echo": False, "output": "asis"}, tmp_path) == "# Heading"
    assert shown(outputs, {"echo": False, "output": False}, tmp_path) == ""
    assert shown(outputs, {"include": False}, tmp_path) == ""


def test_markdown_comes_before_every_other_form(tmp_path: Path) -> None:
    both = figure()
    both["data"]["text/markdown"] = "**m**"
    assert shown([both], {"echo": False}, tmp_path) == "**m**"


def test_html_is_refused_with_the_remedy(tmp_path: Path) -> None:
    frame = {"output_type": "execute_result", "data": {"text/html": "<table>", "text/plain": "x"}, "metadata": {}}
    with pytest.raises(RenderError, match=r"^cell 1 shows HTML.*Markdown\(frame\.to_markdown\(\)\)"):
        shown([frame], {}, tmp_path)


def test_a_label_that_shows_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"^cell fig-a is numbered by its label, but shows nothing$"):
        shown([], {"label": "fig-a", "fig-cap": "C."}, tmp_path)
