"""One conversion by pandoc, with its complaints turned into a `RenderError`."""

import os
import re
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pypandoc

from qmdrender.errors import RenderError

_HERE = Path(__file__).parent
_REFUSAL = re.compile(r"^qmdrender: (.*)$", re.MULTILINE)
_COMPLAINT = re.compile(r"^\[WARNING\] (.*(?:\n[ \t]+.*)*)", re.MULTILINE)


def convert(
    markdown: str, to: str, *, folder: Path, resources: Sequence[Path], cited: bool, options: Sequence[str]
) -> str:
    """The standalone document that pandoc makes of Markdown.

    Parameters
    ----------
    markdown
        The text.
    to
        The format, `html` or `typst`.
    folder
        Where pandoc runs and where the filters put pictures.
    resources
        Folders that are searched for the pictures that the text names.
    cited
        Whether there is a bibliography.
    options
        Further options of pandoc's.

    Returns
    -------
    str
        The document.

    Raises
    ------
    RenderError
        For a refusal of a filter's, and for every warning of pandoc's (a citation that is not in the bibliography, an
        image that is not there, a formula that it cannot set).
    """
    filters = _HERE / "filters"
    command = [
        pypandoc.get_pandoc_path(),
        *("--from", "markdown", "--to", "html5" if to == "html" else to, "--standalone", "--fail-if-warnings"),
        *("--wrap=none", "--columns=10000"),  # else a long line of a table would fix the widths of its columns
        *("--template", str(_HERE / "templates" / ("page.html" if to == "html" else "page.typ"))),
        *("--resource-path", os.pathsep.join(map(str, resources))),
        *(f"--lua-filter={filters / name}.lua" for name in ("visible", "callout", "crossref")),
        *(["--citeproc"] if cited else []),
        *("--lua-filter", str(filters / f"{to}.lua")),
        *options,
    ]
    done = subprocess.run(command, cwd=folder, input=markdown, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RenderError(_reason(done.stderr), done.stderr)
    return done.stdout


def _reason(said: str) -> str:
    """One line out of all that pandoc said: a filter's refusal, else its warnings, else how it begins."""
    reasons = _REFUSAL.findall(said) or _COMPLAINT.findall(said) or [said or "pandoc failed and said nothing"]
    return "; ".join(textwrap.shorten(reason, 200, placeholder=" ...") for reason in reasons)
