"""The Lua filters, through pandoc: no cell runs here."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qmdrender.errors import RenderError

Convert = Callable[[str, str], str]


class Page(HTMLParser):
    """The text of an HTML page, and the attributes of its elements by tag."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source.partition("<body")[2])
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def typst_text(source: str) -> str:
    """The body of a typst document without commands, labels and line breaks: roughly what is read."""
    body = source[source.index("First\n<sec-first>") - 10 :]
    body = re.sub(r"#link\(<[^>]*>\)", "", body)
    body = body.replace("~", "\u00a0").replace("\\", "")
    return " ".join(re.sub(r"[\[\]]", "", body).split(" ")).replace("\n", " ")


REFERENCES = (
    "See Figure\u00a02, 2, Fig.\u00a02, Table\u00a01, Equation\u00a01, Section\u00a01.1, Figure\u00a03\u00a0(b) "
    "and Section\u00a0Not counted."
)


def test_references_read_the_same_in_both_formats(numbered: dict[str, str]) -> None:
    assert REFERENCES.replace("\u00a0", " ") in Page(numbered["html"]).text
    assert REFERENCES in typst_text(numbered["typst"])


@pytest.mark.parametrize(
    "caption",
    [
        "Figure 1: A dot.",
        "Figure 2: The second.",
        "Table 1: By hand.",
        "Table 2: In a block.",
        "(a) left",
        "(b) right",
        "Figure 3: Two parts.",
    ],
)
def test_captions_carry_their_numbers_in_both_formats(numbered: dict[str, str], caption: str) -> None:
    assert caption in Page(numbered["html"]).text
    typst = typst_text(numbered["typst"]).replace("\u00a0", " ")
    assert caption in re.sub(r"#(?:strong|emph)", "", typst)


def test_headings_are_numbered_and_the_title_is_the_only_first_level(numbered: dict[str, str]) -> None:
    page = Page(numbered["html"])
    assert len(page.attributes("h1")) == 1
    assert len(page.attributes("h2")) == 3
    typst = numbered["typst"]
    headings = re.findall(r"^=+ .*|#heading\(level: \d.*", typst, re.MULTILINE)
    assert headings == [
        "= 1\u2002First",
        "== 1.1\u2002Second",
        "#heading(level: 1, numbering: none)[Not counted]",
        "=== 1.1.1\u2002Deep",
        "= 2\u2002Last",
    ]


def test_headings_begin_at_the_same_level_whichever_the_document_begins_with(converted: Convert) -> None:
    shallow, deep = "# A {#sec-a}\n\n## B\n\n@sec-a", "## A {#sec-a}\n\n### B\n\n@sec-a"
    for to in ("html", "typst"):
        assert converted(shallow, to) == converted(deep, to)


def test_every_reference_leads_to_an_element_of_the_page(numbered: dict[str, str]) -> None:
    page = Page(numbered["html"])
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {attributes["href"] or "" for attributes in page.attributes("a") if attributes.get("class") == "crossref"}
    assert targets == {"#fig-b", "#tbl-a", "#eq-a", "#sec-second", "#fig-parts-2", "#sec-none"}
    assert {target.removeprefix("#") for target in targets} <= set(identifiers)


def test_images_have_alternative_texts(numbered: dict[str, str]) -> None:
    described = ['A "black" <dot>', "The second.", "left", "right"]
    assert [image["alt"] for image in Page(numbered["html"]).attributes("img")] == described
    typst = numbered["typst"]
    pictures = re.findall(r'image\([^)]*?alt: "((?:[^"\\]|\\.)*)"', typst)
    assert pictures == ['A \\"black\\" <dot>', "The second.", "left", "right"]
    assert re.findall(r'equation\(block: true, alt: "([^"]*)"', typst) == ["x = 1", "y = 2"]
    assert "width: 40%" in typst


def test_what_may_scroll_can_be_focused_and_has_a_name(numbered: dict[str, str]) -> None:
    page = Page(numbered["html"])
    named = {each["class"]: each["aria-label"] for each in page.attributes("div") if each.get("tabindex") == "0"}
    assert named["equation"] == "Equation 2"
    assert named["picture-scroll"] == "Figure\u00a02"
    assert named["table-scroll"] == "Table\u00a02: In a block."


def test_typst_finds_copies_of_the_images_beside_its_document(converted: Convert, tmp_path: Path) -> None:
    names = set(re.findall(r'image\("([^"]+)"', converted("![](dot.svg)", "typst")))
    assert len(names) == 1
    assert (tmp_path / names.pop()).read_text() == (tmp_path / "dot.svg").read_text()


def test_tables_scroll_below_a_caption_that_stays(numbered: dict[str, str]) -> None:
    page = numbered["html"]
    figure = page[page.index('<figure class="tbl-float" id="tbl-a">') :]
    order = ["<figcaption>", "By hand.", "</figcaption>", 'class="table-scroll"', "<table>", "</table>", "</figure>"]
    places = [figure.index(piece) for piece in order]
    assert places == sorted(places)
    assert 'tabindex="0" aria-label="Table 1: By hand."'.replace(" 1", "\u00a01") in page


def test_long_cells_do_not_fix_the_widths_of_columns(converted: Convert) -> None:
    table = f"| a | b |\n|---|---|\n| {'long ' * 40} | 1 |\n"
    assert "width" not in converted(table, "html").partition("<table")[2].partition("</table>")[0]
    assert "columns: 2," in converted(table, "typst")


def test_an_uncaptioned_label_is_refused(converted: Convert) -> None:
    with pytest.raises(RenderError, match=r"^fig-a needs a caption"):
        converted("::: {#fig-a}\n![](dot.svg)\n:::\n", "html")


@pytest.mark.parametrize("to", ["html", "typst"])
def test_all_unresolved_references_are_named(converted: Convert, to: str) -> None:
    with pytest.raises(RenderError, match=r"^nothing is labelled @fig-a, @sec-b \(unresolved cross reference\)$"):
        converted("See @fig-a, @sec-b and [-@fig-a].", to)


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        ("$$ x $$ {#eq-a}\n\n$$ y $$ {#eq-a}\n", r"^the label eq-a is used twice$"),
        ("# A {#sec-a}\n\n[@sec-a; @someone]\n", r"^@sec-a stands in one bracket with a citation"),
        ("[@someone]\n", r"^the citation @someone needs a bibliography"),
        ("::: {.callout-danger}\nx\n:::\n", r"^there is no callout of the kind danger$"),
        ("::: {.panel-tabset}\n## A\n:::\n", r"^tabsets"),
        ("![](https://example.org/a.png)\n", r"^the image https://example\.org/a\.png is on the network"),
        ("$\\nonsense{x}$\n", r"^Could not convert TeX math \\nonsense"),
    ],
)
@pytest.mark.parametrize("to", ["html", "typst"])
def test_what_cannot_be_rendered_is_refused(converted: Convert, markdown: str, message: str, to: str) -> None:
    with pytest.raises(RenderError, match=message) as caught:
        converted(markdown, to)
    assert "\n" not in str(caught.value)


def test_a_missing_image_is_named(converted: Convert) -> None:
    for to in ("html", "typst"):
        with pytest.raises(RenderError, match=r"no\.png"):
            converted("![](no.png)", to)


def test_callouts_take_their_title_from_an_attribute_a_heading_or_their_kind(converted: Convert) -> None:
    markdown = """
    ::: {.callout-note title="A & *b*"}
    one
    :::

    ::: {.callout-tip collapse="true"}
    ## Heading

    two
    :::

    ::: {.callout-warning}
    three
    :::

    # Real heading
    """
    page = Page(converted(markdown, "html"))
    assert page.text.endswith("A & b one Heading two Warning three 1 Real heading")
    assert [attributes["class"] for attributes in page.attributes("aside")] == [
        "callout callout-note",
        "callout callout-warning",
    ]
    assert page.attributes("details") == [{"class": "callout callout-tip"}]
    typst = converted(markdown, "typst")
    assert re.findall(r'#callout\("(\w+)", \[\s*(.*?)\s*\]\)', typst) == [
        ("note", "A & #emph[b]"),
        ("tip", "Heading"),
        ("warning", "Warning"),
    ]


def test_folded_code_is_folded_on_the_page_only(converted: Convert) -> None:
    markdown = '::: {.code-fold state=closed summary="Show <it>"}\n``` {.python}\nx = 1\n```\n:::\n'
    page = converted(markdown, "html")
    assert '<details class="code-fold"><summary>Show &lt;it&gt;</summary>' in page
    assert '<details class="code-fold" open>' in converted(markdown.replace("closed", "open"), "html")
    assert "details" not in converted(markdown, "typst").partition("```python")[2]


def test_images_side_by_side_need_no_caption(converted: Convert) -> None:
    markdown = "::: {layout-ncol=2}\n![](dot.svg){alt=one}\n\n![](dot.svg){alt=two}\n:::\n"
    assert "repeat(2, minmax(0, 1fr))" in converted(markdown, "html")
    assert "columns: (1fr,) * 2" in converted(markdown, "typst")


def test_the_page_loads_nothing_and_declares_its_language(converted: Convert) -> None:
    page = converted("---\nlang: de\n---\n![](dot.svg)\n$$ x $$\n", "html")
    assert '<html lang="de">' in page
    assert '<math display="block"' in page
    assert not re.search(r'(?:src|<link[^>]*href)="(?!data:)', page)
    assert "<script" not in page


PARTS = """
::: {.content-visible when-format="html"}
On the page.
:::

::: {.content-hidden when-format="html"}
In the PDF, [and here]{.content-visible unless-format="html"}.
:::
"""


def test_parts_for_one_format(converted: Convert) -> None:
    page, pdf = (converted(PARTS, to) for to in ("html", "typst"))
    assert "On the page." in page
    assert "In the PDF" not in page
    assert "In the PDF, and here." in " ".join(pdf.split())
    assert "On the page" not in pdf


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ("", "exactly one of when-format and unless-format"),
        ('when-format="html" unless-format="html"', "exactly one of"),
        ('when-format="docx"', "html or typst"),
        ('when-meta="x"', "needs Quarto itself"),
    ],
)
def test_other_conditions_are_refused(converted: Convert, attributes: str, said: str) -> None:
    with pytest.raises(RenderError, match=said):
        converted(f"[x]{{.content-visible {attributes}}}", "html")
