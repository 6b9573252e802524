"""What a long piece of work is at: it says so, and whoever wants to know listens."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from plateaulens.errors import LONGEST_MESSAGE, shortened

_LISTENER: ContextVar[Callable[[str], object] | None] = ContextVar("_LISTENER", default=None)


def stage(what: str) -> None:
    """Say what begins now; nothing happens where nobody listens.

    Parameters
    ----------
    what
        A few words.
    """
    if (tell := _LISTENER.get()) is not None:
        tell(what)


def print_notes(notes: Iterable[str]) -> None:
    """Print what whoever starts a run should know of it, a line each.

    Parameters
    ----------
    notes
        As long as they are; what is too long is shortened.
    """
    for note in notes:
        print(shortened(note, LONGEST_MESSAGE), flush=True)


@contextmanager
def listening(tell: Callable[[str], object]) -> Iterator[None]:
    """Be told what begins, for the time of a `with` statement.

    Parameters
    ----------
    tell
        Called with what `stage` is called with.

    Yields
    ------
    None
        While it listens.

    Examples
    --------
    >>> with listening(print):
    ...     stage("the second half")
    the second half
    """
    token = _LISTENER.set(tell)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def shown(title: str) -> Iterator[None]:
    """Show on standard error what stage the work is at and how long it has taken, when that is a terminal.

    Parameters
    ----------
    title
        What the whole of the work is called.

    Yields
    ------
    None
        While the line is there; afterwards it is gone.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415  takes a while to import, and others need it not at all
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # what is printed meanwhile goes where it would go without the line
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(title, total=None)
        with listening(lambda what: progress.update(task, description=f"{title}: {what}")):
            yield
