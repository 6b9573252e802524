"""A sweep: its cells, one run each, and collecting them one after the other in one process.

(Needs torch, as sites are those of a model.)
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from plateaulens.collect.collect import collect
from plateaulens.collect.context import RunContext, open_context
from plateaulens.config import RunConfig, stem_of
from plateaulens.errors import LONGEST_MESSAGE, UsageError, shortened
from plateaulens.store.manifest import AXES, NO_SAE, Entry, Manifest, config_of
from plateaulens.store.reading import open_run
from plateaulens.subject.sites import parse_site


@dataclass(frozen=True)
class Cell:
    """One run of a sweep and its place in it."""

    entry: Entry
    config: RunConfig


def collect_sweep(config: RunConfig, folder: Path) -> None:
    """Collect what is missing of a sweep's runs.

    A sweep that stopped at any moment is continued by the same call, and one with more cells than before goes on from
    those that are there. A model is loaded once for all cells in a row that have it, and its real activations are
    computed once for each write site in a row.

    Parameters
    ----------
    config
        A configuration with a sweep.
    folder
        Where each run is a store, beside `manifest.json`.

    Raises
    ------
    UsageError
        As `cells` does, and one that names the cell when one cannot be run.
    """
    wanted = cells(config)
    manifest = Manifest(config=config, cells=tuple(cell.entry for cell in wanted))
    for cell in wanted:
        if _is_complete(cell.config, folder / cell.entry.run):
            manifest = manifest.with_state(cell.entry.name, "complete")
    manifest.write(folder)
    missing = [cell for cell, entry in zip(wanted, manifest.cells, strict=True) if entry.state != "complete"]
    run_context: RunContext | None = None
    told: set[str] = set()
    for number, cell in enumerate(missing, start=1):
        print(f"cell {number} of {len(missing)}: {cell.entry.name}", flush=True)
        manifest.with_state(cell.entry.name, "running").write(folder)
        try:
            run_context = open_context(cell.config, run_context)
            for note in run_context.notes:
                if note not in told:
                    print(shortened(note, LONGEST_MESSAGE), flush=True)
            told.update(run_context.notes)
            collect(cell.config, folder / cell.entry.run, run_context)
        except UsageError as error:
            raise UsageError(f"sweep cell {cell.entry.name}: {error}") from None
        manifest = manifest.with_state(cell.entry.name, "complete")
        manifest.write(folder)


def cells(config: RunConfig) -> tuple[Cell, ...]:
    """The cells of a sweep, those of one model and one write site next to each other.

    A cell is named after what varies, and its run is exactly the one that a preset with these values would have. Where
    a read site is not behind the write site there is nothing to measure, and no cell.

    Parameters
    ----------
    config
        A configuration with a sweep.

    Returns
    -------
    tuple of Cell
        At least one, each with a name of its own.

    Raises
    ------
    UsageError
        When no cell is left, when two have one name, or when a site is none.
    """
    assert config.sweep is not None
    sweep, sites = config.sweep, config.sites
    models, reads, seeds = sweep.model or [config.model.source], sweep.read or [sites.read], sweep.seed or [config.seed]
    found = [
        _cell(config, {"model": model, "sae": sae, "write": write, "read": read, "seed": seed})
        for model, (write, sae), seed, read in product(models, _placements(config), seeds, reads)
        if _order(read) > _order(write)
    ]
    if not found:
        raise UsageError("the sweep has no cell: no read site comes after a write site")
    name, count = Counter(cell.entry.name for cell in found).most_common(1)[0]
    if count > 1:
        raise UsageError(f"the sweep has {count} cells of the name {name}: list nothing twice")
    return tuple(found)


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


def _placements(config: RunConfig) -> list[tuple[str, str | None]]:
    """Write sites, each with its SAE."""
    assert config.sweep is not None
    write, sae = config.sweep.write, config.sweep.sae
    if write and sae:
        return list(zip(write, sae, strict=True))
    own = None if config.sae is None else config.sae.source
    return [(site, own) for site in write] or [(config.sites.write, source) for source in sae or [own]]


def _cell(config: RunConfig, values: dict[str, Any]) -> Cell:
    assert config.sweep is not None
    varied = [f"{axis}={values[axis]}" for axis in AXES if len(getattr(config.sweep, axis)) > 1]
    name = stem_of("+".join(varied)) or "only"
    entry = Entry(**{**values, "sae": values["sae"] or NO_SAE}, name=name)
    return Cell(entry, config_of(config, entry))


def _order(site: str) -> tuple[int, int]:
    # whether the model has that block is asked when it is there
    return parse_site(site, blocks=sys.maxsize).order
