"""What a person sees: pages laid out by a headless Chromium without a network, and PDFs as their readers find them."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, DESKTOP, NARROW, TELEPHONE = 1600, 1400, 500, 400
"""Widths of a window in pixels."""
HEIGHT = 900
"""Of every window."""
A4, TOP, BOTTOM = 29.7, 2.4, 2.6
"""Height and margins of a page of a PDF by the built-in renderer, in centimetres."""
AXE = "84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc"
"""SHA-256 of the rules that pages are held to: those of axe-core 4.12.1."""
UNJUDGED = "obscured by another element|contains only non-text characters|too short to determine"
"""Why axe-core leaves the contrast of some words to others: cells that have to be scrolled to, lone signs and letters.
They look as the words beside them do."""

LOOK = """
() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  return {
    width: document.documentElement.clientWidth,
    needed: document.documentElement.scrollWidth,
    pictures: all("img").map((picture) => [picture.naturalWidth, picture.getBoundingClientRect().right]),
    astray: all('a[href^="#"]').map((link) => decodeURIComponent(link.hash.slice(1)))
      .filter((name) => name && !document.getElementById(name)),
    text: document.body.innerText,
  };
}
"""


class Seen(TypedDict):
    """A page as laid out."""

    width: int
    """Of the window, without its scroll bar."""
    needed: int
    """What the page would take without scrolling sideways."""
    pictures: list[tuple[int, float]]
    """Of each picture its own width, 0 when it cannot be shown, and where its right edge is."""
    astray: list[str]
    """Targets of links within the page that are not there."""
    text: str
    """As it would be copied."""


@dataclass
class Opened:
    """A page in a browser."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)
    """What stands in the console, and errors that nobody caught."""
    asked: list[str] = field(default_factory=list)
    """Everything that was fetched but the page itself."""

    def unfold(self) -> None:
        """Open all parts that are folded away."""
        self.page.evaluate("() => document.querySelectorAll('details').forEach((part) => { part.open = true; })")

    def violations(self) -> list[str]:
        """What axe-core finds wrong, or cannot judge, in words.

        The shadows of tables are taken away first, behind which it sees no colour.
        """
        from axe_playwright_python.base import AXE_SCRIPT
        from axe_playwright_python.sync_playwright import Axe

        assert hashlib.sha256(AXE_SCRIPT.encode()).hexdigest() == AXE
        self.page.add_style_tag(content=".table-scroll { background: none !important; }")
        found = Axe().run(self.page, options={"resultTypes": ["violations", "incomplete"]}).response
        return [
            f"{rule['id']}: {node['html'][:200]} ({node.get('failureSummary', '')})"
            for rule in (*found["violations"], *found["incomplete"])
            for node in rule["nodes"]
            if not re.search(UNJUDGED, node.get("failureSummary", ""))
        ]


def missing_programs() -> list[str]:
    """The programs that looking takes and that are not on this machine."""
    missing = [] if _chromium() else ["Chromium"]
    return missing if shutil.which("pdftotext") else [*missing, "pdftotext"]


@contextmanager
def opened(page: Path, width: int, *, dark: bool = False) -> Iterator[Opened]:
    """A page in a window of some width, for those who prefer light or dark, without a network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"])
        try:
            scheme = "dark" if dark else "light"
            shown = browser.new_page(
                viewport={"width": width, "height": HEIGHT}, color_scheme=cast("Any", scheme), offline=True
            )
            found = Opened(shown)
            shown.on("console", lambda message: found.complaints.append(message.text))
            shown.on("pageerror", lambda error: found.complaints.append(str(error)))
            shown.on("request", lambda request: found.asked.append(request.url))
            shown.goto(page.resolve().as_uri())
            found.asked = [url for url in found.asked if not url.startswith(("data:", "blob:"))][1:]
            yield found
        finally:
            browser.close()


def look_at(page: Path, width: int) -> Seen:
    """Lay a page out in a window of some width."""
    with opened(page, width) as found:
        return cast("Seen", found.page.evaluate(LOOK))


def text_of(pdf: Path) -> str:
    """The text of a PDF, one space between words."""
    return re.sub(r"\s+", " ", _said("pdftotext", str(pdf), "-"))


def described(pdf: Path, what: str = "-struct-text") -> str:
    """What `pdfinfo` says of a PDF: of its structure, or with another option of something else."""
    return _said("pdfinfo", *([what] if what else []), str(pdf))


def embedded_fonts(pdf: Path) -> dict[str, bool]:
    """Whether each font of a PDF is in it."""
    lines = [line.split() for line in _said("pdffonts", str(pdf)).splitlines()[2:]]
    return {words[0]: words[-5] == "yes" for words in lines}  # emb sub uni, and the two numbers of an object


def pages_of(pdf: Path, folder: Path) -> list[NDArray[np.uint8]]:
    """The pages of a PDF as grey pictures of 50 points to the inch, 255 where there is nothing."""
    from PIL import Image

    _said("pdftoppm", "-r", "50", "-gray", "-png", str(pdf), str(folder / "page"))
    return [np.asarray(Image.open(file).convert("L")) for file in sorted(folder.glob("page-*.png"))]


def lines_of(pdf: Path) -> list[dict[float, str]]:
    """Of every page of a PDF its words by the height in points at which they stand, from the top, in reading order."""
    found: list[dict[float, str]] = []
    for page in _said("pdftotext", "-bbox", str(pdf), "-").split("<page ")[1:]:
        words: dict[float, list[str]] = {}
        for height, word in re.findall(r'yMax="([\d.]+)">(.*?)</word>', page):
            words.setdefault(round(float(height), 1), []).append(word)
        found.append({height: " ".join(words[height]) for height in sorted(words)})
    return found


def filled(page: NDArray[np.uint8]) -> float:
    """How far down something stands on a page, of what its margins leave it; below is the number of the page."""
    rows = np.flatnonzero((page < 200).any(axis=1)) / page.shape[0] * A4
    return float((rows[(rows > TOP) & (rows < A4 - BOTTOM)].max(initial=TOP) - TOP) / (A4 - BOTTOM - TOP))


def _said(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True)
    return done.stdout.decode("utf-8", errors="replace")


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
