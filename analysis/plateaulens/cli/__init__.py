"""The command line: one subcommand per file, and errors of one line."""

from collections.abc import Sequence

from plateaulens.cli.interrupt import INTERRUPTED, leaving_at_once, say_so

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        What stands after the program's name; None takes this process's.

    Returns
    -------
    int
        The exit status.
    """
    try:
        with leaving_at_once():
            from plateaulens.cli.entry import main as enter  # noqa: PLC0415  from here on Ctrl-C is one line
        return enter(arguments)
    except KeyboardInterrupt:  # before the command, or behind it
        say_so()
        return INTERRUPTED
