"""Keeping a device at work: targets drawn ahead of it by other cores, and what it has measured written behind it.

On a CPU nothing is gained, as measuring takes every core: `plateaulens.collect.collect` goes step by step there.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from plateaulens.store.run import RunStore
from plateaulens.store.schema import GroupSpec
from plateaulens.store.spans import Values

SAMPLES_PER_TASK = 16
"""Of a span, drawn by one thread: a run's first span is there soon, and an SAE encodes as many by one product."""
MOST_THREADS = 2
"""More wait for each other, as only one of them runs Python at a time: with 16 cores beside an H100 two were quickest.
Each has its share of the cores."""
SPANS_AHEAD = 2
"""Spans that are drawn and not yet walked, and spans that are measured and not yet written: what memory may hold."""


class Copy:
    """A batch's values on the host, on their way there while the device goes on.

    Parameters
    ----------
    values
        Tensors by name, on any device.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self.device = next(iter(values.values())).device
        self._event: torch.cuda.Event | None = None
        if self.device.type != "cuda":
            self._values = {name: value.cpu() for name, value in values.items()}
            return
        self._sources = list(values.values())  # not to be freed while they are read
        self._values = {
            name: torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
            for name, value in values.items()
        }
        self._event = torch.cuda.Event()
        self._event.record(torch.cuda.current_stream(self.device))

    @property
    def is_here(self) -> bool:
        """Whether nothing has to be waited for."""
        return self._event is None

    def wait(self) -> dict[str, Tensor]:
        """The values, once they are here.

        Returns
        -------
        dict
            Tensors on the host, by name.
        """
        if self._event is not None:
            self._event.synchronize()
            self._event = None
            self._sources.clear()
        return self._values


class Writer:
    """Writes spans in a thread of its own, in the order in which they were given; a context manager.

    An experiment's span follows the bases and targets that it was measured from, so that a process killed at any moment
    has stored no curve without them. Where something fails, whatever was given later is not written, and the next call
    raises it. Leaving by an exception gives up what is not being written at that moment.

    Parameters
    ----------
    store
        The run.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._room = threading.Semaphore(SPANS_AHEAD)
        self._error: BaseException | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._work, name="plateaulens-writer", daemon=True)

    def __enter__(self) -> Self:
        self._since = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given_up = error is not None
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._check()

    def put(
        self, group: str, span: slice, finish: Callable[[], Values], then: Callable[[], object] = lambda: None
    ) -> None:
        """Have a span written, after waiting until there is room for it.

        Parameters
        ----------
        group
            `activations`, or the name of an experiment.
        span
            The samples.
        finish
            Gives every variable of the group but `completed`; called in the writer's thread, as `then` is.
        then
            Called when the span is written.

        Raises
        ------
        BaseException
            What an earlier span has failed with.
        """
        self._room.acquire()
        self._check()

        def task() -> None:
            self._write_one(group, span, finish)
            then()

        self._waiting.put(task)

    def flush(self) -> None:
        """Wait until all that was given is written.

        Raises
        ------
        BaseException
            What a span has failed with.
        """
        done = threading.Event()
        self._room.acquire()
        self._waiting.put(done.set)
        while not done.wait(0.1) and self._error is None:
            pass
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            try:
                if self._error is None and not self._given_up:
                    task()
            except BaseException as error:  # noqa: BLE001  whatever it is, the thread that measures raises it
                self._error = error
            finally:
                self._room.release()

    def _write_one(self, group: str, span: slice, finish: Callable[[], Values]) -> None:
        values = finish()
        if not self._store.is_completed(group, span):  # as in `collect`: another process may just have finished it
            self._store.write(group, span, values)
        # what this thread waited for is time of the run as well, and no time counts twice
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        self._store.record_session(seconds)


class Ahead:
    """Bases and targets of pending spans, drawn before they are asked for, in the order of the samples.

    Parameters
    ----------
    spans
        Which are wanted.
    draw
        Gives the values of `/activations` for any range of samples, the same in whatever order it is asked.
    layout
        What the schema says of `/activations`.
    pool
        What draws; None draws each span where and when it is asked for.
    """

    def __init__(
        self,
        spans: tuple[slice, ...],
        draw: Callable[[slice], Values],
        layout: GroupSpec,
        pool: ThreadPoolExecutor | None,
    ) -> None:
        self._draw, self._layout, self._pool = draw, layout, pool
        self._left = iter(spans)
        self._under_way: deque[tuple[slice, list[Future[Values]]]] = deque()

    def __iter__(self) -> Iterator[tuple[slice, Values]]:
        if self._pool is None:
            for span in self._left:
                yield span, self._draw(span)
            return
        self._submit(SPANS_AHEAD)
        while self._under_way:
            span, parts = self._under_way.popleft()
            values = self._joined([part.result() for part in parts])
            self._submit(1)
            yield span, values

    def _submit(self, count: int) -> None:
        assert self._pool is not None
        for span in islice(self._left, count):
            starts = range(span.start, span.stop, SAMPLES_PER_TASK)
            parts = (slice(start, min(start + SAMPLES_PER_TASK, span.stop)) for start in starts)
            self._under_way.append((span, [self._pool.submit(self._draw, part) for part in parts]))

    def _joined(self, parts: list[Values]) -> Values:
        axis = {variable.name: variable.dims.index("sample") for variable in self._layout.variables}
        return {name: np.concatenate([part[name] for part in parts], axis=axis[name]) for name in parts[0]}


@contextmanager
def drawing_threads() -> Iterator[ThreadPoolExecutor]:
    """Threads for `Ahead`, among which torch's are shared out.

    Yields
    ------
    ThreadPoolExecutor
        What is not begun is dropped when it is left; torch has its threads back then.
    """
    cores = torch.get_num_threads()
    threads = min(MOST_THREADS, cores)
    pool = ThreadPoolExecutor(
        threads,
        thread_name_prefix="plateaulens-targets",
        initializer=torch.set_num_threads,
        initargs=(cores // threads,),
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)
