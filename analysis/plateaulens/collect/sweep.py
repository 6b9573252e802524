"""A sweep: its cells, one run each, and collecting them.

One process collects those together that one walk serves, a cluster one after the other. (Needs torch, as sites are
those of a model.)
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plateaulens.collect.collect import collect, fill
from plateaulens.collect.context import Description, RunContext, description, open_context
from plateaulens.config import RunConfig, stem_of
from plateaulens.errors import LONGEST_MESSAGE, UsageError, reading, shortened, shown
from plateaulens.progress import print_notes
from plateaulens.scan import choice
from plateaulens.store.manifest import AXES, NO_SAE, Entry, Manifest, config_of, is_sweep, read_manifest
from plateaulens.store.reading import is_complete, open_run, run_differences
from plateaulens.store.run import open_or_create
from plateaulens.store.schema import RunSpec
from plateaulens.subject import preflight
from plateaulens.subject.sites import Site, parse_read_site, parse_site

if TYPE_CHECKING:
    from plateaulens.collect.cluster import Cluster


@dataclass(frozen=True)
class Cell:
    """One run of a sweep and its place in it."""

    entry: Entry
    config: RunConfig


def collect_sweep(config: RunConfig, folder: Path, cluster: "Cluster | None" = None) -> None:
    """Collect what is missing of a sweep's runs.

    A sweep that stopped at any moment is continued by the same call, and one with more cells than before goes on from
    those that are there. A model is loaded once for all cells in a row that have it, and its real activations are
    computed once for each write site in a row. Cells that differ in their read site are filled by one walk where that
    gives each the bytes that it would get alone: on a CPU, at read sites before or after a block. On a cluster the
    spans of one cell after the other are shared out, and each cell walks for itself.

    Parameters
    ----------
    config
        A configuration with a sweep.
    folder
        Where each run is a store, beside `manifest.json`; on a cluster a folder that every worker sees.
    cluster
        Whose workers measure; None for this process.

    Raises
    ------
    UsageError
        As `cells` does, and one that names the cell when one cannot be run. Where the folder's sweep has runs that this
        one lacks, or has with other settings, before anything is written there.
    """
    wanted = _continued(cells(config), folder)
    manifest = Manifest(config=config, cells=tuple(cell.entry for cell in wanted))
    for cell in wanted:
        if _is_complete(cell.config, folder / cell.entry.run):
            manifest = manifest.with_state(cell.entry.name, "complete")
    manifest.write(folder)
    missing = [cell for cell, entry in zip(wanted, manifest.cells, strict=True) if entry.state != "complete"]
    check = preflight.check if cluster is None else cluster.check
    for cell in missing:  # rather than when its turn comes, hours later
        with _naming(cell):
            check(cell.config)
    run_context: RunContext | None = None
    collecting = _Collecting(folder, manifest, len(missing))
    if cluster is not None:
        for cell in missing:
            collecting.share_out(cell, cluster)
        return
    for _, same in groupby(missing, _but_for_read):
        left = list(same)
        while left:
            run_context, left = collecting.walk(left, run_context)


class _Collecting:
    """What is told of a sweep's cells while they are collected, in the manifest and to whoever watches."""

    def __init__(self, folder: Path, manifest: Manifest, missing: int) -> None:
        self._folder, self._manifest, self._missing = folder, manifest, missing
        self._begun = 0
        self._told: set[str] = set()

    def share_out(self, cell: Cell, cluster: "Cluster") -> None:
        """Collect a cell by a cluster's workers."""
        self._begin(cell)
        with _naming(cell):
            cluster.collect(cell.config, self._folder / cell.entry.run)
        self._end([cell])

    def walk(self, same: Sequence[Cell], previous: RunContext | None) -> tuple[RunContext, list[Cell]]:
        """Collect the first of some cells that differ in their read site, and those others that its walk serves.

        The context of the walk, and the cells that are not complete yet, are returned.
        """
        first = same[0]
        self._begin(first)
        with _naming(first):
            run_context = open_context(first.config, previous)
        reads, together, left = [run_context.subject.read], [(first, self._described(run_context))], []
        for cell in same[1:]:
            with _naming(cell):
                site = parse_read_site(cell.config.sites.read, run_context.subject.blocks)
                made = self._joining(cell, run_context) if _is_shared(run_context, [*reads, site]) else None
            if made is None:
                left.append(cell)
            else:
                reads.append(site)
                together.append((cell, made))
        if len(together) == 1:
            with _naming(first):
                collect(first.config, self._folder / first.entry.run, run_context)
        else:
            self._fill(run_context, reads, together)
        self._end([cell for cell, _ in together])
        return run_context, left

    def _joining(self, cell: Cell, run_context: RunContext) -> Description | None:
        """What a cell's store is made from, when its model is run as that of the walk is; its context is not kept."""
        own = open_context(cell.config, run_context)
        if _way(own) != _way(run_context):
            return None
        self._begin(cell)
        return self._described(own)

    def _fill(
        self, run_context: RunContext, reads: Sequence[Site], together: Sequence[tuple[Cell, Description]]
    ) -> None:
        forward = choice.reading(run_context.forward, reads)
        assert forward is not None
        with ExitStack() as stack:
            stores = []
            for cell, made in together:
                with _naming(cell):
                    path = self._folder / cell.entry.run
                    stores.append(stack.enter_context(open_or_create(path, made.spec, made.attributes, made.prompts)))
            with _naming(*(cell for cell, _ in together)):
                fill(replace(run_context, forward=forward), stores)

    def _begin(self, cell: Cell) -> None:
        self._begun += 1
        print(f"cell {self._begun} of {self._missing}: {cell.entry.name}", flush=True)
        self._manifest = self._manifest.with_state(cell.entry.name, "running")
        self._manifest.write(self._folder)

    def _end(self, complete: Sequence[Cell]) -> None:
        for cell in complete:
            self._manifest = self._manifest.with_state(cell.entry.name, "complete")
        self._manifest.write(self._folder)

    def _described(self, run_context: RunContext) -> Description:
        """What a cell's store is made from, its notes told if they have not been."""
        print_notes(note for note in run_context.notes if note not in self._told)
        self._told.update(run_context.notes)
        return description(run_context)


@contextmanager
def _naming(*cells: Cell) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        names = ", ".join(cell.entry.name for cell in cells)
        raise UsageError(f"sweep cell{'s' if len(cells) > 1 else ''} {names}: {error}") from None


def _but_for_read(cell: Cell) -> tuple[object, ...]:
    return tuple(getattr(cell.entry, axis) for axis in AXES if axis != "read")


def _is_shared(run_context: RunContext, reads: Sequence[Site]) -> bool:
    """Whether one walk may serve runs at these read sites, as far as their first one tells."""
    # a GPU's batches are as large as fits, and its rounding may depend on that
    return run_context.subject.device.type == "cpu" and choice.reading(run_context.forward, reads) is not None


def _way(run_context: RunContext) -> tuple[str, str, bool]:
    """How a run's model is run, which is decided at its own read site."""
    return run_context.way, run_context.precision, run_context.subject.lens is None


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
        if parse_read_site(read, sys.maxsize).order > parse_site(write, sys.maxsize).order
    ]
    if not found:
        raise UsageError("the sweep has no cell: no read site comes after a write site")
    name, count = Counter(cell.entry.name for cell in found).most_common(1)[0]
    if count > 1:
        raise UsageError(f"the sweep has {count} cells of the name {name}: list nothing twice")
    return tuple(found)


def _is_complete(config: RunConfig, path: Path) -> bool:
    """Whether nothing is missing of the run at `path`."""
    if not path.exists():
        return False
    with open_run(path) as run:
        return is_complete(run, config.experiments)


def _continued(wanted: Sequence[Cell], folder: Path) -> tuple[Cell, ...]:
    """The cells by the names of the runs that the folder's sweep has for them, as names depend on what else varies.

    Another sweep is refused, whose runs would be in no manifest from then on.
    """
    if not is_sweep(folder):
        return tuple(wanted)
    there = {_where(entry): entry for entry in read_manifest(folder).cells if (folder / entry.run).exists()}
    if lost := there.keys() - {_where(cell.entry) for cell in wanted}:
        first = next(entry for where, entry in there.items() if where in lost)
        raise UsageError(
            f"{folder} holds a sweep with the run {shown(first.name)}, which this one lacks: keep it there, or "
            "collect into another folder with --out"
        )
    found = []
    for cell in wanted:
        known = there.get(_where(cell.entry))
        entry = cell.entry if known is None else known.with_state("pending")
        found.append(Cell(entry, cell.config.model_copy(update={"name": entry.name})))
        if known is not None and (differing := _differences(found[-1].config, folder / entry.run)):
            raise UsageError(
                f"{folder} holds a sweep whose run {shown(entry.name)} has other settings: "
                f"{shortened('; '.join(differing), LONGEST_MESSAGE)}: collect into another folder with --out"
            )
    return tuple(found)


def _where(entry: Entry) -> tuple[object, ...]:
    return tuple(getattr(entry, axis) for axis in AXES)


def _differences(config: RunConfig, path: Path) -> list[str]:
    """What forbids to go on with the run at `path`, as far as its attributes tell."""
    stored, found = run_differences(path, config)
    with reading(f"{path}: root attributes are damaged", "see `plateaulens verify`"):
        likely = RunSpec.from_json(str(stored["layout"])).likely
    wanted = config.engine.likely_tokens
    return found if wanted in ("auto", likely) else [*found, f"engine.likely_tokens: stored {likely}, asked {wanted}"]


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
