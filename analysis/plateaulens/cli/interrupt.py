"""What Ctrl-C does to a command: one line, and the status that a shell gives for it."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell reports it."""
STOPPED = "plateaulens: stopped; the same command goes on from here\n"


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process there and then, without an exception: for the time in which modules are imported.

    Nothing is open then that would have to be closed, and an exception would come up in the middle of other people's
    modules, some of which catch it, or where Python cannot pass it on.

    Yields
    ------
    None
        Outside the main thread, and where somebody else has taken the signal over, nothing is changed.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not is_ours:
        yield
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def say_so() -> None:
    """Print the one line."""
    sys.stdout.flush()
    os.write(2, STOPPED.encode())


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    say_so()
    os._exit(INTERRUPTED)
