"""The spans of a run, ranges of samples that are written at once: checked, written and marked as completed.

A span's `completed` follows everything else of it, and zarr replaces a chunk's file or object at once, so that a
process killed at any moment leaves nothing behind that counts as measured and is not. Spans hold the same bytes
whoever writes them, and share no chunk: several processes may write different spans at once, and a span that is
written twice is the same span.

Only whole spans of complete, well-formed values are written. xarray does not guard NumPy-backed region writes that
share a chunk, and a chunk that two writes touch can lose one of them without a word; the checks here are that guard.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store

from plateaulens.errors import UsageError, reading
from plateaulens.store import integrity
from plateaulens.store.inside import METADATA
from plateaulens.store.location import Place
from plateaulens.store.schema import COMPLETED, GroupSpec, RunSpec, Variable

Values = Mapping[str, NDArray[np.generic]]
"""Arrays by the name of the variable that they are values of."""


class SpanStore:
    """A run that has been created, open for its spans to be read and written.

    It takes no lock: see `plateaulens.store.run.RunStore` for the one writer that shares spans out.

    Parameters
    ----------
    place
        Where the run is.
    spec
        Its extent.
    """

    def __init__(self, place: Place, spec: RunSpec) -> None:
        self.place = place
        self.spec = spec
        self._store = place.open()
        self._root = zarr.open_group(self._store, mode="r+", use_consolidated=False)

    def spans(self, group: str) -> tuple[slice, ...]:
        """The sample ranges that are written at once.

        Parameters
        ----------
        group
            Name of a group of the run.

        Returns
        -------
        tuple of slice
            In order; the last may be short.

        Raises
        ------
        ValueError
            When the run has no such group.
        """
        return self._layout(group).spans

    def pending(self, group: str) -> tuple[slice, ...]:
        """The spans that are not completed.

        Parameters
        ----------
        group
            `activations` or an experiment.

        Returns
        -------
        tuple of slice
            In order; empty when the group is complete.

        Raises
        ------
        UsageError
            When what says which samples are completed is damaged.
        ValueError
            When the run has no such group, or one that is written whole.
        """
        completed = self._completed(group, slice(None))
        return tuple(span for span in self.spans(group) if not completed[..., span].all())

    def is_completed(self, group: str, samples: slice) -> bool:
        """Whether every sample of a range is completed.

        Parameters
        ----------
        group
            `activations` or an experiment.
        samples
            Any range of its samples.

        Returns
        -------
        bool
            False as soon as one is missing, or one of its curves.

        Raises
        ------
        UsageError
            When what says which samples are completed is damaged.
        ValueError
            When the run has no such group, or one that is written whole.
        """
        return bool(self._completed(group, samples).all())

    def read(self, group: str, samples: slice) -> xr.Dataset:
        """A range of samples of a group.

        Parameters
        ----------
        group
            Name of a group of the run.
        samples
            Any range of its samples.

        Returns
        -------
        Dataset
            In memory, coordinates included; fill values where nothing is written yet.

        Raises
        ------
        UsageError
            When the group is damaged.
        ValueError
            When the run has no such group.
        """
        self._layout(group)
        with self._blaming(group):
            checked = integrity.Checked(self._store, integrity.Digests(self._store, str(self.place), self.spec))
            dataset: xr.Dataset = xr.open_zarr(checked, group=group, consolidated=False, chunks=None)
            return dataset.isel(sample=samples).load()

    def write(self, group: str, samples: slice, values: Values) -> None:
        """Write a range of whole spans and what their files hold, then mark it completed.

        Parameters
        ----------
        group
            `activations` or an experiment.
        samples
            Whole spans that follow each other.
        values
            Every variable of the group but `completed`, with the dimensions and the dtype of the schema; `sample` has
            the length of the range.

        Raises
        ------
        ValueError
            Says what is wrong: a group that is not filled span by span, a range that cuts a chunk, unknown or missing
            variables, a wrong shape or dtype, a value that is not finite, a curve that does not start at 0.
        UsageError
            When somebody has removed the group meanwhile.
        """
        layout = self._fillable(group)
        check_region(group, layout, samples)
        check_values(group, layout, samples, values)
        with self._noticing_removal(group, *(f"{group}/{variable.name}" for variable in layout.variables)):
            write_region(self._store, group, layout, samples, values)
            for span in layout.spans:
                if samples.start <= span.start < samples.stop:
                    integrity.write_span(self._store, self._root, group, layout, span)
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
    def _noticing_removal(self, *nodes: str) -> Iterator[None]:
        """Raise `UsageError` where something fails because a group or an array of the run is not there any more."""
        try:
            yield
        except Exception as error:
            gone = next((node for node in nodes if not self.place.has(f"{node}/{METADATA}")), None)
            if gone is None:
                raise
            raise UsageError(
                f"{self.place}: {gone} was removed while the run was being written: put it back, or collect the run "
                "anew under another name"
            ) from error

    def _blaming(self, group: str) -> AbstractContextManager[None]:
        return reading(f"{self.place}: {group} is damaged", "see `plateaulens verify`")


def write_region(store: Store, group: str, layout: GroupSpec, samples: slice, values: Values) -> None:
    """Write a range of samples of some variables, unchecked.

    Parameters
    ----------
    store
        The run's bytes.
    group, layout
        Name of the group, and what the schema says of it.
    samples
        The range.
    values
        Values of variables of the group, in the dimensions of the schema; `sample` has the length of the range.
    """
    variables = {name: (layout[name].dims, array) for name, array in values.items()}
    # A chunk that holds nothing but fill values is written too: a completed span has all its files.
    xr.Dataset(variables).to_zarr(
        store, group=group, region={"sample": samples}, mode="r+", consolidated=False, write_empty_chunks=True
    )


def check_region(group: str, layout: GroupSpec, samples: slice) -> None:
    """Refuse a range of samples that is not made of whole spans.

    Parameters
    ----------
    group, layout
        Name of the group, and what the schema says of it.
    samples
        The range.

    Raises
    ------
    ValueError
        Unless the range starts where a chunk does and ends at one's end or at the last sample.
    """
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
    """Refuse values that are not those of a whole range of samples.

    Parameters
    ----------
    group, layout
        Name of the group, and what the schema says of it.
    samples
        The range.
    values
        What somebody wants to write there.

    Raises
    ------
    ValueError
        Unless there is every variable but `completed` and no other, each in the shape and the dtype of the schema, with
        finite values, and with curves that start at exactly 0.
    """
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
