"""The empty run: every array of a specification in its whole extent, laid down before anything is measured.

Only metadata and coordinates are written. Chunks are compressed with zstd and then carry a crc32c checksum.
"""

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec

from plateaulens.store.schema import Coordinate, GroupSpec, RunSpec, Variable

COMPRESSORS = (ZstdCodec(level=3), Crc32cCodec())
"""The bytes-to-bytes codecs of every array: the checksum comes last, so it covers each byte of a chunk's file."""


def write_template(store: Store, spec: RunSpec, attributes: dict[str, str | int], provenance: dict[str, str]) -> None:
    """Write the groups, coordinates and unfilled variables of a run into an empty store.

    Parameters
    ----------
    store
        Where to; it holds nothing yet.
    spec
        The run's extent.
    attributes
        Root attributes.
    provenance
        Attributes of the group `/provenance`.
    """
    root = zarr.create_group(store, zarr_format=3, attributes=dict(attributes))
    root.create_group("provenance", attributes=dict(provenance))
    for name, layout in spec.groups.items():
        _create_group(root, name, layout)


def _create_group(root: zarr.Group, name: str, layout: GroupSpec) -> None:
    # xarray finds coordinates that are not a dimension's own in this attribute.
    labels = " ".join(c.name for c in layout.coordinates if c.dims != (c.name,))
    group = root.create_group(name, attributes={"coordinates": labels} if labels else {})
    for coordinate in layout.coordinates:
        _create_coordinate(group, coordinate)
    for variable in layout.variables:
        _create_variable(group, variable, layout)


def _create_variable(group: zarr.Group, variable: Variable, layout: GroupSpec) -> None:
    shape = layout.shape(variable)
    group.create_array(
        variable.name,
        shape=shape,
        chunks=layout.shape(variable, slice(0, layout.samples_per_chunk)),
        dtype=variable.dtype,
        fill_value=variable.fill,
        compressors=COMPRESSORS,
        dimension_names=variable.dims,
        attributes={"long_name": variable.long_name, "units": variable.units},
    )


def _create_coordinate(group: zarr.Group, coordinate: Coordinate) -> None:
    strings = coordinate.values.dtype == np.dtype(object)
    array = group.create_array(
        coordinate.name,
        shape=coordinate.values.shape,
        chunks=coordinate.values.shape,
        dtype="string" if strings else coordinate.values.dtype,
        fill_value="" if strings else -1,
        compressors=COMPRESSORS,
        dimension_names=coordinate.dims,
        attributes={"long_name": coordinate.long_name, "units": coordinate.units},
    )
    array[:] = coordinate.values.astype(np.dtypes.StringDType()) if strings else coordinate.values
