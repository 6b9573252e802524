"""What holds for every test and doctest: which are looked for, and that no activation type or figure outlives it."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

# what has no doctests to look for where its library is not installed
collect_ignore = (
    [] if find_spec("triton") else [f"analysis/plateaulens/scan/{name}.py" for name in ("fused", "kernels")]
)


@pytest.fixture(autouse=True)
def types_as_before() -> Iterator[None]:
    """Forget the activation types that a test registers: another test of the same process may take their names."""
    name = "plateaulens.targets.registry"  # imported by what has torch only
    before = dict(sys.modules[name]._types) if name in sys.modules else {}
    yield
    if name in sys.modules:
        registry = sys.modules[name]
        kept = registry.shipped() | before
        registry._types.clear()
        registry._types.update(kept)


@pytest.fixture(autouse=True)
def figures_as_before() -> Iterator[None]:
    """Close what a test shows by pyplot, as the examples of the documents do: another test may count figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
