"""Python files and modules in which users register activation types, and what identifies the code in them."""

import importlib
import importlib.util
import inspect
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from plateaulens.errors import UsageError, first_line


def load_module(name: str) -> None:
    """Run a Python file or import a module, so that what it registers is known.

    A file is run at every call, a module once per process, as imports are. What their own code raises is passed on.

    Parameters
    ----------
    name
        A path that ends in `.py`, or the name of a module.

    Raises
    ------
    UsageError
        When there is no such file or module, or when it is not Python.
    """
    try:
        if name.endswith(".py"):
            _run_file(Path(name).resolve())
        else:
            importlib.import_module(name)
    except (FileNotFoundError, ModuleNotFoundError, SyntaxError) as error:
        raise UsageError(
            f"targets.modules: {name} cannot be loaded ({first_line(error)}); give the path of a .py file, or a module "
            "that can be imported"
        ) from error


def source_of(definition: Any) -> dict[str, str]:
    """The module that defines a class or a function, and the hash of its source.

    Parameters
    ----------
    definition
        The class or function.

    Returns
    -------
    dict
        `module`, its name, which is the name of the file for one that `load_module` ran, wherever that lies; and
        `sha256`, the SHA-256 of its source file in hexadecimal digits, empty in an interactive session.
    """
    try:
        source = Path(inspect.getsourcefile(definition) or "").read_bytes()
    except (TypeError, OSError):
        source = b""
    return {
        "module": Path(definition.__module__).name,
        "sha256": sha256(source).hexdigest() if source else "",
    }


def _run_file(path: Path) -> None:
    # under its path, so that files of one name do not replace each other's types
    spec = importlib.util.spec_from_file_location(str(path), path)
    assert spec is not None and spec.loader is not None, "every .py file has a loader"  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
