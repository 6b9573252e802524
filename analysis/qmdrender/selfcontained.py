"""Making sure that a page loads nothing from the network. Links are no loads."""

import re
from html.parser import HTMLParser

from qmdrender.errors import RenderError

_LOADING_ATTRIBUTES = frozenset({"src", "srcset", "poster", "data", "background"})
_REMOTE = re.compile(r"(?:^|\s)(?:https?:)?//[^\s,]+", re.IGNORECASE)  # `srcset` holds several, after spaces
_REMOTE_IN_STYLE = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])\s*((?:https?:)?//[^'\")\s]+)", re.IGNORECASE)


def require_self_contained(page: str) -> None:
    """Make sure that opening a page loads nothing from elsewhere.

    Parameters
    ----------
    page
        HTML.

    Raises
    ------
    RenderError
        Names the first thing that would be loaded.
    """
    finder = _LoadFinder()
    finder.feed(page)
    finder.close()
    if finder.loads:
        raise RenderError(
            f"the page would load {finder.loads[0].strip()} from the network; keep a copy beside the document"
        )


class _LoadFinder(HTMLParser):
    """Collects the remote addresses in attributes and style sheets that a browser fetches by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name in _LOADING_ATTRIBUTES or (tag == "link" and name == "href"):
                self.loads += _REMOTE.findall(value or "")
            elif name == "style":
                self.loads += _REMOTE_IN_STYLE.findall(value or "")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 (the parser's own name)
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.loads += _REMOTE_IN_STYLE.findall(data)
