"""The one exception that stands for a user's mistake rather than a bug."""


class UsageError(Exception):
    """Something the user can mend: the message says what, where and the remedy, on one line."""
