"""`collect`: run the experiments of a configuration and store every curve, block by block, resumably."""

import time
from collections.abc import Callable

from tqdm.auto import tqdm

from plateaulens.config import RunConfig
from plateaulens.laboratory import Laboratory, Values, attributes, open_laboratory, prompt_values, specification
from plateaulens.store.blocks import BlockStore
from plateaulens.store.location import Location
from plateaulens.store.run import RunStore, open_or_create


def collect(config: RunConfig, out: Location, laboratory: Laboratory | None = None) -> None:
    """Run what is still missing of a configuration's run at `out`, with a progress bar when there is a terminal.

    A run that stopped at any moment is continued by the same call, to the same bytes. `laboratory` is the
    configuration's, when it has been opened already. Raises `UsageError` when the configuration cannot be run or
    another run is at `out`.
    """
    laboratory = laboratory or open_laboratory(config)
    with open_or_create(out, specification(laboratory), attributes(laboratory), prompt_values(laboratory)) as store:
        for block in store.pending("activations"):
            _run_block(laboratory, store, "activations", block)
        for name in config.experiments:
            _run_experiment(laboratory, store, name)


def block_values(
    laboratory: Laboratory, store: BlockStore, group: str, block: slice, report: Callable[[int], object] = int
) -> Values:
    """Measure a block of `activations` or, from what that holds of the same samples, of an experiment.

    `report` is told how many paths have been walked each time some have.
    """
    if group == "activations":
        return laboratory.activations(block)
    known = store.read("activations", block)
    return laboratory.curves(group, block, {name: known[name].to_numpy() for name in ("base", "target")}, report)


def _run_experiment(laboratory: Laboratory, store: RunStore, name: str) -> None:
    width = len(laboratory.kinds)
    pending = store.pending(name)
    total = laboratory.config.experiment(name).samples * width
    left = sum(block.stop - block.start for block in pending) * width
    with tqdm(total=total, initial=total - left, unit="path", desc=name, disable=None) as bar:
        for block in pending:
            _run_block(laboratory, store, name, block, bar.update)


def _run_block(
    laboratory: Laboratory, store: RunStore, group: str, block: slice, report: Callable[[int], object] = int
) -> None:
    began = time.monotonic()
    values = block_values(laboratory, store, group, block, report)
    # A worker of a run that was stopped a moment ago may have finished the block meanwhile, with the same bytes.
    if not store.is_completed(group, block):
        store.write(group, block, values)
    store.record_session(time.monotonic() - began)
