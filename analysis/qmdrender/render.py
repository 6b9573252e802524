"""Rendering a document: read it, run it once, write each format, and only then touch the output folder."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from qmdrender.document import read_document
from qmdrender.errors import RenderError
from qmdrender.execute import execute
from qmdrender.formats import write_html, write_pdf
from qmdrender.publish import publish

_WRITERS = {"html": write_html, "typst": write_pdf}
FORMATS = tuple(_WRITERS)
"""The formats there are, by Quarto's names; `typst` makes a PDF."""


def render(
    source: Path,
    out: Path,
    *,
    formats: Sequence[str] = FORMATS,
    parameters: Mapping[str, object] | None = None,
    scratch: Path | None = None,
) -> list[Path]:
    """Render a `.qmd` file.

    The cells run once. Files of an earlier rendering stay as they are until every format is done, so a failure leaves
    nothing half-written.

    Parameters
    ----------
    source
        The document.
    out
        The folder that the files go into; made if it is not there.
    formats
        Some of `FORMATS`.
    parameters
        Values by name, in place of the defaults in the cell tagged `parameters`.
    scratch
        Where temporary files are kept meanwhile; None leaves that to the system.

    Returns
    -------
    list of Path
        The files, in order of `formats`.

    Raises
    ------
    RenderError
        On one line, for everything that keeps the document from being rendered as it is written: a cell that fails, a
        reference to nothing, an image that is not there, a feature of Quarto that this is without.
    """
    for name in formats:
        if name not in _WRITERS:
            raise RenderError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    document = read_document(source)
    parts = execute(document, parameters or {}, scratch)
    with tempfile.TemporaryDirectory(prefix="qmdrender-", dir=scratch) as place:
        made = []
        for name in formats:
            folder = Path(place) / name
            folder.mkdir()
            made.append(_WRITERS[name](document, parts, folder))
        return publish(made, out)
