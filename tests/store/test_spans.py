import numpy as np
import pytest
from numpy.typing import NDArray

from plateaulens.store.schema import RunSpec
from plateaulens.store.spans import check_region, check_values
from plateaulens.testing import synthetic_values

Block = dict[str, NDArray[np.generic]]
FIRST = slice(0, 2)


@pytest.fixture
def span(spec: RunSpec) -> Block:
    return synthetic_values(spec, "sensitivity", FIRST, 0)


@pytest.mark.parametrize("samples", [slice(0, 2), slice(2, 4), slice(4, 5), slice(0, 4), slice(2, 5), slice(0, 5)])
def test_whole_chunks_are_accepted(spec: RunSpec, samples: slice) -> None:
    check_region("sensitivity", spec.groups["sensitivity"], samples)


@pytest.mark.parametrize("samples", [slice(0, 1), slice(1, 2), slice(1, 4), slice(0, 3), slice(3, 5)])
def test_a_cut_chunk_is_refused(spec: RunSpec, samples: slice) -> None:
    with pytest.raises(ValueError, match=r"cut a chunk of 2: write the ranges that spans\(\) gives"):
        check_region("sensitivity", spec.groups["sensitivity"], samples)


@pytest.mark.parametrize(
    "samples", [slice(2, 2), slice(None), slice(0, None), slice(-2, 5), slice(0, 4, 2), slice(2, 0)]
)
def test_what_is_no_range_is_refused(spec: RunSpec, samples: slice) -> None:
    with pytest.raises(ValueError, match="not a range of samples"):
        check_region("sensitivity", spec.groups["sensitivity"], samples)


def test_a_range_past_the_extent_is_refused(spec: RunSpec) -> None:
    with pytest.raises(ValueError, match="past the extent of 5"):
        check_region("sensitivity", spec.groups["sensitivity"], slice(4, 6))


def test_well_formed_values_are_accepted(spec: RunSpec, span: Block) -> None:
    check_values("sensitivity", spec.groups["sensitivity"], FIRST, span)


def spoil(span: Block, variable: str, index: tuple[int, ...], value: float) -> Block:
    array = span[variable].copy()
    array[index] = value
    return span | {variable: array}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b | {"curves": b["curve"]}, r"cannot write \['curves'\]"),
        (lambda b: b | {"completed": np.ones((2, 2), bool)}, r"cannot write \['completed'\]"),
        (lambda b: {"curve": b["curve"]}, r"\['path_length', 'top_token'\] missing"),
        (lambda b: b | {"curve": b["curve"][:, :1]}, r"sensitivity/curve: shape \(2, 1, 11, 3\) instead of"),
        (lambda b: b | {"curve": b["curve"].swapaxes(0, 2)}, r"\(activation_type, sample, step, metric\)"),
        (lambda b: b | {"curve": b["curve"].astype(np.float64)}, "dtype float64 instead of float32"),
        (lambda b: b | {"top_token": b["top_token"].astype(np.int64)}, "top_token: dtype int64 instead of int32"),
        (lambda b: spoil(b, "curve", (0, 1, 3, 2), np.nan), "curve: 1 values are NaN or infinite"),
        (lambda b: spoil(b, "path_length", (0, 1), np.inf), "path_length: 1 values are NaN or infinite"),
        (lambda b: spoil(b, "curve", (1, 1, 0, 1), 1e-7), "every curve starts at exactly 0"),
    ],
)
def test_malformed_values_are_refused(spec: RunSpec, span: Block, change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=message):
        check_values("sensitivity", spec.groups["sensitivity"], FIRST, change(span))


def test_fixed_width_text_is_refused(spec: RunSpec) -> None:
    prompts = {"token": np.zeros((5, 4), np.int32), "text": np.array(["a"] * 5)}
    with pytest.raises(ValueError, match=r"prompts/text: dtype <U1 instead of StringDType"):
        check_values("prompts", spec.groups["prompts"], slice(0, 5), prompts)
