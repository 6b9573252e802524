"""What a person sees: pages laid out by a headless Chromium, and the text of PDFs as a reader finds it."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import TypedDict

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, NARROW = 1400, 500
"""Widths of a window in pixels; Chromium makes none that is narrower than the second."""

# what is only known after the page has been laid out, left in an attribute of the page's first element
LOOK = """
<script>
addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  document.documentElement.dataset.seen = JSON.stringify({
    width: document.documentElement.clientWidth,
    needed: document.documentElement.scrollWidth,
    pictures: all("img").map((picture) => [picture.naturalWidth, picture.getBoundingClientRect().right]),
    astray: all('a[href^="#"]').map((link) => decodeURIComponent(link.hash.slice(1)))
      .filter((name) => name && !document.getElementById(name)),
    text: document.body.innerText,
  });
});
</script>
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


def missing_programs() -> list[str]:
    """The programs that looking takes and that are not on this machine."""
    missing = [] if _chromium() else ["Chromium"]
    return missing if shutil.which("pdftotext") else [*missing, "pdftotext"]


def look_at(page: Path, folder: Path, width: int) -> Seen:
    """Lay a page out in a window of some width; the browser keeps its things in `folder`."""
    program = _chromium()
    assert program is not None
    copy = folder / f"{page.stem}-{width}.html"
    copy.write_text(page.read_text(encoding="utf-8") + LOOK, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}"]
    done = subprocess.run(
        [program, *options, f"--window-size={width},900", "--dump-dom", copy.as_uri()],
        check=True, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    found = re.search(r'<html\b[^>]*\bdata-seen="([^"]*)"', done.stdout)
    assert found is not None, done.stderr
    seen: Seen = json.loads(unescape(found[1]))
    return seen


def text_of(pdf: Path) -> str:
    """The text of a PDF, one space between words."""
    done = subprocess.run(["pdftotext", str(pdf), "-"], check=True, capture_output=True, encoding="utf-8")
    return re.sub(r"\s+", " ", done.stdout)


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
