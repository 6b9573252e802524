"""The one exception that stands for a user's mistake rather than a bug, and what keeps its message on one line."""

from pydantic import BaseModel, ValidationError


class UsageError(Exception):
    """Something the user can mend: the message says what, where and the remedy, on one line."""


def first_line(error: Exception) -> str:
    r"""The first line of another library's message, or the exception's name when it has none.

    >>> first_line(ValueError("no such layer\n(and much advice)")), first_line(KeyError())
    ('no such layer', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def explain(error: ValidationError) -> str:
    """The first problem of a validation error, and how many more there are, on one line."""
    first, *more = error.errors()
    place = ".".join(str(part) for part in first["loc"]) or "configuration"
    message = first["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(first["input"], dict | BaseModel) else f" (got {first['input']!r})"
    return f"{place}: {message}{shown}" + (f", and {len(more)} more" if more else "")
