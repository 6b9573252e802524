"""Tests of plateaulens.report.text."""

import json
import re
import string
from typing import Any

import pandas as pd
import pypandoc
import pytest
import typst
from hypothesis import given
from hypothesis import strategies as st

from plateaulens.report.text import escape, estimate, interval, listing, markdown, number, percent

NASTY = [
    "`code` ```fence```",
    "$x^2$ and $$y$$",
    "<b>bold</b><script>alert(1)</script>",
    "a | b | c",
    "{{< video https://example.org >}} {{% x %}}",
    "::: {.callout-note} :::",
    "`{python} 1 + 1`",
    "[@cite; -@other] @fig-one [link](https://example.org) ![image](x.png) [^1]",
    "# heading",
    "- item",
    "1. item",
    "(a) item",
    "    indented",
    "--- *** ___",
    "\\alpha \\\\ \\begin{x}",
    "*a* **b** _c_ ~d~ ^e^ ~~f~~ ==g==",
    "\"quoted\" 'single' -- dash --- long ... dots",
    "&amp; &#65; &lt;",
    "#let x = 1; #x @ref <label> = heading",
    "trailing  ",
    "tab\tand\nline\r\nbreak",
    "\x00\x1b[31m\u202egnp.exe\u200b\ufeff",
    "日本語 čeština 🙂 e\u0301",
    "",
]


def test_numbers_have_a_proper_minus_sign() -> None:
    assert number(-8.04) == "\u22128.0"
    assert "-" not in number(-12345.678, 3)
    assert number(1234567, 0) == "1,234,567"


@pytest.mark.parametrize("value", [-0.0, -0.04, 0.04])
def test_what_rounds_to_zero_has_no_sign(value: float) -> None:
    assert number(value) == "0.0"


def test_what_is_not_finite() -> None:
    assert number(float("nan")) == "\u2014"
    assert number(float("inf")) == "\u221e"
    assert number(float("-inf")) == "\u2212\u221e"
    assert percent(float("nan")) == "\u2014"


def test_intervals() -> None:
    assert interval([-10.1, -5.9]) == "\u221210.1 to \u22125.9"
    assert estimate(0.123, [0.1, 0.2], 2) == "0.12 [0.10,\u00a00.20]"
    assert estimate(0.123, [float("nan"), 0.2], 2) == "0.12"


def test_a_bound_that_is_not_zero_is_not_written_as_zero() -> None:
    assert interval([0.004, 0.2], 2) == "0.004 to 0.20"
    assert interval([-0.04, 3.0], 1) == "\u22120.04 to 3.0"
    assert estimate(0.1, [0.0004, 0.2], 2) == "0.10 [0.0004,\u00a00.20]"
    assert interval([0.0, 1e-12], 2) == "0.00 to 0.00"


def test_listing() -> None:
    assert listing(["a", "b"]) == "a and b"
    assert listing(["a", "b", "c"]) == "a, b and c"


def visible(text: str) -> str:
    """What `escape` is to show of a text: no-break spaces as spaces, and its signs for what cannot be seen."""
    signs = {"\r\n": "↵", "\n": "↵", "\t": "⇥", "\xa0": " "}
    for hidden, sign in signs.items():
        text = text.replace(hidden, sign)
    return re.sub(r"[\x00-\x1f\x7f\u200b\u202e\ufeff]", lambda match: f"[U+{ord(match[0]):04X}]", text)


def plain(element: Any) -> str:
    """The text of a pandoc element, which must be nothing but strings and spaces."""
    if isinstance(element, list):
        return "".join(map(plain, element))
    assert element["t"] in {"Str", "Space", "SoftBreak"}, element
    return element["c"] if element["t"] == "Str" else " "


def test_nasty_text_comes_through_pandoc_as_it_is() -> None:
    source = "\n\n".join(f"x{escape(text)}" for text in NASTY)
    blocks = json.loads(pypandoc.convert_text(source, "json", "markdown+autolink_bare_uris+emoji+mark"))["blocks"]
    assert [block["t"] for block in blocks] == ["Para"] * len(NASTY)
    for block, text in zip(blocks, NASTY, strict=True):
        assert plain(block["c"]).replace("\xa0", " ").rstrip() == f"x{visible(text)}".rstrip()


def test_nasty_text_stays_in_its_table_cell() -> None:
    table = pd.DataFrame({"prompt": list(range(len(NASTY))), "text": [escape(text) for text in NASTY]})
    (block,) = json.loads(pypandoc.convert_text(markdown(table), "json", "markdown"))["blocks"]
    assert block["t"] == "Table"
    rows = block["c"][4][0][3]
    assert len(rows) == len(NASTY)
    for row, text in zip(rows, NASTY, strict=True):
        cells = [cell[4] for cell in row[1]]
        assert len(cells) == 2
        shown = plain(cells[1][0]["c"]) if cells[1] else ""
        assert shown.replace("\xa0", " ").strip() == visible(text).strip()


def test_nasty_text_compiles_as_typst() -> None:
    source = "\n\n".join(escape(text) for text in NASTY)
    document = pypandoc.convert_text(source, "typst", "markdown", extra_args=["--standalone"])
    assert typst.compile(document.encode()).startswith(b"%PDF")


@given(st.text())
def test_escaping_loses_nothing_and_leaves_no_markup(text: str) -> None:
    escaped = escape(text)
    assert not re.search(rf"(?<!\\)(?:\\\\)*[{re.escape(string.punctuation.replace(chr(92), ''))}]", escaped)
    assert not re.search(r"[\n\r\t]", escaped)
    assert "  " not in escaped
    letters = [character for character in text if character.isalnum()]
    assert [c for c in re.sub(r"\\\[U\\\+[0-9A-F]+\\\]", "", escaped) if c.isalnum()] == letters


def test_columns_of_numbers_are_set_to_the_right() -> None:
    table = pd.DataFrame({"type": ["a", "b"], "mean": ["1.0 [0.5, 1.5]", "\u22122.0"], "none": ["\u2014", "3"]})
    assert markdown(table).splitlines()[1] == "|:-------|---------------:|-------:|"


def test_numbers_are_shown_as_they_were_formatted() -> None:
    assert "| 1.50 |" in re.sub(" +", " ", markdown(pd.DataFrame({"x": ["1.50"]})))
