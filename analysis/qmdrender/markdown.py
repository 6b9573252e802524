"""From an executed document to pandoc's Markdown for one output format, its figures written beside it."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qmdrender.document import Cell
from qmdrender.errors import RenderError
from qmdrender.execute import Executed
from qmdrender.kernel import Output, plain

_IMAGE_SUFFIX = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
# The date and the versions that matplotlib notes in an SVG: they would differ from one rendering to the next.
_SVG_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


class MarkdownWriter:
    """Writes one format's Markdown.

    Parameters
    ----------
    output_format
        `html` or `typst`.
    settings
        Those that hold for the format.
    folder
        Receives the images; the Markdown names them relative to it.
    """

    def __init__(self, output_format: str, settings: Mapping[str, Any], folder: Path) -> None:
        self._html = output_format == "html"
        self._settings = settings
        self._folder = folder
        vector = not self._html or settings.get("fig-format") == "svg"
        self._mimes = sorted(_IMAGE_SUFFIX, key=lambda mime: (mime == "image/svg+xml") != vector)

    def document(self, parts: Sequence[str | Executed]) -> str:
        """The whole text.

        Parameters
        ----------
        parts
            The document's parts as run.

        Returns
        -------
        str
            Pandoc's Markdown.

        Raises
        ------
        RenderError
            For an output that cannot be shown in every format.
        """
        return "".join(part if isinstance(part, str) else f"\n{self._cell(part)}\n" for part in parts)

    def _cell(self, executed: Executed) -> str:
        options = executed.cell.options
        if not options.get("include", True):
            return ""
        shown = list(self._outputs(executed)) if options.get("output", True) is not False else []
        if executed.cell.kind and not shown:
            raise RenderError(f"{executed.cell.name} is numbered by its label, but shows nothing")
        return "\n\n".join([*self._code(executed.cell), *self._float(executed.cell, shown)])

    def _code(self, cell: Cell) -> Iterator[str]:
        if not cell.options.get("echo", True) or not cell.source.strip():
            return
        block = _fenced(cell.source.strip("\n"), ".python")
        fold = cell.options.get("code-fold", self._settings.get("code-fold", False))
        if fold:
            summary = str(cell.options.get("code-summary", self._settings.get("code-summary", "Code")))
            state = "open" if fold == "show" else "closed"
            block = f"::: {{.code-fold state={state} summary={_quoted(summary)}}}\n{block}\n:::"
        yield block

    def _outputs(self, executed: Executed) -> Iterator[str]:
        number = 0
        for output in executed.outputs:
            if _image_mimes(output):
                yield self._image(executed.cell, output, number)
                number += 1
            elif text := _text_output(executed.cell, output):
                yield text

    def _image(self, cell: Cell, output: Output, number: int) -> str:
        mime = next(mime for mime in self._mimes if mime in output["data"])
        name = f"cell-{cell.number}-{number + 1}.{_IMAGE_SUFFIX[mime]}"
        content = output["data"][mime]
        if mime == "image/svg+xml":
            self._folder.joinpath(name).write_text(_SVG_METADATA.sub("", content), encoding="utf-8")
        else:
            self._folder.joinpath(name).write_bytes(base64.b64decode(content))
        attributes = [f"alt={_quoted(_alternative(cell, number))}"]
        width = output.get("metadata", {}).get(mime, {}).get("width")
        if width and self._html:
            attributes.append(f"width={width}px")
        return f"![]({name}){{{' '.join(attributes)}}}"

    def _float(self, cell: Cell, shown: list[str]) -> list[str]:
        """The outputs as one figure or table with its caption and parts, or as they are when they have none."""
        kind = cell.kind or next((kind for kind in ("fig", "tbl") if cell.options.get(f"{kind}-cap")), "")
        columns = cell.options.get("layout-ncol")
        if not shown or not (kind or columns):
            return shown
        captions = cell.options.get(f"{kind}-subcap") or []
        if captions and len(captions) != len(shown):
            raise RenderError(f"{cell.name} has {len(captions)} {kind}-subcap entries for {len(shown)} outputs")
        parts = [
            f"::: {{#{cell.label or kind}-{number} .subfloat}}\n{text}\n\n{_one_line(caption)}\n:::"
            for number, (text, caption) in enumerate(zip(shown, captions, strict=False), start=1)
        ] or shown
        identity = f"#{cell.label} " if cell.kind else ""
        layout = f" layout-ncol={columns}" if columns else ""
        caption = [_one_line(cell.options[f"{kind}-cap"])] if kind else []
        classes = f".{kind}-float" if kind else ".layout"
        return ["\n\n".join([f"::: {{{identity}{classes}{layout}}}", *parts, *caption, ":::"])]


def _image_mimes(output: Output) -> bool:
    data = output.get("data", {})
    return "text/markdown" not in data and any(mime in data for mime in _IMAGE_SUFFIX)


def _text_output(cell: Cell, output: Output) -> str:
    """An output other than an image, empty when it is not to be shown."""
    if output["output_type"] == "stream":
        if output["name"] == "stderr" and not cell.options.get("warning", True):
            return ""
        text = plain(str(output["text"]))
        return text if cell.options.get("output") == "asis" else _fenced(text.rstrip(), f".output .{output['name']}")
    if output["output_type"] == "error":
        return _fenced(plain("\n".join(output["traceback"])), ".output .error")
    data = output["data"]
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "text/html" in data:
        raise RenderError(
            f"{cell.name} shows HTML, which a PDF cannot hold; show IPython.display.Markdown "
            "(of a data frame: `Markdown(frame.to_markdown())`) or a figure"
        )
    return _fenced(plain(str(data.get("text/plain", ""))), ".output")


def _alternative(cell: Cell, number: int) -> str:
    """The `fig-alt` of a cell's image, empty when there is none: a caption then stands in for it."""
    described = cell.options.get("fig-alt") or ""
    if isinstance(described, list):
        return str(described[number]) if number < len(described) else ""
    return str(described)


def _fenced(text: str, classes: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence} {{{classes}}}\n{text}\n{fence}"


def _quoted(text: str) -> str:
    """Text as the value of an attribute in Markdown."""
    escaped = _one_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
