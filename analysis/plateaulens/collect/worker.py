"""What a dask worker does of a run: one span at a time, with a context that it has opened once.

A worker measures its span and writes it to the store itself, so that nothing is funnelled through the client. That
needs no lock: spans share no chunk, the client hands each to one worker, and a span that is measured twice (its first
worker was lost after writing it) has the same bytes both times.
"""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from distributed import Worker, WorkerPlugin, get_worker

from plateaulens.collect.collect import span_values
from plateaulens.collect.context import Description, RunContext, attributes, description, open_context
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.store.identity import Attributes, differences, resume_differences
from plateaulens.store.location import locate
from plateaulens.store.reading import check_kind
from plateaulens.store.schema import RUN_KIND, RunSpec
from plateaulens.store.spans import SpanStore
from plateaulens.subject import preflight

TURN = {"plateaulens-span": 1}
"""The dask resource that every task takes and every worker has one of."""
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Assignment:
    """What is the same for all spans of a run: how to measure, what the run says of itself, and where it is."""

    config: RunConfig
    attributes: Attributes
    path: str
    command: str
    """Whose run it is: within one command files are taken to stay as they are, and are not read again."""


def _returning_usage_errors(task: Callable[P, T]) -> Callable[P, T | UsageError]:
    """A task that returns what a user must mend, with its worker's name: raised, dask would try it again."""

    @wraps(task)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T | UsageError:
        try:
            return task(*args, **kwargs)
        except UsageError as error:
            return UsageError(f"worker {get_worker().address}: {error}")

    return wrapped


@_returning_usage_errors
def check(config: RunConfig) -> None:
    """See whether a run could begin, before anything is loaded.

    Parameters
    ----------
    config
        The run's configuration.

    Returns
    -------
    None or UsageError
        The error is returned, with the worker's name, as `plateaulens.subject.preflight.check` would raise it.
    """
    preflight.check(config)


@_returning_usage_errors
def describe(config: RunConfig, command: str) -> Description:
    """Everything about a run that only its model and its prompts can tell.

    Parameters
    ----------
    config
        The run's configuration.
    command
        As `Assignment` has it.

    Returns
    -------
    Description or UsageError
        The error is returned, with the worker's name, when the configuration cannot be run.
    """
    return description(_run_context(config, command))


@_returning_usage_errors
def measure(assignment: Assignment, group: str, span: slice) -> float:
    """Measure a span and write it, unless it is completed.

    Parameters
    ----------
    assignment
        The run.
    group
        `activations`, or the name of an experiment.
    span
        The samples to measure.

    Returns
    -------
    float or UsageError
        Seconds that it took, the model's loading not counted. The error is returned, with the worker's name, when this
        worker does not see the run, or would measure something else than the run's other workers.
    """
    run_context = _run_context(assignment.config, assignment.command)
    began = time.monotonic()
    place = locate(assignment.path)
    stored = check_kind(place, RUN_KIND)
    store = SpanStore(place, RunSpec.from_json(str(stored["layout"])))
    _check_same(stored, assignment, attributes(run_context), drawn=not store.pending("activations"))
    if not store.is_completed(group, span):
        store.write(group, span, span_values(run_context, store, group, span))
    return time.monotonic() - began


def software(attributes: Attributes) -> dict[str, object]:
    """The versions and the commit among a run's attributes.

    Parameters
    ----------
    attributes
        As `plateaulens.collect.context.attributes` makes them, or as a store has them.

    Returns
    -------
    dict
        `versions`, read from its JSON, and `commit`.
    """
    return {"versions": json.loads(str(attributes["versions"])), "commit": attributes["commit"]}


class TakeTurns(WorkerPlugin):
    """Lets a worker have one span at a time, however many threads it has: a span uses all of them."""

    name = "plateaulens-turns"

    async def setup(self, worker: Worker) -> None:
        """Give the worker its resource; dask calls this for workers that join later, too.

        Parameters
        ----------
        worker
            The worker that joins.
        """
        await worker.set_resources(**TURN)


class IgnoreInterrupts(WorkerPlugin):
    """For workers that the client has started: Ctrl-C reaches every process of a terminal, and the client ends them."""

    name = "plateaulens-ignore-interrupts"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 (dask's signature)
        """Have the worker's process ignore interrupts, and not warn of spans that the client has called off.

        Parameters
        ----------
        worker
            The worker that joins; not used.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        logging.getLogger("distributed.worker.state_machine").setLevel(logging.ERROR)


def _check_same(stored: Attributes, assignment: Assignment, own: Attributes, *, drawn: bool) -> None:
    """Raise `UsageError` unless the run's identity is this worker's, and its software that of the other workers."""
    found = resume_differences(stored, own, drawn=drawn)
    found += differences(software(assignment.attributes), software(own), "here")
    if found:
        raise UsageError(f"it would measure something else than the run's other workers: {'; '.join(found)}")


_opening = threading.Lock()
_opened: list[tuple[str, RunConfig, RunContext]] = []
"""The last context and whose it is: a cell of a sweep has most of what the one before it had, while another command may
find something else at the same paths."""


def _run_context(config: RunConfig, command: str) -> RunContext:
    """The context of this process, which uses as many threads as the worker was given."""
    torch.set_num_threads(get_worker().state.nthreads)
    with _opening:
        if not _opened or _opened[0][:2] != (command, config):
            known = _opened[0][2] if _opened and _opened[0][0] == command else None
            _opened.clear()  # another command's model need not be held while this one's is loaded
            _opened.append((command, config, open_context(config, known)))
        return _opened[0][2]
