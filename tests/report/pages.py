"""What a page of the report shows."""

import ast
from pathlib import Path
from typing import Any

from qmdrender.document import Cell, Inline, read_document


def value_of(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last expression, as a notebook would show it."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), namespace)  # noqa: S102
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace) if isinstance(last, ast.Expr) else None  # noqa: S307


def shown_by(
    page: Path,
    summary: Path,
    *,
    without: tuple[str, ...] = (),
    inline: list[Any] | None = None,
    taken: Path | None = None,
) -> list[Any]:
    """What the cells and expressions of a page show for a summary, without a kernel.

    Cells and expressions that show something and mention one of `without` are left out. What expressions within
    a line show is put into `inline` as well.
    """
    namespace: dict[str, Any] = {}
    shown = []
    for part in read_document(page).parts:
        if isinstance(part, Cell):
            if any(name in part.source for name in without) and part.options.get("include", True):
                continue
            shown.append(value_of(part.source, namespace))
            if "parameters" in part.tags:
                namespace["summary"] = str(summary)
                namespace["taken"] = "" if taken is None else str(taken)
        elif isinstance(part, Inline) and not any(name in part.code for name in without):
            shown.append(value_of(part.code, namespace))
            if inline is not None:
                inline.append(shown[-1])
    return shown
