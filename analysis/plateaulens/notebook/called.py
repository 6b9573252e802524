"""Packages that are called by their name, as `pl.compare(run)`: their names are taken in the one that they lie in."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

HOME = "plateaulens.notebook.runs"
"""Where the functions are."""


class Called(ModuleType):
    """A package that is called like the function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """What the function of `HOME` gives. See `plateaulens.notebook.runs`."""
        function = getattr(import_module(HOME), self.__name__.rpartition(".")[2])
        return function(*arguments, **options)


def make_callable(package: str) -> None:
    """Let a package that has been imported be called.

    Parameters
    ----------
    package
        Its whole name; what it ends with is the name of a function of `HOME`.
    """
    sys.modules[package].__class__ = Called
