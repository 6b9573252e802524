"""`collect`: run the experiments of a configuration and store every curve, span by span, resumably."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NoReturn

from tqdm.auto import tqdm

from plateaulens.collect.ahead import Ahead, Writer, drawing_threads
from plateaulens.collect.context import RunContext, attributes, open_context, prompt_values, specification
from plateaulens.config import RunConfig
from plateaulens.store.location import Location
from plateaulens.store.run import RunStore, open_or_create
from plateaulens.store.spans import SpanStore, Values
from plateaulens.targets.base import ships


def _ignore(paths: int) -> None:
    """Where nobody wants to know how many paths have been walked."""


def collect(
    config: RunConfig,
    out: Location,
    run_context: RunContext | None = None,
    *,
    quiet: bool | None = None,
    overlapping: bool | None = None,
) -> None:
    """Run what is still missing of a configuration's run, with a progress bar when there is a terminal.

    A run that stopped at any moment is continued by the same call, to the same bytes.

    Beside a GPU the processor draws the targets that come next, each sample in one thread, and writes the spans that
    are measured. On a CPU measuring itself takes every core, and one thing follows the other.

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
    overlapping
        Whether targets are drawn ahead and spans written behind; None does so where the model is not on a CPU.

    Raises
    ------
    UsageError
        When the configuration cannot be run or another run is at `out`.
    """
    run_context = run_context or open_context(config)
    with open_or_create(out, specification(run_context), attributes(run_context), prompt_values(run_context)) as store:
        if run_context.subject.device.type != "cpu" if overlapping is None else overlapping:
            _overlap(run_context, store, quiet)
        else:
            for span in store.pending("activations"):
                _run_span(run_context, store, "activations", span)
            for name in config.experiments:
                pending = store.pending(name)
                with _bar(run_context, name, pending, quiet) as bar:
                    for span in pending:
                        _run_span(run_context, store, name, span, bar.update)
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
        return _drawn(run_context, store, span)
    return run_context.curves(group, span, _stored(store, span), advance, likely=store.spec.likely)()


def _drawn(run_context: RunContext, store: SpanStore, span: slice) -> Values:
    values = run_context.activations(span)
    variables = store.spec.groups["activations"].variables
    return {variable.name: values[variable.name] for variable in variables if variable.name in values}


def _stored(store: SpanStore, span: slice) -> Values:
    known = store.read("activations", span)
    return {name: known[name].to_numpy() for name in ("base", "target")}


def _overlap(run_context: RunContext, store: RunStore, quiet: bool | None) -> None:
    """Measure all that is pending while targets are drawn and spans are written in other threads."""
    layout, wanted = store.spec.groups["activations"], store.pending("activations")
    # recipes that do not ship may not bear several threads, nor to be followed while the model is at work
    by_threads = bool(wanted) and run_context.taken is None and all(map(ships, run_context.kinds))
    if by_threads:
        run_context.activations(slice(0, 1))  # what all samples share is computed, by all cores
    undrawn = {span.start for span in wanted}
    kept: dict[int, Values] = {}  # drawn and not yet written, by the first sample of the span
    with Writer(store) as writer, drawing_threads() if by_threads else nullcontext() as pool:
        drawn = iter(Ahead(wanted, partial(_drawn, run_context, store), layout, pool))

        def draw() -> None:
            """Have the next span of bases and targets written, before anything that comes of them."""
            span, values = next(drawn)
            undrawn.remove(span.start)
            kept[span.start] = values
            writer.put("activations", span, lambda: values, lambda: kept.pop(span.start))

        def known(span: slice) -> Values:
            """Bases and targets of a span, which begins where one of `/activations` does and ends no later."""
            while span.start in undrawn:
                draw()
            values = kept.get(span.start)
            if values is None:
                return _stored(store, span)
            count = span.stop - span.start
            return {"base": values["base"][:count], "target": values["target"][:, :count]}

        for name in run_context.config.experiments:
            pending = store.pending(name)
            with _bar(run_context, name, pending, quiet) as bar:
                for span in pending:
                    measured = run_context.curves(name, span, known(span), bar.update, likely=store.spec.likely)
                    writer.put(name, span, measured)
                writer.flush()  # before the bar is closed, as it is told of paths by what is written
        while undrawn:
            draw()


def _bar(run_context: RunContext, name: str, pending: Sequence[slice], quiet: bool | None) -> "tqdm[NoReturn]":
    width = len(run_context.kinds)
    total = run_context.config.experiment(name).samples * width
    left = sum(span.stop - span.start for span in pending) * width
    return tqdm(total=total, initial=total - left, unit="path", desc=name, disable=quiet)


def _run_span(
    run_context: RunContext, store: RunStore, group: str, span: slice, advance: Callable[[int], object] = _ignore
) -> None:
    began = time.monotonic()
    values = span_values(run_context, store, group, span, advance)
    # A worker of a run that was stopped a moment ago may have finished the span meanwhile, with the same bytes.
    if not store.is_completed(group, span):
        store.write(group, span, values)
    store.record_session(time.monotonic() - began)
