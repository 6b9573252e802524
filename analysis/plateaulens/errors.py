"""The one exception that stands for a user's mistake rather than a bug, and what keeps its message on one line."""


class UsageError(Exception):
    """Something the user can mend: the message says what, where and the remedy, on one line."""


def first_line(error: Exception) -> str:
    r"""The first line of another library's message, or the exception's name when it has none.

    >>> first_line(ValueError("no such layer\n(and much advice)")), first_line(KeyError())
    ('no such layer', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
