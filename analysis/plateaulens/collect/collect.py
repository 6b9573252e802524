"""`collect`: run the experiments of a configuration and store every curve, span by span, resumably."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NoReturn

import numpy as np
from tqdm.auto import tqdm

from plateaulens.collect.ahead import Ahead, Writer, drawing_threads
from plateaulens.collect.context import RunContext, description, open_context
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

    Beside a GPU the processor draws the targets that come next, in a few threads, and writes the spans that are
    measured. On a CPU measuring itself takes every core, and one thing follows the other.

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
    made = description(run_context)
    with open_or_create(out, made.spec, made.attributes, made.prompts) as store:
        if run_context.subject.device.type != "cpu" if overlapping is None else overlapping:
            _overlap(run_context, store, quiet)
            store.seal()
        else:
            fill(run_context, [store], quiet=quiet)


def fill(run_context: RunContext, stores: Sequence[RunStore], *, quiet: bool | None = None) -> None:
    """Measure and write what stores lack, one span after the other, and seal them.

    A walk serves all stores that lack the span, whatever else each of them has: what is stored is what each would have
    been given alone.

    Parameters
    ----------
    run_context
        That of the runs, which differ in their read site at most.
    stores
        One run for each read site of the context's `forward`, in their order.
    quiet
        Whether there is no progress bar; None has one where there is a terminal.

    Raises
    ------
    UsageError
        As the stores' own methods do.
    """
    for span in _pending(stores, "activations"):
        _draw_span(run_context, stores, span)
    for name in run_context.config.experiments:
        pending = _pending(stores, name)
        with _bar(run_context, name, pending, quiet) as bar:
            for span in pending:
                _walk_span(run_context, stores, name, span, bar.update)
    for store in stores:
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
    return _only(run_context.curves(group, span, _stored(store, span), advance, likely=store.spec.likely))


def _only(measured: Callable[[], tuple[Values, ...]]) -> Values:
    """What was measured where there is one read site."""
    (values,) = measured()
    return values


def _drawn(run_context: RunContext, store: SpanStore, span: slice) -> Values:
    return _of_store(store, run_context.activations(span))


def _of_store(store: SpanStore, values: Values) -> Values:
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
                    writer.put(name, span, partial(_only, measured))
                writer.flush()  # before the bar is closed, as it is told of paths by what is written
        while undrawn:
            draw()


def _bar(run_context: RunContext, name: str, pending: Sequence[slice], quiet: bool | None) -> "tqdm[NoReturn]":
    width = len(run_context.kinds)
    total = run_context.config.experiment(name).samples * width
    left = sum(span.stop - span.start for span in pending) * width
    return tqdm(total=total, initial=total - left, unit="path", desc=name, disable=quiet)


def _pending(stores: Sequence[RunStore], group: str) -> tuple[slice, ...]:
    """The spans that one of the stores lacks, in order; all are cut alike."""
    lacking = {span.start for store in stores for span in store.pending(group)}
    return tuple(span for span in stores[0].spans(group) if span.start in lacking)


def _draw_span(run_context: RunContext, stores: Sequence[RunStore], span: slice) -> None:
    began = time.monotonic()
    values = run_context.activations(span)
    lacking = [store for store in stores if not store.is_completed("activations", span)]
    _write("activations", span, [(store, _of_store(store, values)) for store in lacking], began)


def _walk_span(
    run_context: RunContext, stores: Sequence[RunStore], name: str, span: slice, advance: Callable[[int], object]
) -> None:
    """Walk once for all stores that lack the span; where they hold other bases or targets of it, once for each of them.

    Only runs that were begun by different versions, or on different machines, hold other ones.
    """
    lacking = [number for number, store in enumerate(stores) if not store.is_completed(name, span)]
    known = {number: _stored(stores[number], span) for number in lacking}
    while lacking:
        began = time.monotonic()
        first, likely = lacking[0], stores[lacking[0]].spec.likely
        alike = [
            number
            for number in lacking
            if stores[number].spec.likely == likely and _are_equal(known[number], known[first])
        ]
        measured = run_context.curves(name, span, known[first], advance, likely=likely)()
        _write(name, span, [(stores[number], measured[number]) for number in alike], began)
        lacking = [number for number in lacking if number not in alike]


def _are_equal(one: Values, other: Values) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def _write(group: str, span: slice, found: Sequence[tuple[RunStore, Values]], began: float) -> None:
    """Write a span of some runs, which share the time that it took."""
    for store, values in found:
        # A worker of a run that was stopped a moment ago may have finished the span meanwhile, with the same bytes.
        if not store.is_completed(group, span):
            store.write(group, span, values)
    seconds = (time.monotonic() - began) / max(len(found), 1)
    for store, _ in found:
        store.record_session(seconds)
