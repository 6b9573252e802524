"""Public functions say what they take, return and raise, so that a reference can be made of their docstrings."""

import ast
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from numpydoc.validate import validate

import plateaulens

CHECKS = {"GL08", "PR01", "PR02", "RT01", "YD01"}
"""numpydoc's: no docstring; parameters missing, or unknown ones; no Returns, no Yields."""
IMPLEMENTS = re.compile(r"[Ss]ee `[\w.]+`\.$")
"""How a docstring ends whose function implements what is documented there."""
EXEMPT = ("plateaulens.cli",)
"""Commands are documented by their help."""


def modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(plateaulens.__path__, "plateaulens.")]
    return [name for name in ("plateaulens", *found) if not name.startswith(EXEMPT) and "_resources" not in name]


def public_functions(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions and methods that are defined in a module and have no underscore, by their dotted name."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for method, own in vars(value).items():
                function = own.__func__ if isinstance(own, classmethod | staticmethod) else own
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{name}.{method}", function


def raised(function: Callable[..., Any]) -> set[str]:
    """The exceptions that the function's own body raises by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }


def problems(module: Any) -> Iterator[str]:
    for name, function in public_functions(module):
        document = inspect.getdoc(function) or ""
        if IMPLEMENTS.search(document):
            continue
        unwrapped = inspect.unwrap(function)
        for code, message in validate(f"{module.__name__}.{name}")["errors"]:
            if code in CHECKS:
                yield f"{name}: {message}"
        if (missing := raised(unwrapped)) and "Raises\n------" not in document:
            yield f"{name}: raises {', '.join(sorted(missing))}, and has no section Raises"


@pytest.mark.parametrize("name", modules())
def test_public_functions_are_documented(name: str) -> None:
    try:
        module = import_module(name)
    except ImportError as error:
        if error.name in {"torch", "distributed", "jaxtyping", "httpx2", "triton"}:
            pytest.skip(f"needs {error.name}")
        raise
    assert list(problems(module)) == []


def test_a_function_without_its_sections_is_found() -> None:
    from tests import offender

    assert list(problems(offender)) == [
        "undocumented: Parameters {'size'} not documented",
        "undocumented: No Returns section found",
        "undocumented: raises ValueError, and has no section Raises",
    ]
