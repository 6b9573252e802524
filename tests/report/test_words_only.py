"""The report only words what a summary stores: it has no statistics, no tests, no comparisons and no names of its own.

Held by walking the syntax trees of the package.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from plateaulens import names
from plateaulens.report import contents

PACKAGE = Path(contents.__file__).parent
FILES = sorted(PACKAGE.glob("*.py"))

FORBIDDEN_MODULES = (
    "scipy",
    "statsmodels",
    "sklearn",
    "plateaulens.compare",
    "plateaulens.steps",
    "plateaulens.targets",
)
FIGURES = "plateaulens.figures"
DRAWS = {"explorer.py", "models.py", "taken.py"}
"""The files that may import figures: those that draw one, or what a browser draws, or keep what is drawn."""
PACKS = {"explorer.py"}
"""The files that make numbers ready for a browser to draw, and scale and count for that as figures do."""
FROM_SUMMARY = {"GROUP", "JUMP", "MINIMUM_PAIRS", "NOWHERE", "SIDES", "UNADJUSTED", "apart"}
"""What may be imported of the code that makes summaries."""

FORBIDDEN_CALLS = {
    "adjust", "argmax", "argmin", "argsort", "average", "bincount", "bootstrap", "corr", "corrcoef", "cov", "cumsum",
    "histogram", "interp", "kstest", "ks_2samp", "linregress", "mean", "median", "nanmean",
    "nanmedian", "nanpercentile", "nanquantile", "nanstd", "nansum", "nanvar", "percentile", "quantile", "rank",
    "searchsorted", "std", "sum", "ttest_1samp", "var", "wilcoxon",
}  # fmt: skip
"""As methods or functions of a module; `sum` of Python itself counts runs and seconds."""

COUNTS = {"len", "count_nonzero"}
ORDERED = {"text.py", "contents.py"}
"""The files that may compare numbers: to write them, and to know a version."""

NAMED = {
    names.REFERENCE,
    names.CONTROL,
    *names.MAIN_TYPES,
    *(name for pair in names.CLAIMS for name in pair),
    *(each.title for each in names.EXPERIMENTS.values()),
    *(each.title for each in names.STATISTICS.values()),
}
"""What only `plateaulens.names` spells out."""


def offences(source: str, name: str) -> Iterator[str]:
    """What a file does that the report must not, in the order of its syntax tree."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        for module in _imported(node):
            if module.startswith(FORBIDDEN_MODULES) or (module.startswith(FIGURES) and name not in DRAWS):
                yield f"imports {module}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("plateaulens.summary"):
            yield from (f"imports {each.name}" for each in node.names if each.name not in FROM_SUMMARY)
        if name in PACKS:
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_CALLS:
            yield f"calls {node.func.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS - {"sum"}:
            yield f"calls {node.func.id}"
        if isinstance(node, ast.Compare) and name not in ORDERED and _orders(node):
            yield f"compares {ast.unparse(node)}"
        if isinstance(node, ast.Constant) and node.value in NAMED and id(node) not in docstrings:
            yield f"spells out {node.value!r}"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{each.name}" for each in node.names]
    return []


def _orders(node: ast.Compare) -> bool:
    """Whether it asks which of two things is larger, neither of them being a count."""
    if not any(isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for operator in node.ops):
        return False
    return not any(_counts(side) for side in (node.left, *node.comparators))


def _counts(side: ast.expr) -> bool:
    if isinstance(side, ast.Subscript):
        return isinstance(side.value, ast.Attribute) and side.value.attr == "sizes"
    called = side.func if isinstance(side, ast.Call) else None
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in COUNTS


def test_the_package_has_files() -> None:
    assert len(FILES) > 15


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_of_the_report_only_words(file: Path) -> None:
    assert not list(offences(file.read_text(encoding="utf-8"), file.name))


@pytest.mark.parametrize(
    ("source", "offence"),
    [
        ("from plateaulens.compare.multiplicity import adjust", "imports plateaulens.compare.multiplicity.adjust"),
        ("from plateaulens import compare", "imports plateaulens.compare"),
        ("import scipy.stats", "imports scipy.stats"),
        ("from plateaulens.steps import corrected", "imports plateaulens.steps.corrected"),
        ("from plateaulens.figures.style import present", "imports plateaulens.figures.style.present"),
        ("from plateaulens.summary.verdicts import timing", "imports timing"),
        ("def f(group):\n    return group['steepness'].mean('sample')", "calls mean"),
        ("def f(p):\n    return adjust(p, 'holm')", "calls adjust"),
        ("def f(values):\n    return np.argsort(values)", "calls argsort"),
        ("def f(interval):\n    low, high = interval\n    return 'later' if low > 0 else ''", "compares low > 0"),
        ("def f(own, alpha):\n    return float(own['ks_p']) <= alpha", "compares float(own['ks_p']) <= alpha"),
        ("def f(group):\n    return group.sel(activation_type='real')", "spells out 'real'"),
        ("TITLES = {'plateau': 'plateaus'}", "spells out 'plateaus'"),
    ],
)
def test_an_offender_is_caught(source: str, offence: str) -> None:
    assert list(offences(source, "planted.py")) == [offence]


@pytest.mark.parametrize(
    "source",
    [
        '"""structured"""',
        "def f(rows):\n    return len(rows) > 1",
        "def f(group):\n    return group.sizes['seed'] > 1",
        "def f(sessions):\n    return sum(session['seconds'] for session in sessions)",
        "from plateaulens.summary.verdicts import MINIMUM_PAIRS, apart",
        "def f():\n    return 'later than real ones'",
    ],
)
def test_what_is_no_offence_is_not(source: str) -> None:
    assert not list(offences(source, "planted.py"))
