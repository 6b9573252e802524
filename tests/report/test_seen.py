"""The whole report as a person sees it: the page in a browser, wide and narrow, and the text of the PDF."""

import os
import re
import sys
from html import unescape
from pathlib import Path

import pytest
import xarray as xr
from tests.seeing import DESKTOP, NARROW, look_at, text_of

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
def test_the_page_is_seen_whole(made: list[Path], tmp_path: Path, width: int) -> None:
    seen = look_at(made[0], tmp_path, width)
    assert seen["needed"] <= seen["width"] <= width
    assert len(seen["pictures"]) > 5
    assert all(own > 0 and right <= seen["width"] for own, right in seen["pictures"])
    assert seen["astray"] == []
    assert not re.search(r"\?@|\[@|Traceback", seen["text"])


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
