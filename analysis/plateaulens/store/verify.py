"""Finding damage in a run or a summary."""

from plateaulens.errors import UsageError
from plateaulens.store.conformance import run_problems
from plateaulens.store.inventory import Inventory
from plateaulens.store.location import Location, locate
from plateaulens.store.remote import METADATA
from plateaulens.store.schema import RUN_KIND


def verify(path: Location) -> list[str]:
    """Read the whole store at `path` and list what is wrong with it, one line each; empty for a sound store.

    Of any store: chunks whose checksum does not match (`sensitivity/curve chunk c/0/1/0/0`), arrays without checksums,
    unreadable metadata, files that belong to nothing. Of a run also: variables and coordinates that are missing or not
    as the schema has them, chunks missing from completed blocks, floats that are NaN where `completed` is set or not
    NaN where it is not, and curves that do not start at 0. An unfinished run is sound, but for a block that an
    interruption left half-written; continuing the run mends that. A damaged block of a run is measured again after
    its `completed` chunk has been deleted.

    Reads one chunk at a time. Raises `UsageError` when there is no zarr store at `path`.
    """
    place = locate(path)
    if not place.has(METADATA):
        raise UsageError(f"{path} does not exist or is not a zarr v3 store: it has no {METADATA}")
    inventory = Inventory(place)
    root = inventory.nodes.get("")
    is_run = root is not None and root.attrs.get("kind") == RUN_KIND
    return [*inventory.problems, *(run_problems(inventory) if is_run else ())]
