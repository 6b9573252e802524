"""The one exception that stands for a user's mistake rather than a bug, and what keeps its message on one line."""

from pydantic import BaseModel, ValidationError


class UsageError(ValueError):
    """Something the user can mend: the message says what, where and the remedy, on one line."""


def first_line(error: Exception) -> str:
    r"""The first line of another library's message.

    Parameters
    ----------
    error
        Any exception.

    Returns
    -------
    str
        Without blanks around the message; the exception's name when it has none.

    Examples
    --------
    >>> first_line(ValueError("no such layer\n(and much advice)")), first_line(KeyError())
    ('no such layer', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
    place = ".".join(str(part) for part in first["loc"]) or "configuration"
    message = first["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(first["input"], dict | BaseModel) else f" (got {first['input']!r})"
    return f"{place}: {message}{shown}" + (f", and {len(more)} more" if more else "")
