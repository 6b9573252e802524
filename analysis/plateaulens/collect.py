"""`collect`: run the experiments of a configuration and store every curve, block by block, resumably."""

import time
from pathlib import Path

from tqdm.auto import tqdm

from plateaulens.config import RunConfig
from plateaulens.laboratory import Laboratory, attributes, open_laboratory, prompt_values, specification
from plateaulens.store.run import RunStore, open_or_create


def collect(config: RunConfig, out: Path) -> None:
    """Run what is still missing of a configuration's run at `out`, with a progress bar when there is a terminal.

    A run that stopped at any moment is continued by the same call, to the same bytes. Raises `UsageError` when the
    configuration cannot be run or another run is at `out`.
    """
    laboratory = open_laboratory(config)
    with open_or_create(out, specification(laboratory), attributes(laboratory), prompt_values(laboratory)) as store:
        for block in store.pending("activations"):
            began = time.monotonic()
            store.write("activations", block, laboratory.activations(block))
            store.record_session(time.monotonic() - began)
        for name in config.experiments:
            _run_experiment(laboratory, store, name)


def _run_experiment(laboratory: Laboratory, store: RunStore, name: str) -> None:
    width = len(laboratory.kinds)
    pending = store.pending(name)
    total = laboratory.config.experiment(name).samples * width
    left = sum(block.stop - block.start for block in pending) * width
    with tqdm(total=total, initial=total - left, unit="path", desc=name, disable=None) as bar:
        for block in pending:
            began = time.monotonic()
            known = store.read("activations", block)
            values = {variable: known[variable].to_numpy() for variable in ("base", "target")}
            store.write(name, block, laboratory.curves(name, block, values, bar.update))
            store.record_session(time.monotonic() - began)
