"""Annotations that every NumPy evaluates: jaxtyping's are over classes, and `NDArray` is none from Python 3.12 on."""

import ast
from collections.abc import Iterator
from pathlib import Path

ANALYSIS = Path(__file__).parents[1] / "analysis"


def named(node: ast.expr) -> str:
    """The last part of a dotted name, also of one with something in brackets."""
    if isinstance(node, ast.Subscript):
        return named(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def over_aliases(code: str) -> Iterator[str]:
    """What of a file is jaxtyping's and over NumPy's alias, or over another name of it."""
    nodes = list(ast.walk(ast.parse(code)))
    shaped = {
        name.asname or name.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "jaxtyping"
        for name in node.names
    }
    aliases = {"NDArray", "ArrayLike"} | {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and named(node.value) == "NDArray"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in nodes:
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
            continue
        if named(node.value) in shaped and named(node.slice.elts[0]) in aliases:
            yield ast.unparse(node)


def test_shapes_are_of_classes() -> None:
    files = sorted(ANALYSIS.rglob("*.py"))
    assert sum("from jaxtyping import" in path.read_text() for path in files) > 20
    assert [f"{path.name}: {found}" for path in files for found in over_aliases(path.read_text())] == []


def test_what_is_over_an_alias_is_found() -> None:
    code = """
from jaxtyping import Float, Int64
Tokens = NDArray[np.int64]
def f(a: Float[npt.NDArray[np.float32], "n"], b: Int64[Tokens, "n"], c: Int64[np.ndarray, "n"]) -> NDArray[Any]: ...
"""
    found = ["Float[npt.NDArray[np.float32], 'n']", "Int64[Tokens, 'n']"]
    assert sorted(over_aliases(code)) == found
