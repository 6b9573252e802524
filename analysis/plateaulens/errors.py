"""The one exception that stands for a user's mistake rather than a bug, and what keeps its message on one line.

What comes from outside (presets, models, autoencoders, prompts, stores) may hold anything, and each library that reads
it has exceptions of its own for that: `reading` is the one place that makes a line of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ValidationError

LONGEST_MESSAGE = 300
"""Characters of another library's message that are shown."""
LONGEST_VALUE = 60
"""Characters of a value that are shown."""
_PANIC = "pyo3_runtime"
"""The module of what a library written in Rust raises in a panic, which is no `Exception`."""


class UsageError(ValueError):
    """Something the user can mend: the message says what, where and the remedy, on one line."""


@contextmanager
def reading(claim: str, remedy: str | None = None) -> Iterator[None]:
    """Say on one line what is wrong with something from outside, whatever the library raises that reads it.

    Parameters
    ----------
    claim
        What cannot be done, with what it cannot be done to.
    remedy
        What to do about it; None where the claim says all.

    Yields
    ------
    None
        While it is read.

    Raises
    ------
    UsageError
        For any exception, out of memory and too deeply nested among them; one of these is passed on as it is.

    Examples
    --------
    >>> with reading("a.npz cannot be read", "make it again"):
    ...     int("x")
    Traceback (most recent call last):
    plateaulens.errors.UsageError: a.npz cannot be read (invalid literal for int() with base 10: 'x'): make it again
    """
    try:
        yield
    except UsageError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != _PANIC:
            raise  # an interruption
        told = f"{claim}: {reason(error)}" if remedy is None else f"{claim} ({reason(error)}): {remedy}"
        raise UsageError(told) from error


def reason(error: BaseException) -> str:
    """Why something failed, on one line.

    Parameters
    ----------
    error
        What was raised.

    Returns
    -------
    str
        What the system says of one of its own errors, what `explain` makes of pydantic's, else `first_line`.

    Examples
    --------
    >>> reason(FileNotFoundError(2, "No such file or directory", "/a/long/path")), reason(RecursionError("too deep"))
    ('No such file or directory', 'too deep')
    """
    if isinstance(error, ValidationError):
        return explain(error)
    if isinstance(error, OSError) and (said := text_of(error.strerror or "")):
        return shortened(said, LONGEST_MESSAGE)
    return first_line(error)


def first_line(error: BaseException) -> str:
    r"""The first line of another library's message.

    Parameters
    ----------
    error
        Any exception.

    Returns
    -------
    str
        Without blanks around the message, and no longer than `LONGEST_MESSAGE`; the exception's name when it has none.

    Examples
    --------
    >>> first_line(ValueError("no such layer\n(and much advice)")), first_line(KeyError())
    ('no such layer', 'KeyError')
    """
    return shortened((text_of(error).strip() or type(error).__name__).splitlines()[0], LONGEST_MESSAGE)


def text_of(value: object) -> str:
    """What something from outside says of itself, an exception's message above all.

    Parameters
    ----------
    value
        Anything. Its class may be anybody's, and so may what happens when it is asked for a text.

    Returns
    -------
    str
        Its text; empty when it has none to give.

    Raises
    ------
    KeyboardInterrupt
        When it is interrupted; whatever else comes up is that it has no text, `SystemExit` too.

    Examples
    --------
    >>> class Mute(Exception):
    ...     def __str__(self):
    ...         raise RuntimeError
    >>> text_of(ValueError("why")), text_of(Mute())
    ('why', '')
    """
    try:
        return str(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  `SystemExit` would end a run as if it were finished
        return ""


def explain(error: ValidationError) -> str:
    """What is wrong with a configuration or another of pydantic's models.

    Parameters
    ----------
    error
        What pydantic raised.

    Returns
    -------
    str
        The first problem, with the dotted key and the value that was given, and how many more there are, on one line.
    """
    first, *more = error.errors()
    parts = [str(part) for part in first["loc"]]
    # what pydantic calls one of the alternatives of a union is no key
    keys = [part for part in parts if not (part.startswith("function-") and part.endswith("]"))]
    place = shortened(".".join(keys), LONGEST_MESSAGE) or "configuration"
    message = shortened(first["msg"].removeprefix("Value error, "), LONGEST_MESSAGE)
    given = "" if isinstance(first["input"], dict | BaseModel) else f" (got {shown(first['input'])})"
    return f"{place}: {message}{given}" + (f", and {len(more)} more" if more else "")


def shown(value: object) -> str:
    """A value from outside as a message shows it.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    str
        As Python writes it, on one line and no longer than `LONGEST_VALUE`.

    Examples
    --------
    >>> shown("sensitivity"), shown(10**5000)
    ("'sensitivity'", 'int that is too long to print')
    """
    try:
        return shortened(repr(value), LONGEST_VALUE)
    except (ValueError, RecursionError):  # more digits than Python prints, or nested without end
        return f"{type(value).__name__} that is too long to print"
    except Exception:  # noqa: BLE001  whatever its class does
        return f"{type(value).__name__} that cannot be printed"


def shortened(text: str, longest: int) -> str:
    r"""A text on one line, cut where it is too long, without what a terminal would take for a command.

    Parameters
    ----------
    text
        Any text.
    longest
        Characters that are kept at most.

    Returns
    -------
    str
        With `...` where it was cut, and backslashes in place of what cannot be printed.

    Examples
    --------
    >>> shortened("from a\nto \x1b[1m z", 12)
    'from a to ...'
    """
    line = " ".join(text[: 2 * longest].splitlines())
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    return line if len(line) <= longest and len(text) <= 2 * longest else f"{line[: longest - 2].rstrip()} ..."
