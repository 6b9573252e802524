"""The cells of a sweep: one run each (needs torch, as sites are those of a model)."""

import re
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any

from plateaulens.config import RunConfig, SaeConfig
from plateaulens.errors import UsageError
from plateaulens.subject.model import parse_site
from plateaulens.sweep.manifest import AXES, NO_SAE, Entry

_UNFIT_FOR_FILES = re.compile(r"[^\w.=+-]+")


@dataclass(frozen=True)
class Cell:
    """One run of a sweep and its place in it."""

    entry: Entry
    config: RunConfig


def cells(config: RunConfig) -> tuple[Cell, ...]:
    """The cells of a sweep, those of one model and one write site next to each other.

    A cell is named after what varies, and its run is exactly the one that a preset with these values would have. Where
    a read site is not behind the write site there is nothing to measure, and no cell. Raises `UsageError` when no cell
    is left, or when two have one name.
    """
    assert config.sweep is not None
    sweep, sites = config.sweep, config.sites
    models, reads, seeds = sweep.model or [config.model.source], sweep.read or [sites.read], sweep.seed or [config.seed]
    found = [
        _cell(config, {"model": model, "sae": sae, "write": write, "read": read, "seed": seed})
        for model, (write, sae), seed, read in product(models, _placements(config), seeds, reads)
        if _boundary(read) > _boundary(write)
    ]
    if not found:
        raise UsageError("the sweep has no cell: no read site comes after a write site")
    name, count = Counter(cell.entry.name for cell in found).most_common(1)[0]
    if count > 1:
        raise UsageError(f"the sweep has {count} cells of the name {name}: list nothing twice")
    return tuple(found)


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
    name = _UNFIT_FOR_FILES.sub("-", "+".join(varied)) or "only"
    sae = config.sae
    if values["sae"] is not None:
        sae = SaeConfig(source=values["sae"]) if sae is None else sae.model_copy(update={"source": values["sae"]})
    changes = {
        "name": name,
        "model": config.model.model_copy(update={"source": values["model"]}),
        "sae": sae,
        "sites": config.sites.model_copy(update={"write": values["write"], "read": values["read"]}),
        "seed": values["seed"],
        "sweep": None,
    }
    return Cell(Entry(**{**values, "sae": values["sae"] or NO_SAE}, name=name), config.model_copy(update=changes))


def _boundary(site: str) -> int:
    # whether the model has that block is asked when it is there
    return parse_site(site, blocks=sys.maxsize).boundary
