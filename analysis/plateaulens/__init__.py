"""PlateauLens asks of an activation whether it behaves like a real one.

Importing this package needs no torch: opening, analysing and plotting a run work without it. What it offers is loaded
when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plateaulens import plot, stats

    __version__: str
    from plateaulens.errors import UsageError
    from plateaulens.notebook.runs import compare, report, save
    from plateaulens.notebook.score import score_sae
    from plateaulens.notebook.subject import Subject
    from plateaulens.notebook.walk import walk
    from plateaulens.store.reading import open_run, open_summary, open_sweep_summary
    from plateaulens.store.verify import verify
    from plateaulens.summary.analyze import analyze

__all__ = [
    "Subject",
    "UsageError",
    "__version__",
    "analyze",
    "compare",
    "open_run",
    "open_summary",
    "open_sweep_summary",
    "plot",
    "report",
    "save",
    "score_sae",
    "stats",
    "verify",
    "walk",
]

_HOMES = {
    "Subject": "plateaulens.notebook.subject",
    "UsageError": "plateaulens.errors",
    "analyze": "plateaulens.summary.analyze",
    "open_run": "plateaulens.store.reading",
    "open_summary": "plateaulens.store.reading",
    "open_sweep_summary": "plateaulens.store.reading",
    "save": "plateaulens.notebook.runs",
    "score_sae": "plateaulens.notebook.score",
    "verify": "plateaulens.store.verify",
    "walk": "plateaulens.notebook.walk",
}
_MODULES = ("plot", "stats")
_CALLED = ("compare", "report")
"""Packages that can be called: see `plateaulens.notebook.called`."""
_TREES = ("open_run", "open_summary", "walk")
"""What gives a tree, and its accessor with it."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _CALLED:
        package = import_module(f"{__name__}.{name}")
        import_module(f"{__name__}.notebook.called").make_callable(package.__name__)
        return package
    if name in _TREES:
        import_module(f"{__name__}.notebook.accessor")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def _version() -> str:
    # what it takes is imported here, so that the command line has little to import before it can say why it ends
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("plateaulens")
    except PackageNotFoundError:  # a source tree on the path is enough to run it
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
