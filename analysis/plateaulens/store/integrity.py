"""What every file of a store is meant to hold: digests beside the data, written as the data is.

A chunk's own checksum finds a damaged byte; it does not know which chunk it is, and metadata has none. The group
`/integrity` says both. Its attribute `sha256` names every file that is written whole when the store is made (metadata,
coordinates, prompts; of a summary, everything). Of a run it has one array for each group that is filled span by span,
with the SHA-256 of each chunk of a span, all zeros where the span is not written yet: a span's digests are written
after its values and before it counts as completed. `/provenance` changes with every session, and has none; when the run
is complete, it gets a digest of all digests, the seal.

This finds accidents: whoever can write the store can write its digests, too.
"""

import json
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from plateaulens.store.schema import COMPLETED, GroupSpec, RunSpec
from plateaulens.store.template import COMPRESSORS

GROUP = "integrity"
FILES = "sha256"
"""The attribute that has the digests of files by name."""
SEAL = "seal"
"""The attribute of `/provenance` that has the digest of all digests of a complete run."""
SIZE = 32
"""Bytes of a digest."""
SINCE = 2
"""The schema version from which on stores have digests."""
_WITHOUT = (f"{GROUP}/", "provenance/")


def digested(layout: GroupSpec) -> tuple[str, ...]:
    """The variables of a group whose chunks have a digest, in the order of the array's dimension `file`.

    Parameters
    ----------
    layout
        A group that is filled span by span.

    Returns
    -------
    tuple of str
        All but `completed`, whose content is known.
    """
    return tuple(variable.name for variable in layout.variables if variable.name != COMPLETED)


def write_template(store: Store, spec: RunSpec) -> None:
    """Lay down the empty digests of a run.

    Parameters
    ----------
    store
        Of the run, with its root group.
    spec
        The run's extent.
    """
    group = zarr.open_group(store, mode="r+", use_consolidated=False).create_group(GROUP)
    for name, layout in spec.groups.items():
        if layout.has_completed:
            shape = (len(layout.spans), len(digested(layout)), SIZE)
            group.create_array(
                name,
                shape=shape,
                chunks=(1, *shape[1:]),
                dtype="uint8",
                fill_value=0,
                compressors=COMPRESSORS,
                dimension_names=(f"span_{name}", f"file_{name}", "byte"),  # xarray reads them as one data set
                attributes={"long_name": "SHA-256 of each variable's chunk", "units": "1", "files": digested(layout)},
            )


def write_span(store: Store, root: zarr.Group, name: str, layout: GroupSpec, samples: slice) -> None:
    """Note what the chunks of a span hold that has just been written.

    Parameters
    ----------
    store
        Of the run.
    root
        Its root group, open for writing. A run without digests, of an earlier schema, stays without.
    name
        The group's name.
    layout
        The group.
    samples
        The span.
    """
    if GROUP not in root:
        return
    array = root[f"{GROUP}/{name}"]
    assert isinstance(array, zarr.Array)
    found = [
        _digest(_read(store, f"{name}/{one}/{layout.chunk_key(layout[one], samples)}")) for one in digested(layout)
    ]
    array[layout.spans.index(samples)] = np.stack(found)


def write_files(store: Store, attributes: Mapping[str, object] | None = None) -> None:
    """Note what every file of a store holds that is there now, but for those that change.

    Parameters
    ----------
    store
        A store that has just been made.
    attributes
        More attributes of the group `/integrity`.
    """
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    group = root.require_group(GROUP)
    names = sorted({"zarr.json", *sync(_listed(store))})
    digests = {name: sha256(_read(store, name)).hexdigest() for name in names if not name.startswith(_WITHOUT)}
    group.update_attributes({FILES: digests, **(attributes or {})})


def seal(group: zarr.Group) -> str:
    """The digest of all digests of a run.

    Parameters
    ----------
    group
        `/integrity`.

    Returns
    -------
    str
        A SHA-256 as a hex string.
    """
    whole = sha256(json.dumps(group.attrs.get(FILES), sort_keys=True).encode())
    for name, array in sorted(group.arrays()):
        whole.update(name.encode() + np.asarray(array[...]).tobytes())
    return whole.hexdigest()


def _digest(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(sha256(content).digest(), dtype=np.uint8)


def _read(store: Store, name: str) -> bytes:
    content = sync(store.get(name, default_buffer_prototype()))
    assert content is not None, f"{name} has just been written"
    return content.to_bytes()


async def _listed(store: Store) -> list[str]:
    found: AsyncIterator[str] = store.list()
    return [name async for name in found]
