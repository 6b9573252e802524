"""What the documentation's site is made of beside docs/: README, CONTRIBUTING, and the notebooks with their outputs.

Hooks of MkDocs (`hooks` in mkdocs.yml). Formulas become MathML, so that no page needs a script from elsewhere, and a
site that would ask the network for anything is refused.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages of the site that are documents of the repository."""
NOTEBOOKS = ROOT / "docs" / "notebooks"

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)
_STYLE_URL = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s;]+)")
_LOADS = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""The elements, and their attributes, by which a page has a browser fetch something."""


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages that are no files of docs/.

    Parameters
    ----------
    files
        What MkDocs found in docs/.
    config
        The site's.

    Returns
    -------
    Files
        With the documents of the repository and the notebooks.
    """
    from mkdocs.structure.files import File  # noqa: PLC0415  of the group `docs`

    for name, source in PAGES.items():
        text = linked((ROOT / source).read_text(), {page: place for place, page in PAGES.items()})
        files.append(File.generated(config, name, content=text))
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        text, pictures = shown(notebook, execute=bool(config.extra["execute"]))
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{picture}", content=content))
    return files


def linked(text: str, pages: dict[str, str]) -> str:
    """A document of the repository's root as a page: links to what the site does not have are words only.

    Parameters
    ----------
    text
        Markdown.
    pages
        By their name in the repository, documents that are pages.

    Returns
    -------
    str
        Markdown, with links as from docs/.
    """

    def moved(match: re.Match[str]) -> str:
        words, target = match.groups()
        path, mark, part = target.partition("#")
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        if path in pages:
            return f"[{words}]({pages[path]}{mark}{part})"
        return f"[{words}]({target.removeprefix('docs/')})" if path.startswith("docs/") else words

    return _LINK.sub(moved, text).replace("](docs/", "](")


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:  # noqa: ARG001
    """Have links to the repository's documents lead to their pages.

    Parameters
    ----------
    markdown, page, config, files
        As MkDocs gives them.

    Returns
    -------
    str
        The page's Markdown.
    """
    return within(markdown, page.file.src_uri)


def within(text: str, place: str) -> str:
    """A document of docs/ as a page: links to those of the repository that are pages lead to these.

    Parameters
    ----------
    text
        Markdown.
    place
        The document's path from docs/.

    Returns
    -------
    str
        Markdown, with links within the site.
    """
    pages = {f"../{source}": name for name, source in PAGES.items()}
    folder = posixpath.dirname(place)

    def moved(match: re.Match[str]) -> str:
        words, target = match.groups()
        path, mark, part = target.partition("#")
        found = pages.get(posixpath.normpath(posixpath.join(folder, path)))
        return match[0] if found is None else f"[{words}]({posixpath.relpath(found, folder or '.')}{mark}{part})"

    return _LINK.sub(moved, text)


def run_notebook(path: Path) -> Any:
    """A notebook with the outputs of its cells.

    Parameters
    ----------
    path
        An .ipynb file.

    Returns
    -------
    nbformat.NotebookNode
        Run from its first cell to its last in a process of its own, in the repository's root.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        When a cell fails.
    """
    import nbformat  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}})
    with mock.patch.dict(os.environ, PYTHONWARNINGS="ignore:IProgress not found"):  # a bar as text will do
        client.execute()
    return notebook


def shown(path: Path, *, execute: bool) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page.

    Parameters
    ----------
    path
        An .ipynb file.
    execute
        Whether its cells are run.

    Returns
    -------
    tuple of str and dict of str to bytes
        Markdown, and pictures by the names that it has for them.
    """
    import nbformat  # noqa: PLC0415
    from nbconvert import MarkdownExporter  # noqa: PLC0415

    notebook = run_notebook(path) if execute else nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    )
    return text, resources["outputs"]


def on_page_content(html: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Make MathML of the formulas of a page.

    Parameters
    ----------
    html
        With formulas as `pymdownx.arithmatex` leaves them.
    page, config, files
        The page, and the site's.

    Returns
    -------
    str
        HTML that needs no script.
    """
    del page, config, files
    return _FORMULA.sub(lambda match: formula(unescape(match[2])), html)


def formula(text: str) -> str:
    r"""A formula as MathML.

    Parameters
    ----------
    text
        TeX between `\(` and `\)`, or `\[` and `\]`.

    Returns
    -------
    str
        An element `math`.
    """
    from latex2mathml.converter import convert  # noqa: PLC0415  of the group `docs`

    display = "block" if text.startswith("\\[") else "inline"
    converted: str = convert(text.strip()[2:-2].strip(), display=display)
    return converted


def on_post_build(config: "MkDocsConfig") -> None:
    """Refuse a site that loads anything from elsewhere.

    Parameters
    ----------
    config
        The site's.

    Raises
    ------
    PluginError
        That names the files and what they load.
    """
    from mkdocs.exceptions import PluginError  # noqa: PLC0415  of the group `docs`

    if wrong := list(foreign(Path(config.site_dir))):
        raise PluginError("the site would ask the network for " + "; ".join(wrong))


def foreign(site: Path) -> Iterator[str]:
    """What pages and styles load from elsewhere.

    Parameters
    ----------
    site
        A folder of pages.

    Yields
    ------
    str
        File and URL.
    """
    for path in sorted(site.rglob("*")):
        if path.suffix not in {".html", ".css"}:
            continue
        text = path.read_text()
        urls = _STYLE_URL.findall(text)
        if path.suffix == ".html":
            urls = [*_Loaded(text).urls, *urls]
        yield from (f"{path.relative_to(site)}: {url}" for url in urls)


class _Loaded(HTMLParser):
    """The URLs of other hosts that a page has a browser fetch, not those that it only links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        url = given.get(_LOADS.get(tag, "")) or ""
        if re.match(r"(?:https?:)?//", url) and given.get("rel") != "canonical":
            self.urls.append(url)
