"""Reads the arguments, runs one subcommand, and turns what the user can mend into one line."""

import argparse
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

from plateaulens import __version__
from plateaulens.cli import (
    analyze,
    cache,
    collect,
    compare_reference,
    differ,
    export,
    models,
    plan,
    report,
    show,
    train,
    verify,
)
from plateaulens.cli.examples import EXAMPLES, as_text
from plateaulens.cli.interrupt import INTERRUPTED, STOPPED
from plateaulens.errors import LONGEST_MESSAGE, UsageError, shortened, text_of

_LONGEST = 4000
"""Characters of a message, however much was wrong."""
BAD_ARGUMENTS = 2
"""Exit status for a command line that cannot be read, as other programs have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. What the user can mend is one line on standard error."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    return run(_parser(), arguments)


def run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> int:
    """Parse and run the option `command` that a parser has set, errors and interruptions in one line each."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that it cannot say must not fail finished work
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could follow, see the README
        _complete(parser)
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        with _without_advice():
            return command(options)
    except UsageError as error:
        return _fail(text_of(error) or type(error).__name__)
    except KeyboardInterrupt:
        print(STOPPED, end="", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        return _fail(_explain(error))


def _complete(parser: argparse.ArgumentParser) -> None:
    """Tell the shell what could follow, and end; without the package there is nothing to tell."""
    try:
        import argcomplete  # noqa: PLC0415  an optional package
    except ImportError:
        return
    argcomplete.autocomplete(parser)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep libraries' warnings off the screen: they are for programmers, and what a user should know is an error here.

    What the filters make exceptions of stays one; whoever has Python warn (`-W`, `PYTHONWARNINGS`) is shown all.
    """
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.showwarning = _pass_over
        yield


def _pass_over(*_: object, **__: object) -> None:
    """Show no warning."""


def _fail(message: str) -> int:
    print(f"plateaulens: error: {shortened(message, _LONGEST)}", file=sys.stderr)
    return 1


def _explain(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{place}: make room and give the same command again, finished blocks are kept"
    return f"{error.strerror or text_of(error) or type(error).__name__}{place}"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line too; subcommands get the same."""

    def error(self, message: str) -> NoReturn:
        """Exit with one line, however long or odd what was given is."""
        told = shortened(message, LONGEST_MESSAGE)
        self.exit(BAD_ARGUMENTS, f"plateaulens: error: {told}: see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="plateaulens",
        description="Does this activation behave like a real one? Run, analyse and report it.",
        epilog=as_text(EXAMPLES[""]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (
        collect,
        analyze,
        report,
        show,
        export,
        compare_reference,
        differ,
        train,
        verify,
        plan,
        models,
        cache,
    ):
        command.add(commands)
    for name, subparser in commands.choices.items():
        subparser.description = next(each.help for each in commands._choices_actions if each.dest == name)  # noqa: SLF001
        subparser.epilog = as_text(EXAMPLES[name])
        subparser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser
