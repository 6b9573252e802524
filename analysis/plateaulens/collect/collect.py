"""`collect`: run the experiments of a configuration and store every curve, span by span, resumably."""

import time
from collections.abc import Callable

from tqdm.auto import tqdm

from plateaulens.collect.context import RunContext, attributes, open_context, prompt_values, specification
from plateaulens.config import RunConfig
from plateaulens.store.location import Location
from plateaulens.store.run import RunStore, open_or_create
from plateaulens.store.spans import SpanStore, Values


def _ignore(paths: int) -> None:
    """Where nobody wants to know how many paths have been walked."""


def collect(
    config: RunConfig, out: Location, run_context: RunContext | None = None, *, quiet: bool | None = None
) -> None:
    """Run what is still missing of a configuration's run, with a progress bar when there is a terminal.

    A run that stopped at any moment is continued by the same call, to the same bytes.

    Parameters
    ----------
    config
        The run's configuration.
    out
        Where the run is, or is to be.
    run_context
        That of the configuration, when it has been opened already.
    quiet
        Whether there is no progress bar; None has one where there is a terminal.

    Raises
    ------
    UsageError
        When the configuration cannot be run or another run is at `out`.
    """
    run_context = run_context or open_context(config)
    with open_or_create(out, specification(run_context), attributes(run_context), prompt_values(run_context)) as store:
        for span in store.pending("activations"):
            _run_span(run_context, store, "activations", span)
        for name in config.experiments:
            _run_experiment(run_context, store, name, quiet)
        store.seal()


def span_values(
    run_context: RunContext, store: SpanStore, group: str, span: slice, advance: Callable[[int], object] = _ignore
) -> Values:
    """Measure a span of `activations` or, from what that holds of the same samples, of an experiment.

    Parameters
    ----------
    run_context
        That of the run.
    store
        The run, whose `activations` are read.
    group
        `activations`, or the name of an experiment.
    span
        The samples to measure.
    advance
        Told how many paths have been walked, each time some have.

    Returns
    -------
    Values
        Every variable of the group but `completed`, as `SpanStore.write` takes them.
    """
    if group == "activations":
        values = run_context.activations(span)
        return {
            variable.name: values[variable.name]
            for variable in store.spec.groups[group].variables
            if variable.name in values
        }
    known = store.read("activations", span)
    return run_context.curves(group, span, {name: known[name].to_numpy() for name in ("base", "target")}, advance)


def _run_experiment(run_context: RunContext, store: RunStore, name: str, quiet: bool | None) -> None:
    width = len(run_context.kinds)
    pending = store.pending(name)
    total = run_context.config.experiment(name).samples * width
    left = sum(span.stop - span.start for span in pending) * width
    with tqdm(total=total, initial=total - left, unit="path", desc=name, disable=quiet) as bar:
        for span in pending:
            _run_span(run_context, store, name, span, bar.update)


def _run_span(
    run_context: RunContext, store: RunStore, group: str, span: slice, advance: Callable[[int], object] = _ignore
) -> None:
    began = time.monotonic()
    values = span_values(run_context, store, group, span, advance)
    # A worker of a run that was stopped a moment ago may have finished the span meanwhile, with the same bytes.
    if not store.is_completed(group, span):
        store.write(group, span, values)
    store.record_session(time.monotonic() - began)
