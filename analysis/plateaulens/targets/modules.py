"""Python files and modules in which users register activation types, what identifies the code in them, and its errors.

Whatever a user's code raises is one line that says where: a traceback would show the inside of PlateauLens, and
`sys.exit(0)` would end a run as if it were finished.
"""

import importlib
import importlib.util
import inspect
import sys
import traceback
from hashlib import sha256
from pathlib import Path
from typing import Any

from plateaulens.errors import LONGEST_MESSAGE, UsageError, shortened, text_of


def load_module(name: str) -> None:
    """Run a Python file or import a module, so that what it registers is known.

    A file is run at every call, a module once per process, as imports are.

    Parameters
    ----------
    name
        A path that ends in `.py`, or the name of a module.

    Raises
    ------
    UsageError
        When there is no such file or module, when it is not Python, and for whatever its code raises, `SystemExit`
        among it.
    """
    where = f"targets.modules: {name or repr(name)}"
    try:
        if name.endswith(".py"):
            _run_file(Path(name).resolve())
        else:
            importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if file := _first_file(error):
            raise UsageError(f"{where}: {told(error, file)}") from error
        raise UsageError(
            f"{where} cannot be loaded ({told(error, '')}); give the path of a .py file, or a module that can be "
            "imported"
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
        source = Path(file_of(definition)).read_bytes()
    except OSError:
        source = b""
    return {
        "module": module_of(definition),
        "sha256": sha256(source).hexdigest() if source else "",
    }


def module_of(definition: Any) -> str:
    """The name of the module that defines a class or a function.

    Parameters
    ----------
    definition
        The class or function.

    Returns
    -------
    str
        The name of the file for one that `load_module` ran, wherever that lies.
    """
    return Path(definition.__module__ or "__main__").name  # a function made by `exec` has none


def file_of(definition: Any) -> str:
    """The source file that defines a class or a function.

    Parameters
    ----------
    definition
        The class or function.

    Returns
    -------
    str
        Its path, empty where there is none.
    """
    try:
        return inspect.getsourcefile(definition) or ""
    except TypeError:
        return ""


def told(error: BaseException, file: str) -> str:
    """An exception of a user's code on one line.

    Parameters
    ----------
    error
        What was raised.
    file
        The user's file.

    Returns
    -------
    str
        Its kind, the first line of its message, and the last line of the file that the traceback comes through. A
        `UsageError` explains itself, and goes without its kind.
    """
    message = shortened((text_of(error).strip().splitlines() or [""])[0], LONGEST_MESSAGE)
    kind = "" if isinstance(error, UsageError) else type(error).__name__
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    place = f" ({file}, line {lines[-1]})" if lines else ""
    return ": ".join(filter(None, (kind, message))) + place


def _first_file(error: BaseException) -> str:
    """The file of the first code that was run between here and the exception, other than that of importing."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if file not in (__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            return file
    return ""


def _run_file(path: Path) -> None:
    # under its path, so that files of one name do not replace each other's types
    spec = importlib.util.spec_from_file_location(str(path), path)
    assert spec is not None and spec.loader is not None, "every .py file has a loader"  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
