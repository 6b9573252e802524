"""The whole report as a person sees it: the page in a browser, wide and narrow, and the text of the PDF."""

import os
import re
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.seeing import (
    DESKTOP,
    HEIGHT,
    LOOK,
    NARROW,
    TELEPHONE,
    WIDE,
    described,
    embedded_fonts,
    filled,
    look_at,
    opened,
    pages_of,
    text_of,
)

from plateaulens.report.build import build
from plateaulens.summary.analyze import write_summary

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def made(summary: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The page and the PDF of one summary, by the built-in renderer."""
    folder = tmp_path_factory.mktemp("seen")
    write_summary(summary, folder / "summary.zarr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the kernel has to import what this process imports
        return build(folder / "summary.zarr", folder / "out", renderer="builtin", data=True)


@pytest.mark.parametrize("width", [DESKTOP, NARROW])
def test_the_page_is_seen_whole(made: list[Path], width: int) -> None:
    seen = look_at(made[0], width)
    assert seen["needed"] <= seen["width"] <= width
    assert len(seen["pictures"]) > 5
    assert all(own > 0 and right <= seen["width"] for own, right in seen["pictures"])
    assert seen["astray"] == []
    assert not re.search(r"\?@|\[@|Traceback", seen["text"])


WIDER = """
() => [...document.querySelectorAll("main *")].filter((each) => {
  const own = each.getBoundingClientRect();
  if (!own.width || own.right <= document.documentElement.clientWidth + 1) return false;
  for (let around = each.parentElement; around; around = around.parentElement) {
    const scrolls = ["auto", "scroll"].includes(getComputedStyle(around).overflowX);
    if (scrolls && around.tabIndex === 0) return false;
  }
  return true;
}).map((each) => each.outerHTML.slice(0, 100))
"""
"""What reaches beyond the page and cannot be scrolled to with the keyboard."""


@pytest.mark.parametrize("width", [WIDE, TELEPHONE])
def test_nothing_reaches_beyond_the_page_but_what_scrolls(made: list[Path], width: int) -> None:
    """With all parts open."""
    with opened(made[0], width) as found:
        found.unfold()
        seen = found.page.evaluate(LOOK)
        beyond = found.page.evaluate(WIDER)
    assert seen["needed"] <= seen["width"] == width
    assert beyond == []
    assert len(seen["pictures"]) > 5
    assert all(own > 0 and right <= width for own, right in seen["pictures"])


HIDDEN = """
() => [...document.querySelectorAll(".table-scroll")].map((each) => [
  each.closest("figure")?.id, each.scrollWidth - each.clientWidth, each.tabIndex,
  getComputedStyle(each).overflowX, getComputedStyle(each).backgroundImage.split("linear-gradient").length - 1,
])
"""
"""Of each table how much has to be scrolled to, and what tells that there is more."""


@pytest.mark.parametrize("width", [1152, 1200, WIDE])
def test_no_table_is_cut_off_on_a_desktop(made: list[Path], width: int) -> None:
    with opened(made[0], width) as found:
        found.unfold()
        tables = found.page.evaluate(HIDDEN)
    assert len(tables) > 20
    assert {name: more for name, more, *_ in tables if more > 0} == {}


def test_on_a_telephone_a_table_that_is_cut_off_shows_how_to_scroll(made: list[Path]) -> None:
    with opened(made[0], TELEPHONE) as found:
        found.unfold()
        cut = [rest for _, more, *rest in found.page.evaluate(HIDDEN) if more > 0]
    assert len(cut) > 5
    assert all(each == [0, "auto", 4] for each in cut), cut


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_asks_for_nothing_and_complains_of_nothing(made: list[Path], dark: bool) -> None:
    with opened(made[0], DESKTOP, dark=dark) as found:
        found.unfold()
        found.page.wait_for_timeout(200)
        assert found.complaints == []
        assert [url for url in found.asked if not url.startswith(("data:", "blob:"))] == []


FIRST_SCREEN = """
() => {
  const bottom = (each) => each.getBoundingClientRect().bottom;
  const finding = document.getElementById("finding");
  return {
    headline: bottom(finding.querySelector("h2")), picture: bottom(finding.querySelector("figure img")),
    caption: bottom(finding.querySelector("figcaption")), whole: bottom(finding),
    contents: document.querySelector("#toc a").checkVisibility({ contentVisibilityAuto: true }),
  };
}
"""


@pytest.mark.parametrize("width", [1200, WIDE])
def test_the_first_screen_holds_the_finding_with_its_figure_and_facts(made: list[Path], width: int) -> None:
    with opened(made[0], width) as found:
        ends = found.page.evaluate(FIRST_SCREEN)
        assert 0 < ends["headline"] < ends["picture"] < ends["caption"] < ends["whole"] <= HEIGHT
        assert ends["contents"]
        assert "All numbers" not in found.page.locator("#finding").inner_text()


def test_on_a_telephone_the_contents_are_folded_and_the_text_begins_at_once(made: list[Path]) -> None:
    with opened(made[0], TELEPHONE) as found:
        ends = found.page.evaluate(FIRST_SCREEN)
        assert not ends["contents"]
        assert 0 < ends["headline"] < HEIGHT / 2
        found.page.locator("#toc summary").click()
        assert found.page.evaluate(FIRST_SCREEN)["contents"]


SHADOWS = """
() => {
  const box = document.querySelector("#fig-finding .picture-scroll");
  return [box.scrollWidth - box.clientWidth,
    ...["::before", "::after"].map((side) => Number(getComputedStyle(box, side).opacity))];
}
"""


def test_on_a_telephone_a_picture_grows_where_it_is_tapped(made: list[Path]) -> None:
    """And a shadow tells on which side it goes on."""
    with opened(made[0], TELEPHONE) as found:
        picture, wide = found.page.locator("#fig-finding img"), "(each) => each.getBoundingClientRect().width"
        whole = picture.evaluate(wide)
        assert whole <= TELEPHONE
        assert found.page.evaluate(SHADOWS)[0] == 0
        picture.click()
        assert picture.evaluate(wide) >= 560
        more, left, right = found.page.evaluate(SHADOWS)
        assert more > 100
        assert (left, right) == (0, 1)
        found.page.evaluate("() => { document.querySelector('#fig-finding .picture-scroll').scrollLeft = 10000; }")
        found.page.wait_for_timeout(100)
        assert found.page.evaluate(SHADOWS) == [more, 1, 0]
        seen = found.page.evaluate(LOOK)
        assert seen["needed"] <= seen["width"] == TELEPHONE
        found.page.locator("h1").click()
        assert picture.evaluate(wide) == whole


def test_on_a_telephone_a_table_of_words_fits(made: list[Path]) -> None:
    with opened(made[0], TELEPHONE) as found:
        box = found.page.locator("#tbl-types .table-scroll")
        assert box.evaluate("(each) => each.scrollWidth <= each.clientWidth")


NAMES_OF_ROWS = """
() => [...document.querySelectorAll("main .table-scroll")].filter((each) =>
  each.scrollWidth > each.clientWidth + 100 && each.querySelector("th:nth-child(4)") && each.checkVisibility()
).map((each) => {
  each.scrollLeft = 100;
  const cells = [...each.querySelectorAll("tbody > tr > :first-child:not([colspan])")];
  const left = each.getBoundingClientRect().left;
  return [each.scrollLeft, Math.max(...cells.map((cell) => Math.abs(cell.getBoundingClientRect().left - left))),
    Math.max(...cells.map((cell) => cell.getBoundingClientRect().width / each.clientWidth))];
})
"""
"""How far each wide table is scrolled, how far the first cells of its rows are from its left edge, and their share."""


def test_on_a_telephone_names_of_rows_stay_where_a_table_is_scrolled(made: list[Path]) -> None:
    with opened(made[0], TELEPHONE) as found:
        tables = found.page.evaluate(NAMES_OF_ROWS)
        assert len(tables) > 2
        assert all(scrolled == 100 and off < 2 and share < 0.5 for scrolled, off, share in tables), tables


COLORS = """
() => {
  const of = (each, what) => getComputedStyle(each)[what];
  return {
    paper: of(document.body, "backgroundColor"), ink: of(document.body, "color"),
    pictures: [...document.querySelectorAll("main img")].map((each) => of(each, "backgroundColor")),
  };
}
"""


def brightness(color: str) -> float:
    """From 0 to 1, of a colour as a browser gives it."""
    return sum(float(each) for each in re.findall(r"[\d.]+", color)[:3]) / 3 / 255


def test_in_the_dark_pictures_keep_their_paper_and_print_keeps_its(made: list[Path]) -> None:
    with opened(made[0], DESKTOP, dark=True) as found:
        screen = found.page.evaluate(COLORS)
        found.page.emulate_media(media="print", color_scheme="dark")
        printed = found.page.evaluate(COLORS)
    assert brightness(screen["paper"]) < 0.15
    assert brightness(screen["ink"]) > 0.8
    assert len(screen["pictures"]) > 5
    assert {brightness(each) for each in screen["pictures"]} == {1.0}
    assert brightness(printed["paper"]) == 1.0
    assert brightness(printed["ink"]) < 0.2


@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (TELEPHONE, True)])
def test_axe_finds_nothing(made: list[Path], width: int, dark: bool) -> None:
    with opened(made[0], width, dark=dark) as found:
        found.unfold()
        assert found.violations() == []


def test_a_violation_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<html lang="en"><title>x</title><main><h1>x</h1><p style="color: #999">pale</p><img src="data:,">')
    with opened(page, DESKTOP) as found:
        named = {each.partition(":")[0] for each in found.violations()}
    assert named >= {"color-contrast", "image-alt"}


def test_the_page_prints_with_its_folded_parts(made: list[Path], tmp_path: Path) -> None:
    printed = tmp_path / "print.pdf"
    with opened(made[0], DESKTOP) as found:
        found.page.pdf(path=str(printed), prefer_css_page_size=True)
    page, text = made[0].read_text(encoding="utf-8"), text_of(printed)
    wanted = set(re.findall(r"\b(?:Figure|Table) \d+(?=: )", bare(page)))
    assert wanted == set(re.findall(r"\b(?:Figure|Table) \d+(?=: )", text))
    assert "data (CSV)" not in text
    assert all(clear_margins(each, 0.6) for each in pages_of(printed, tmp_path))


def test_the_pdf_can_be_read_by_all(made: list[Path], tmp_path: Path) -> None:
    """PDF/UA-1 with the page's figures, each described, its fonts inside, and nothing beyond the margins of a page."""
    page, pdf = made[0].read_text(encoding="utf-8"), made[1]
    assert re.search(r"Tagged: +yes", described(pdf, ""))
    assert "<pdfuaid:part>1</pdfuaid:part>" in described(pdf, "-meta")
    structure = described(pdf)
    assert len(re.findall(r"^ *Figure", structure, re.MULTILINE)) == len(re.findall(r"<img\b", page)) > 5
    assert len(re.findall(r"^ *Formula", structure, re.MULTILINE)) >= len(re.findall(r"<math\b", page)) > 5
    fonts = embedded_fonts(pdf)
    assert len(fonts) > 3
    assert all(fonts.values()), fonts
    pages = pages_of(pdf, tmp_path)
    assert len(pages) > 5
    assert all(clear_margins(each, 2.2) for each in pages)
    assert all((each < 200).sum() > 100 for each in pages)


TABLES = """
() => {
  const own = document.querySelector("main").getBoundingClientRect();
  return [...document.querySelectorAll(".tbl-float")].map((each) => {
    const {left, right} = each.getBoundingClientRect();
    return [left - own.left, right - own.right];
  });
}
"""
"""How far each table reaches beyond the text on either side."""


def test_wide_tables_take_the_left_margin_where_there_is_one(made: list[Path]) -> None:
    for width in (1152, WIDE):
        with opened(made[0], width) as found:
            found.unfold()
            left, right = np.array(found.page.evaluate(TABLES)).T
        assert np.abs(right).max() <= 1, "beside the contents"
        assert left.max() <= 1, "none is narrower than the text"
        assert (left.min() < -100) == (width == WIDE)


def test_pages_of_the_pdf_are_full_but_at_its_end(made: list[Path], tmp_path: Path) -> None:
    """Tables go on on the next page, and pictures leave their place to text."""
    looked = [filled(page) for page in pages_of(made[1], tmp_path)]
    assert len(looked) > 10
    assert [(number, each) for number, each in enumerate(looked[:-1], start=1) if each < 0.6] == []


def test_the_title_stands_above_the_first_picture_of_the_pdf(made: list[Path]) -> None:
    title, picture = (text_of(made[1]).index(text) for text in ("Do synthetic activations", "Figure 1:"))
    assert title < picture


def clear_margins(page: np.ndarray, centimetres: float) -> bool:
    """Whether nothing stands within so much of the left and the right edge of a page of 50 points to the inch."""
    edge = int(centimetres / 2.54 * 50)
    return bool((page[:, :edge] == 255).all() and (page[:, -edge:] == 255).all())


def test_what_the_page_links_to_lies_beside_it(made: list[Path]) -> None:
    page = made[0].read_text(encoding="utf-8")
    links = re.findall(r'href="((?!#|https?:|data:)[^"]+)"', page)
    assert len(links) == 3 + 2 * len(re.findall(r"<img\b", page)) > 20
    assert [link for link in links if not (made[0].parent / link).exists()] == []
    assert "data (CSV)" not in text_of(made[1])


def test_the_pdf_has_the_sections_figures_and_tables_of_the_page(made: list[Path]) -> None:
    page, text = made[0].read_text(encoding="utf-8"), text_of(made[1])
    headings = re.findall(r"<h2\b[^>]*>(.*?)</h2>", page, re.DOTALL)
    assert len(headings) > 5
    assert all(bare(heading) in text for heading in headings)
    captions = [set(re.findall(r"\b(?:Figure|Table) \d+(?=: )", each)) for each in (bare(page), text)]
    assert captions[0] == captions[1]
    assert len(captions[0]) > 20


def bare(page: str) -> str:
    """The text of HTML: no tags, one space between words."""
    return re.sub(
        r"\s+", " ", unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", "", page, flags=re.DOTALL))
    ).strip()
