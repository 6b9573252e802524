"""What a reader takes out of a page: under each figure its numbers as CSV and itself as SVG, and all tables of a run.

While a page is rendered its cells write the figures' files into a folder of their own (`Taken`); `gather` puts the
export of the summary beside them; `build` then publishes all of it with the page.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import matplotlib as mpl
from matplotlib.figure import Figure

from plateaulens.export.files import DATA, PAGE, RESULTS, former, write_all
from plateaulens.figures.numbers import NAMES, drawn_numbers
from plateaulens.replacing import publish
from plateaulens.store.location import Location
from plateaulens.store.reading import open_present_summary
from plateaulens.store.verify import blaming_damage

if TYPE_CHECKING:
    from IPython.display import Markdown

FIGURES = "figures"
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))

Shown = TypeVar("Shown")


class Taken:
    """Keeps the figures of a page for its reader.

    Parameters
    ----------
    folder
        Where their files go; empty for none, and then the page has no links either.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder) if folder else None
        self._kept: set[str] = set()

    def keep(self, name: str, made: Shown) -> Shown:
        """Write what a cell shows into the folder, if it is a figure.

        Parameters
        ----------
        name
            One of `NAMES`.
        made
            What the cell shows: a figure, or the line that there is none.

        Returns
        -------
        object
            `made`.

        Raises
        ------
        ValueError
            For another name.
        """
        if name not in NAMES:
            raise ValueError(f"no figure is called {name!r}: add it to plateaulens.figures.numbers.NAMES")
        if self._folder is not None and isinstance(made, Figure):
            table, picture = (self._folder / path for path in _paths(name))
            for path in (table, picture):
                path.parent.mkdir(parents=True, exist_ok=True)
            # of a copy, as each drawing moves the layout a little: the page is to be the same without this
            copy: Figure = pickle.loads(pickle.dumps(made))  # noqa: S301 (our own)
            # the ids inside a picture are the same every time, and its letters need no font
            with mpl.rc_context({"svg.hashsalt": "plateaulens", "svg.fonttype": "path"}):
                copy.savefig(picture, format="svg", bbox_inches="tight", metadata=_NO_METADATA)
            drawn_numbers(made).to_csv(table, index=False, lineterminator="\n", encoding="utf-8")
            self._kept.add(name)
        return made

    def links(self, name: str) -> "Markdown":
        """The links under a figure that has been kept.

        Parameters
        ----------
        name
            The figure's.

        Returns
        -------
        IPython.display.Markdown
            Of the web page alone; empty where nothing was kept.
        """
        if name not in self._kept:
            return _shown("")
        table, picture = _paths(name)
        texts = {"data (CSV)": table, "figure (SVG)": picture}
        links = (f'[{text}]({path}){{aria-label="{text}: {name}"}}' for text, path in texts.items())
        return _on_the_page(" · ".join(links))

    def everything(self) -> "Markdown":
        """The line that says where all numbers are.

        Returns
        -------
        IPython.display.Markdown
            Of the web page alone; empty where nothing is kept.
        """
        if self._folder is None:
            return _shown("")
        return _on_the_page(
            f"All numbers: [{RESULTS}]({RESULTS}), [{PAGE}]({PAGE}), [{DATA}/]({DATA}/), in the folder of this page. "
            "These links, and those under figures, need that folder."
        )


def _paths(name: str) -> tuple[str, str]:
    """Where a figure's numbers and its picture lie, seen from the page."""
    return f"{DATA}/{FIGURES}/{name}.csv", f"{FIGURES}/{name}.svg"


def _shown(text: str) -> "Markdown":
    from plateaulens.report.page import shown  # noqa: PLC0415  cells alone have IPython

    return shown(text)


def _on_the_page(text: str) -> "Markdown":
    return _shown(f'::: {{.content-visible when-format="html"}}\n\n::: {{.small}}\n\n{text}\n\n:::\n\n:::')


def gather(summary: Location, folder: Path) -> None:
    """Write the export of a summary into the folder that has the figures of its page.

    Parameters
    ----------
    summary
        The path or URL of the summary of a run or of a sweep.
    folder
        Where `Taken` has kept the figures.
    """
    with open_present_summary(summary) as tree, blaming_damage(summary):
        write_all(tree, folder)


def put(folder: Path, pages: Sequence[Path], out: Path) -> list[Path]:
    """Put finished pages, and what belongs beside them, in place of an earlier report's, each file in one step.

    Parameters
    ----------
    folder
        What was gathered.
    pages
        The finished pages, which are put in place last.
    out
        The folder of the report.

    Returns
    -------
    list of Path
        The pages in their places. Tables and figures of an earlier report that this one has not are gone; other files
        stay.
    """
    stale = {f"{DATA}/{name}" for name in former(out)} | {path for name in NAMES for path in _paths(name)}
    made = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    for parent in sorted({path.parent for path in made}, reverse=True):
        publish([folder / path for path in made if path.parent == parent], out / parent)
    for path in sorted(stale - {path.as_posix() for path in made}):
        (out / path).unlink(missing_ok=True)
    return publish(pages, out)
