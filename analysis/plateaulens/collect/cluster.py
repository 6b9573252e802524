"""Runs on a dask.distributed cluster: the spans that one process would measure, as tasks whose workers write them."""

import logging
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed
from distributed.comm.core import CommClosedError
from distributed.utils import silence_logging_cmgr
from tqdm.auto import tqdm

from plateaulens.collect.worker import TURN, Assignment, IgnoreInterrupts, TakeTurns, check, describe, measure, software
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError, first_line
from plateaulens.progress import print_notes
from plateaulens.provenance import commit, versions
from plateaulens.store.identity import differences
from plateaulens.store.location import Location, locate
from plateaulens.store.run import RunStore, open_or_create

ATTEMPTS_AGAIN = 2
"""How often a span is tried again after an error. One whose worker is lost does not count: see `_answer`."""

SPANS_PER_WORKER = 2
"""One under way and one at hand. More would only wait: how many spans a run has must not matter to the scheduler."""

LOST = "the scheduler was lost: the same command goes on from here"

T = TypeVar("T")


class Cluster:
    """The workers of a dask scheduler, as `connected` gives them.

    Parameters
    ----------
    client
        Of the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._command = uuid.uuid4().hex
        self._told: set[str] = set()

    def check(self, config: RunConfig) -> None:
        """Refuse what can be seen not to run without loading anything, as a worker sees it.

        Parameters
        ----------
        config
            A run's configuration.

        Raises
        ------
        UsageError
            As `plateaulens.subject.preflight.check` does, and when the scheduler is lost.
        """
        _answer(self._client.submit(check, config, pure=False, resources=TURN))

    def collect(self, config: RunConfig, out: Location) -> None:
        """Run what is still missing of a configuration's run.

        The run is, byte for byte, the one that `plateaulens.collect.collect.collect` makes, and either continues the
        other's. This process loads no model: it makes the store, holds its lock, hands out spans and notes the time
        they took. A worker that is lost in the middle of a span costs that span's time.

        Parameters
        ----------
        config
            The run's configuration.
        out
            Where the run is, or is to be: a place that every worker sees, too.

        Raises
        ------
        UsageError
            When the scheduler is lost, a worker does not see `out` or would measure something else, the configuration
            cannot be run, another run is at `out`, or a span has killed several workers one after another.
        """
        place = locate(out)
        run = _answer(self._client.submit(describe, config, self._command, pure=False, resources=TURN))
        _check_software(software(run.attributes))
        print_notes(note for note in run.notes if note not in self._told)
        self._told.update(run.notes)
        assignment = Assignment(config, run.attributes, place.absolute(), self._command)
        with open_or_create(place, run.spec, run.attributes, run.prompts) as store:
            _measure(self._client, assignment, store, ["activations"])
            _measure(self._client, assignment, store, config.experiments)
            store.seal()


@contextmanager
def connected(scheduler: str | None = None, workers: int | None = None) -> Iterator[Cluster]:
    """The workers of a scheduler, for as long as the context lasts.

    Parameters
    ----------
    scheduler
        Address of an existing scheduler; None starts one on this machine, with workers of its own.
    workers
        How many processes are started where there is no scheduler, which share the machine's cores; None is one.

    Yields
    ------
    Cluster
        What collects by them.

    Raises
    ------
    UsageError
        When the scheduler or its workers cannot be reached, or are lost.
    """
    with _connected(scheduler, workers) as client:
        yield Cluster(client)


@contextmanager
def _connected(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    """A client of the scheduler at that address, or of one that is started here with that many workers."""
    if scheduler is None:
        count = workers or 1
        threads = max(1, CPU_COUNT // count)
        with (
            _silent_loop(),
            LocalCluster(n_workers=count, threads_per_worker=threads, dashboard_address="127.0.0.1:0") as cluster,
            Client(cluster) as client,
        ):
            client.register_plugin(TakeTurns())
            client.register_plugin(IgnoreInterrupts())
            try:
                yield client
            finally:
                # A process that holds torch takes its time to end, which is nothing to warn of.
                logging.getLogger("distributed.nanny").setLevel(logging.ERROR)
        return
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise UsageError(f"scheduler {scheduler} cannot be reached ({first_line(error)}): is it running?") from error
    # Of a lost scheduler the client logs a traceback or two, at which moment ever; `_answer` says it in one line.
    with silence_logging_cmgr(logging.CRITICAL + 1), _silent_loop(), client:
        try:
            client.wait_for_workers(1, timeout=60)
        except TimeoutError:
            raise UsageError(f"scheduler {scheduler} has no workers: start `dask worker {scheduler}`") from None
        client.register_plugin(TakeTurns())
        try:
            yield client
        except OSError as error:
            if isinstance(error, CommClosedError) or client.status != "running":
                raise UsageError(LOST) from error
            raise


@contextmanager
def _silent_loop() -> Iterator[None]:
    """Ctrl-C just as the client has asked something is a fault in its event loop, whose traceback helps nobody.

    `distributed.utils.sync` cancels a future there that has no value yet, a `NameError`. Other faults are told.
    """

    def is_told(record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], NameError)

    logger = logging.getLogger("tornado.application")
    logger.addFilter(is_told)
    try:
        yield
    finally:
        logger.removeFilter(is_told)


def _measure(client: Client, assignment: Assignment, store: RunStore, groups: Iterable[str]) -> None:
    """Have every pending span of some groups measured, in any order."""
    pending = [(group, span) for group in groups for span in store.pending(group)]
    waiting, running = iter(pending), dict["Future[float | UsageError]", tuple[str, slice]]()
    finished = as_completed()
    with tqdm(total=len(pending), unit="span", desc=", ".join(groups), disable=None) as bar:
        try:
            while True:
                room = SPANS_PER_WORKER * max(1, len(client.nthreads())) - len(running)
                for group, span in islice(waiting, max(0, room)):
                    future = client.submit(
                        measure, assignment, group, span, pure=False, resources=TURN, retries=ATTEMPTS_AGAIN
                    )
                    running[future] = group, span
                    finished.add(future)
                if not running:
                    break
                future = next(finished)
                del running[future]
                store.record_session(_answer(future))
                bar.update()
        finally:
            client.cancel(list(running), force=True)
    for group in groups:
        if left := len(store.pending(group)):
            raise UsageError(
                f"{store.place}: {left} spans of {group} were measured and are not here: the run must lie where all "
                "workers and this machine see it, on a shared file system or at a URL"
            )


def _answer(future: "Future[T | UsageError]") -> T:
    """The task's result. Raises the `UsageError` that it returned, or one that says how it was lost."""
    try:
        result = future.result()
    except KilledWorker as error:
        raise UsageError(
            f"a span was given up, because every worker that measured it was lost ({first_line(error)}): look for "
            "their end in the workers' logs; often it is memory"
        ) from error
    except CancelledError as error:
        raise UsageError(LOST) from error
    if isinstance(result, UsageError):
        raise result
    return result


def _check_software(theirs: dict[str, object]) -> None:
    """Raise `UsageError` unless this process, which makes the store, has the software of the workers that fill it."""
    if found := differences(theirs, {"versions": versions(), "commit": commit()}, "here"):
        raise UsageError(f"workers and this process must run the same software: {'; '.join(found)}")
