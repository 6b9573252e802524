"""Reading a `.qmd` file: front matter, prose, and the Python in it with the line it stands on."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qmdrender.errors import RenderError
from qmdrender.metadata import Metadata, Project, find_project, parse_yaml, read_metadata

# The cell options that are understood. Another one is refused: it is misspelt, or it would do nothing here.
_EXECUTE_OPTIONS = frozenset({"echo", "eval", "include", "output", "warning", "error"})
_OPTIONS = _EXECUTE_OPTIONS | {
    *("label", "tags", "layout-ncol", "code-fold", "code-summary"),
    *("fig-cap", "fig-alt", "fig-subcap", "tbl-cap", "tbl-subcap"),
}

_FENCE = re.compile(r"(?P<indent>\s*)(?P<marks>`{3,}|~{3,})\s*(?P<info>.*)")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_INLINE = re.compile(r"(?<!`)`\{python\}[ \t]+(?P<code>[^`]+)`")
_LANGUAGE = re.compile(r"\{[A-Za-z][^}]*\}.*")


@dataclass(frozen=True)
class Prose:
    """Markdown as it stands in the file, fenced blocks included."""

    text: str


@dataclass(frozen=True)
class Inline:
    """An expression in the prose, written `{python} expression` between backticks; `line` is where it stands."""

    line: int
    code: str

    @property
    def name(self) -> str:
        """What messages call the expression."""
        return f"inline `{self.code}`"


@dataclass(frozen=True)
class Cell:
    """A Python cell: `line` is that of its opening fence, `source_line` that of the first line after its options."""

    number: int
    line: int
    source_line: int
    source: str
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The cell's label, empty when it has none."""
        return str(self.options.get("label") or "")

    @property
    def kind(self) -> str:
        """`fig` or `tbl` when the label makes the output a numbered figure or table, else empty."""
        prefix = self.label.partition("-")[0]
        return prefix if prefix in ("fig", "tbl") else ""

    @property
    def name(self) -> str:
        """What messages call the cell: its label, else its number in the document, counted from 1."""
        return f"cell {self.label or self.number}"

    @property
    def tags(self) -> list[str]:
        """The cell's tags."""
        tags = self.options.get("tags") or []
        return [tags] if isinstance(tags, str) else list(tags)


Part = Prose | Inline | Cell


@dataclass(frozen=True)
class Document:
    """A `.qmd` file as read: nothing has run yet."""

    path: Path
    metadata: Metadata
    project: Project
    parts: tuple[Part, ...]

    @property
    def cells(self) -> list[Cell]:
        """The Python cells in order."""
        return [part for part in self.parts if isinstance(part, Cell)]

    @property
    def working_folder(self) -> Path:
        """The folder that cells run in."""
        folder = self.project.folder
        return folder if folder is not None and self.project.runs_in_its_folder else self.path.parent

    def at(self, line: int) -> str:
        """How messages name a line of the file.

        Parameters
        ----------
        line
            Its number, from 1.

        Returns
        -------
        str
            The file's name and the line's number.
        """
        return f"{self.path.name}:{line}"


def read_document(path: Path) -> Document:
    """Read and check a `.qmd` file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Document
        As read: nothing has run yet.

    Raises
    ------
    RenderError
        Names the line of what would not come out as with Quarto: cells in another language or inside a list,
        shortcodes, unknown cell options, a label used twice, invalid YAML.
    """
    path = path.resolve()
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise RenderError(f"there is no document {path}") from None
    project = find_project(path)
    front_matter, first = _front_matter(lines)
    metadata = read_metadata(front_matter, path, project)
    defaults = metadata.get("execute") or {}
    parts = tuple(_parts(path, lines, first, {key: defaults[key] for key in _EXECUTE_OPTIONS & defaults.keys()}))
    document = Document(path, metadata, project, parts)
    _refuse_repeated_labels(document)
    return document


def _front_matter(lines: list[str]) -> tuple[str, int]:
    """The YAML between the opening `---` lines, and the index of the first line after it."""
    if lines and lines[0].rstrip() == "---":
        for index, line in enumerate(lines[1:], start=1):
            if line.rstrip() in ("---", "..."):
                return "\n".join(lines[1:index]), index + 1
    return "", 0


def _parts(path: Path, lines: list[str], index: int, defaults: Mapping[str, Any]) -> Iterator[Part]:
    """Split the lines from `index` on into prose, inline expressions and cells."""
    prose_start, cells = index, 0
    while index < len(lines):
        fence = _FENCE.fullmatch(lines[index])
        if fence is None:
            if "{{<" in lines[index]:
                raise RenderError(f"{path.name}:{index + 1}: shortcodes ({{{{< ... >}}}}) need Quarto itself")
            index += 1
            continue
        where = f"{path.name}:{index + 1}"
        end = _closing_fence(lines, index, fence["marks"])
        if end is None:
            raise RenderError(f"{where}: this fenced block is never closed")
        yield from _prose(lines[prose_start:index], prose_start + 1)
        if _LANGUAGE.fullmatch(fence["info"]):
            _check_cell_fence(where, fence)
            cells += 1
            yield _cell(where, cells, index + 1, lines[index + 1 : end], defaults)
        else:
            yield Prose(_text(lines[index : end + 1]))
        index = prose_start = end + 1
    yield from _prose(lines[prose_start:], prose_start + 1)


def _prose(lines: list[str], line: int) -> Iterator[Part]:
    """Prose that begins on `line`, cut where an expression stands in it."""
    text, start = _text(lines), 0
    for match in _INLINE.finditer(text):
        yield Prose(text[start : match.start()])
        yield Inline(line + text.count("\n", 0, match.start()), " ".join(match["code"].split()))
        start = match.end()
    yield Prose(text[start:])


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _closing_fence(lines: list[str], opening: int, marks: str) -> int | None:
    closing = re.compile(rf"\s*{re.escape(marks[0])}{{{len(marks)},}}\s*")
    return next((i for i in range(opening + 1, len(lines)) if closing.fullmatch(lines[i])), None)


def _check_cell_fence(where: str, fence: re.Match[str]) -> None:
    if fence["info"].strip() != "{python}":
        raise RenderError(f"{where}: only {{python}} cells can be run here, not {fence['info'].strip()}")
    if fence["indent"]:
        raise RenderError(f"{where}: a cell inside a list or an indented block is not run; begin it at the margin")


def _cell(where: str, number: int, line: int, body: list[str], defaults: Mapping[str, Any]) -> Cell:
    count = next((i for i, text in enumerate(body) if not text.startswith("#|")), len(body))
    own = parse_yaml("\n".join(text.removeprefix("#|") for text in body[:count]), f"{where}, cell options")
    unknown = own.keys() - _OPTIONS
    if unknown:
        raise RenderError(f"{where}: cell option {min(unknown)!r} is not known here")
    source_line = line + 1 + count
    cell = Cell(number, line, source_line, "\n".join(body[count:]), {**defaults, **own})
    if cell.label and not _LABEL.fullmatch(cell.label):
        raise RenderError(f"{where}: label {cell.label!r} must be letters, digits, - and _, a letter first")
    if cell.kind and not own.get(f"{cell.kind}-cap"):
        raise RenderError(f"{where}: {cell.name} is numbered by its label and needs a {cell.kind}-cap")
    return cell


def _refuse_repeated_labels(document: Document) -> None:
    seen: dict[str, Cell] = {}
    for cell in document.cells:
        if cell.label in seen:
            first = seen[cell.label].line
            raise RenderError(f"{document.at(cell.line)}: label {cell.label!r} is also the label of line {first}")
        if cell.label:
            seen[cell.label] = cell
