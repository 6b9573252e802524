"""Modules that others import and that are hardly ever used: loaded when something is first looked up in them."""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until something is wanted of it.

    `importlib.util.LazyLoader` would load it for its `__file__` too, which `inspect` asks of every module there is.
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def lazily(name: str) -> None:
    """Have a module loaded at its first use rather than by its import, for whoever imports it from now on.

    Parameters
    ----------
    name
        Of a module that is in no package. Nothing happens when it is loaded already, or not installed.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None:
        return
    later = _Later(name, f"{name}, once it is used.")
    later.__spec__, later.__loader__, later.__file__ = spec, spec.loader, spec.origin
    sys.modules[name] = later
