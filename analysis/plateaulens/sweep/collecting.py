"""Collecting a sweep: its runs one after the other, in one process."""

import json
from pathlib import Path

from plateaulens.collect import collect
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.laboratory import Laboratory, open_laboratory
from plateaulens.store.reading import open_run
from plateaulens.sweep.cells import cells
from plateaulens.sweep.manifest import Manifest


def collect_sweep(config: RunConfig, folder: Path) -> None:
    """Collect what is missing of a sweep's runs, each a store in `folder` beside `manifest.json`.

    A sweep that stopped at any moment is continued by the same call, and one with more cells than before goes on from
    those that are there. A model is loaded once for all cells in a row that have it, and its real activations are
    computed once for each write site in a row. Raises `UsageError` that names the cell when one cannot be run.
    """
    wanted = cells(config)
    manifest = Manifest(config=config, cells=tuple(cell.entry for cell in wanted))
    for cell in wanted:
        if _is_complete(cell.config, folder / cell.entry.run):
            manifest = manifest.with_state(cell.entry.name, "complete")
    manifest.write(folder)
    missing = [cell for cell, entry in zip(wanted, manifest.cells, strict=True) if entry.state != "complete"]
    laboratory: Laboratory | None = None
    for number, cell in enumerate(missing, start=1):
        print(f"cell {number} of {len(missing)}: {cell.entry.name}", flush=True)
        manifest.with_state(cell.entry.name, "running").write(folder)
        try:
            laboratory = open_laboratory(cell.config, laboratory)
            collect(cell.config, folder / cell.entry.run, laboratory)
        except UsageError as error:
            raise UsageError(f"sweep cell {cell.entry.name}: {error}") from None
        manifest = manifest.with_state(cell.entry.name, "complete")
        manifest.write(folder)


def _is_complete(config: RunConfig, path: Path) -> bool:
    """Whether nothing is missing of the run at `path`, and it is that of this configuration.

    A run of another configuration counts as missing, so that collecting it says what differs.
    """
    if not path.exists():
        return False
    with open_run(path) as run:
        stored = json.loads(run.attrs["config"])
        asked = json.loads(config.model_dump_json())
        same = {**stored, "analysis": None} == {**asked, "analysis": None}
        return same and all(bool(run[name]["completed"].all()) for name in config.experiments)
