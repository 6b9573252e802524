"""From a document as read to one whose cells and inline expressions have run, once."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qmdrender import kernel
from qmdrender.document import Cell, Document, Inline, Part
from qmdrender.errors import RenderError
from qmdrender.kernel import Job

# Figures come in both forms, so that each format takes its own from a single execution; the fixed salt makes the ids
# inside an SVG the same every time. Sizes are in inches, at 96 pixels per inch.
_SETUP = """
try:
    from matplotlib import rcParams
    from matplotlib_inline.backend_inline import set_matplotlib_formats
except ImportError:
    pass
else:
    set_matplotlib_formats("svg", "retina")
    rcParams.update({{"figure.figsize": ({width}, {height}), "figure.dpi": 96, "svg.hashsalt": "qmdrender"}})
    del rcParams, set_matplotlib_formats
"""
_DEFAULT_SIZE = {"fig-width": 6.5, "fig-height": 4.0}

_SPECIAL_IN_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#+!|~^$@'\"-]")


@dataclass(frozen=True)
class Executed:
    """A cell and what it put out, as notebook outputs (nbformat 4)."""

    cell: Cell
    outputs: tuple[kernel.Output, ...]


def execute(document: Document, parameters: Mapping[str, object], scratch: Path | None = None) -> list[str | Executed]:
    """Run a document's cells and expressions, once.

    Parameters
    ----------
    document
        The document as read.
    parameters
        Values by name, in place of the defaults that the cell tagged `parameters` assigns.
    scratch
        Where temporary files are kept meanwhile; None leaves that to the system.

    Returns
    -------
    list
        The document's parts in order: prose as text, expressions as their value, cells with their outputs.

    Raises
    ------
    RenderError
        For a parameter that the cell does not assign, for the first cell or expression that fails, and when the kernel
        dies.
    """
    target = _parameter_cell(document, parameters)
    jobs: list[tuple[int | None, Job]] = [(None, _setup(document))]
    file = document.path.name
    for index, part in enumerate(document.parts):
        if isinstance(part, Inline):
            jobs.append((index, Job(part.name, file, part.line, part.code)))
        elif isinstance(part, Cell) and part.options.get("eval", True):
            may_fail = bool(part.options.get("error"))
            jobs.append((index, Job(part.name, file, part.source_line, part.source, may_fail)))
            if part is target:
                jobs.append((None, _injection(part, file, parameters)))
    made = kernel.run([job for _, job in jobs], document.working_folder, scratch) if len(jobs) > 1 else [[]]
    outputs = dict(zip((index for index, _ in jobs), made, strict=True))
    return [_result(document, part, outputs.get(index, [])) for index, part in enumerate(document.parts)]


def _result(document: Document, part: Part, outputs: list[kernel.Output]) -> str | Executed:
    if isinstance(part, Cell):
        return Executed(part, tuple(outputs))
    if isinstance(part, Inline):
        return _inline_text(document, part, outputs)
    return part.text


def _setup(document: Document) -> Job:
    width, height = (float(document.metadata.get(key, default)) for key, default in _DEFAULT_SIZE.items())
    return Job("figure set-up", document.path.name, 1, _SETUP.format(width=width, height=height))


def _parameter_cell(document: Document, parameters: Mapping[str, object]) -> Cell | None:
    """The cell whose values `parameters` replace, None when there is nothing to replace."""
    if not parameters:
        return None
    cell = next((cell for cell in document.cells if "parameters" in cell.tags), None)
    if cell is None:
        raise RenderError(f"{document.path.name} takes no parameters: no cell has `#| tags: [parameters]`")
    known = _assigned_names(cell, document.at(cell.line))
    unknown = sorted(parameters.keys() - known)
    if unknown:
        raise RenderError(f"{document.path.name} has no parameter {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    return cell


def _assigned_names(cell: Cell, where: str) -> list[str]:
    """The names that the cell assigns at its top level, in order."""
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError as error:
        raise RenderError(f"{where}: the parameters cell is not valid Python: {error.msg}") from None
    targets: list[ast.expr] = []
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _injection(cell: Cell, file: str, parameters: Mapping[str, object]) -> Job:
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    return Job("parameters", file, cell.line, source)


def _inline_text(document: Document, part: Inline, outputs: list[kernel.Output]) -> str:
    """The Markdown of an expression: as it stands from an object that displays as Markdown, else escaped text."""
    data = next((output["data"] for output in outputs if "data" in output), None)
    if data is None:
        raise RenderError(f"{document.at(part.line)}: {part.name} shows nothing")
    if "text/markdown" in data:
        return str(data["text/markdown"])
    text = str(data["text/plain"])
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = None
    return _SPECIAL_IN_MARKDOWN.sub(r"\\\g<0>", value if isinstance(value, str) else text)
