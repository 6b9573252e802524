"""What may be written into a run: whole blocks of complete, well-formed values.

xarray does not guard NumPy-backed region writes that share a chunk, and a chunk that two writes touch can lose one of
them without a word. These checks are that guard.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from plateaulens.store.schema import COMPLETED, GroupSpec, Variable

Values = Mapping[str, NDArray[np.generic]]


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
            f"{group}: samples {start} to {stop} cut a chunk of {size}: write the ranges that blocks() gives"
        )


def check_values(group: str, layout: GroupSpec, samples: slice, values: Values) -> None:
    """Raise `ValueError` unless `values` holds every variable but `completed`, each as the schema has it."""
    expected = {variable.name: variable for variable in layout.variables if variable.name != COMPLETED}
    if unknown := sorted(set(values) - set(expected)):
        raise ValueError(f"{group}: cannot write {unknown}: the caller writes exactly {sorted(expected)}")
    if missing := sorted(set(expected) - set(values)):
        raise ValueError(f"{group}: {missing} missing: a block is written whole, and then counts as completed")
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
