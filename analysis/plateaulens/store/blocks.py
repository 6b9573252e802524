"""The blocks of a run that has been created: read, written and marked by whoever has been given them.

A block's `completed` follows everything else of it, and zarr replaces a chunk's file or object at once, so that a
process killed at any moment leaves nothing behind that counts as measured and is not. Blocks hold the same bytes
whoever writes them, and share no chunk: several processes may write different blocks at once, and a block that is
written twice is the same block.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store

from plateaulens.errors import UsageError
from plateaulens.store.location import Place
from plateaulens.store.region import Values, check_region, check_values
from plateaulens.store.schema import COMPLETED, GroupSpec, RunSpec


class BlockStore:
    """A run's groups as blocks. It takes no lock: see `RunStore` for the one writer that shares blocks out."""

    def __init__(self, place: Place, spec: RunSpec) -> None:
        self.place = place
        self.spec = spec
        self._store = place.open()
        self._root = zarr.open_group(self._store, mode="r+", use_consolidated=False)

    def blocks(self, group: str) -> tuple[slice, ...]:
        """The sample ranges that are written at once, in order."""
        return self._layout(group).blocks

    def pending(self, group: str) -> tuple[slice, ...]:
        """The blocks of `activations` or an experiment that are not completed, in order.

        Raises `UsageError` when what says so is damaged.
        """
        completed = self._completed(group, slice(None))
        return tuple(block for block in self.blocks(group) if not completed[..., block].all())

    def is_completed(self, group: str, samples: slice) -> bool:
        """Whether every sample of a range is completed. Raises `UsageError` when what says so is damaged."""
        return bool(self._completed(group, samples).all())

    def read(self, group: str, samples: slice) -> xr.Dataset:
        """A range of samples of a group, in memory, coordinates included; fill values where nothing is written yet.

        Raises `UsageError` when the group is damaged.
        """
        self._layout(group)
        with self._blaming(group):
            dataset: xr.Dataset = xr.open_zarr(self._store, group=group, consolidated=False, chunks=None)
            return dataset.isel(sample=samples).load()

    def write(self, group: str, samples: slice, values: Values) -> None:
        """Write a range of whole blocks, then mark it completed.

        `values` has every variable of the group but `completed`, with the dimensions and the dtype of the schema;
        `sample` has the length of the range. Raises `ValueError` that says what is wrong: a range that cuts a chunk,
        unknown or missing variables, a wrong shape or dtype, a value that is not finite, a curve that does not start
        at 0.
        """
        layout = self._fillable(group)
        check_region(group, layout, samples)
        check_values(group, layout, samples, values)
        write_region(self._store, group, layout, samples, values)
        mark = np.ones(layout.shape(layout[COMPLETED], samples), dtype=np.bool_)
        write_region(self._store, group, layout, samples, {COMPLETED: mark})

    def _layout(self, group: str) -> GroupSpec:
        if group not in self.spec.groups:
            raise ValueError(f"{self.place} has no group {group!r}: it has {', '.join(self.spec.groups)}")
        return self.spec.groups[group]

    def _fillable(self, group: str) -> GroupSpec:
        layout = self._layout(group)
        if not layout.has_completed:
            raise ValueError(f"{self.place}: {group} is written whole when the run is created")
        return layout

    def _completed(self, group: str, samples: slice) -> NDArray[np.bool_]:
        self._fillable(group)
        with self._blaming(group):
            array = self._root[f"{group}/{COMPLETED}"]
            assert isinstance(array, zarr.Array)
            return np.asarray(array[..., samples], dtype=np.bool_)

    @contextmanager
    def _blaming(self, group: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{self.place}: {group} is damaged ({error}): see `plateaulens verify`") from error


def write_region(store: Store, group: str, layout: GroupSpec, samples: slice, values: Values) -> None:
    """Write a range of samples of some variables, unchecked."""
    variables = {name: (layout[name].dims, array) for name, array in values.items()}
    # A chunk that holds nothing but fill values is written too: a completed block has all its files.
    xr.Dataset(variables).to_zarr(
        store, group=group, region={"sample": samples}, mode="r+", consolidated=False, write_empty_chunks=True
    )
