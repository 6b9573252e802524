"""The spans of a run that has been created: read, written and marked by whoever has been given them.

A span's `completed` follows everything else of it, and zarr replaces a chunk's file or object at once, so that a
process killed at any moment leaves nothing behind that counts as measured and is not. Spans hold the same bytes
whoever writes them, and share no chunk: several processes may write different spans at once, and a span that is
written twice is the same span.

What may be written into a run: whole spans of complete, well-formed values.

xarray does not guard NumPy-backed region writes that share a chunk, and a chunk that two writes touch can lose one of
them without a word. These checks are that guard.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store

from plateaulens.errors import UsageError
from plateaulens.store.location import Place
from plateaulens.store.schema import COMPLETED, GroupSpec, RunSpec, Variable

Values = Mapping[str, NDArray[np.generic]]


class SpanStore:
    """A run's groups as spans. It takes no lock: see `RunStore` for the one writer that shares spans out."""

    def __init__(self, place: Place, spec: RunSpec) -> None:
        self.place = place
        self.spec = spec
        self._store = place.open()
        self._root = zarr.open_group(self._store, mode="r+", use_consolidated=False)

    def spans(self, group: str) -> tuple[slice, ...]:
        """The sample ranges that are written at once, in order."""
        return self._layout(group).spans

    def pending(self, group: str) -> tuple[slice, ...]:
        """The spans of `activations` or an experiment that are not completed, in order.

        Raises `UsageError` when what says so is damaged.
        """
        completed = self._completed(group, slice(None))
        return tuple(span for span in self.spans(group) if not completed[..., span].all())

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
        """Write a range of whole spans, then mark it completed.

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
    # A chunk that holds nothing but fill values is written too: a completed span has all its files.
    xr.Dataset(variables).to_zarr(
        store, group=group, region={"sample": samples}, mode="r+", consolidated=False, write_empty_chunks=True
    )


def check_region(group: str, layout: GroupSpec, samples: slice) -> None:
    """Raise `ValueError` unless `samples` starts at a chunk and ends at one's end or at the last sample."""
    size, extent = layout.samples_per_chunk, layout.sizes["sample"]
    start, stop = samples.start, samples.stop
    if not (isinstance(start, int) and isinstance(stop, int) and samples.step in (None, 1) and 0 <= start < stop):
        raise ValueError(f"{group}: {samples} is not a range of samples: give slice(start, stop)")
    if stop > extent:
        raise ValueError(f"{group}: samples {start} to {stop} go past the extent of {extent}")
    if start % size or (stop % size and stop != extent):
        raise ValueError(
            f"{group}: samples {start} to {stop} cut a chunk of {size}: write the ranges that spans() gives"
        )


def check_values(group: str, layout: GroupSpec, samples: slice, values: Values) -> None:
    """Raise `ValueError` unless `values` holds every variable but `completed`, each as the schema has it."""
    expected = {variable.name: variable for variable in layout.variables if variable.name != COMPLETED}
    if unknown := sorted(set(values) - set(expected)):
        raise ValueError(f"{group}: cannot write {unknown}: the caller writes exactly {sorted(expected)}")
    if missing := sorted(set(expected) - set(values)):
        raise ValueError(f"{group}: {missing} missing: a span is written whole, and then counts as completed")
    for name, variable in expected.items():
        _check_array(f"{group}/{name}", variable, layout.shape(variable, samples), values[name])


def _check_array(place: str, variable: Variable, shape: tuple[int, ...], array: NDArray[np.generic]) -> None:
    if array.shape != shape:
        raise ValueError(f"{place}: shape {array.shape} instead of {shape} for ({', '.join(variable.dims)})")
    if variable.dtype == "string":
        if array.dtype != np.dtypes.StringDType():
            raise ValueError(f"{place}: dtype {array.dtype} instead of StringDType: convert it with .astype")
    elif array.dtype != np.dtype(variable.dtype):
        raise ValueError(f"{place}: dtype {array.dtype} instead of {variable.dtype}: convert it with .astype")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{place}: {np.count_nonzero(~np.isfinite(array))} values are NaN or infinite")
    if variable.name == "curve" and array[:, :, 0].any():
        raise ValueError(f"{place}: step 0 is the reference, so every curve starts at exactly 0")
