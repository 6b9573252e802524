"""Products of narrow numbers that are as accurate as float32's, and the layouts that they are computed from.

A number of float32 is the sum of a high and a low part, each narrow enough for a GPU's matrix units, so a product is
three of theirs: high by high, high by low, low by high (Ootomo and Yokota 2022, doi:10.1177/10943420221090256). Low by
low, which is left out, is of the size of float32's own rounding. float16 has as many digits as TF32 and is multiplied
twice as fast, but few exponents: rows are brought to a common size by powers of two, which is exact.

The arithmetic is the same on every device. A GPU does it by the kernels of `plateaulens.scan.kernels`, where
`has_kernels` says so; elsewhere PyTorch's operations stand in, which are no faster than float32.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Precision = Literal["float32", "fp16x3", "tf32x3", "bf16"]
"""What linear layers multiply in: float32, three products of float16 or of TF32 parts for one of it, or bfloat16."""

TOP = 14
"""Rows of float16 are scaled to have their largest number between 2^14 and 2^15, the next but one to overflow."""


SPAN = 2048
"""Products that matrix units sum, rounding towards zero, before the sum is added to others in float32."""


class Kind(NamedTuple):
    """How numbers are laid out for products."""

    number: int
    """In `plateaulens.scan.kernels`."""
    planes: int
    """Parts of a number."""
    dtype: torch.dtype
    scaled: bool = False
    """Whether rows are brought to a common size."""


KINDS: dict[Precision, Kind] = {
    "fp16x3": Kind(0, 2, torch.float16, scaled=True),
    "tf32x3": Kind(1, 2, torch.float32),
    "bf16": Kind(2, 1, torch.bfloat16),
    "float32": Kind(3, 1, torch.float32),
}


class Tile(NamedTuple):
    """The part of a product that one program computes, and how."""

    rows: int = 128
    columns: int = 128
    depth: int = 64
    warps: int = 8
    stages: int = 3


@cache
def has_kernels(device: torch.device) -> bool:
    """Whether the kernels run on a device: an NVIDIA GPU with TF32, Triton, and the C compiler that Triton asks for.

    Parameters
    ----------
    device
        Where the model is.

    Returns
    -------
    bool
        True for a CPU, too, under Triton's interpreter (`TRITON_INTERPRET=1`), which tests use.
    """
    if find_spec("triton") is None:
        return False
    if device.type == "cpu":
        return os.environ.get("TRITON_INTERPRET") == "1"
    if device.type != "cuda" or torch.version.cuda is None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        from plateaulens.scan import kernels  # noqa: PLC0415  needs Triton

        row = torch.full((1, 16), 2.0, device=device)
        with on(device):
            kind = KINDS["float32"].number
            kernels.norm_kernel[(1,)](row, row, row, row, 1.0, 0.0, D=16, BLOCK=16, WEIGHTED=False, KIND=kind)
            return bool((row == 1).all())
    except Exception:  # noqa: BLE001  whatever is missing, PyTorch's operations do without it
        return False


def on(device: torch.device) -> AbstractContextManager[object]:
    """Launch kernels on a device, whichever is the current one.

    Parameters
    ----------
    device
        Where the tensors are.

    Returns
    -------
    context manager
        That does nothing on a CPU.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def shared_memory(device: torch.device) -> int:
    """What a program's threads share of a multiprocessor's memory.

    Parameters
    ----------
    device
        Where the program runs.

    Returns
    -------
    int
        Bytes; off a GPU, where kernels are interpreted, those of a usual card.
    """
    if device.type != "cuda":
        return 2**17
    card: Any = torch.cuda.get_device_properties(device)
    return int(card.shared_memory_per_block_optin)


def tile_of(kind: Kind, memory: int) -> Tile:
    """A tile whose parts fit into what programs share of a multiprocessor's memory.

    Parameters
    ----------
    kind
        How the factors are laid out.
    memory
        Bytes.

    Returns
    -------
    Tile
        With two stages at least.

    Examples
    --------
    >>> tile_of(KINDS["fp16x3"], 227 * 1024), tile_of(KINDS["fp16x3"], 99 * 1024).depth
    (Tile(rows=128, columns=128, depth=64, warps=8, stages=3), 32)
    """
    size = kind.dtype.itemsize * kind.planes * (Tile().rows + Tile().columns)
    for depth in (64, 32):
        stages = min(3, memory // (size * depth))
        if stages >= 2:
            return Tile(depth=depth, stages=stages)
    return Tile(64, 64, 32, 4, 2)


def queries_of(keys: int, width: int, memory: int) -> int | None:
    """How many queries one program of the attention kernel takes at a time.

    As Triton 3.6 compiles it, it shares `8 * width * (keys + queries)` bytes of memory, half as much again for 64
    queries on Hopper, and keeps a number per query and column, and one per query and key, in registers.

    Parameters
    ----------
    keys, width
        Earlier tokens, and numbers per head: powers of two of 16 at least.
    memory
        Bytes that programs share.

    Returns
    -------
    int or None
        A power of two from 16 to 64, None where not even 16 fit.

    Examples
    --------
    >>> queries_of(16, 64, 227 * 1024), queries_of(128, 128, 163 * 1024), queries_of(128, 128, 99 * 1024)
    (64, 32, None)
    """
    queries = max(16, min(64, 4096 // max(keys, width)))
    while queries >= 16:
        if (12 if queries == 64 else 8) * width * (keys + queries) <= memory:
            return queries
        queries //= 2
    return None


def split(x: Float[Tensor, "..."], precision: Precision) -> Float[Tensor, "plane ..."]:
    """The parts of numbers, each rounded to the nearest.

    Parameters
    ----------
    x
        float32, of any shape; for `fp16x3` no larger than 2^15.
    precision
        What for.

    Returns
    -------
    Tensor
        One plane for each part, in the dtype of `KINDS`; their sum is x to the accuracy of the precision.

    Examples
    --------
    >>> high, low = split(torch.tensor([1 + 2**-12]), "fp16x3")
    >>> high.item(), low.item() == 2**-12
    (1.0, True)
    """
    kind = KINDS[precision]
    if kind.planes == 1:
        return x.to(kind.dtype)[None]
    narrow: Callable[[Tensor], Tensor] = _tf32 if precision == "tf32x3" else torch.Tensor.half
    high = narrow(x)
    return torch.stack([high, narrow(x - high.float())])


def _tf32(x: Tensor) -> Tensor:
    """The nearest number with ten digits behind the point, in base two; what is no number stays none."""
    nearest = ((x.contiguous().view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)
    return torch.where(x.isnan(), x, nearest)


def power_of_two(size: Float[Tensor, " row"], top: int) -> Float[Tensor, " row"]:
    """The power of two that brings each number to between 2^top and 2^(top + 1).

    Parameters
    ----------
    size
        Not negative, shaped (row,).
    top
        The exponent.

    Returns
    -------
    Tensor
        Shaped (row,) in the dtype of `size`; 1 for 0, and no smaller or larger than 2^-100 and 2^100.

    Examples
    --------
    >>> power_of_two(torch.tensor([3.0, 0.0, 8.0]), 1).tolist()
    [1.0, 1.0, 0.25]
    """
    away = (top + 1 - torch.frexp(size).exponent).clamp(-100, 100)
    return torch.where(size > 0, torch.ldexp(torch.ones_like(size), away), 1.0)


class Matrix:
    """The weights of a linear layer, laid out once for the products that they are part of.

    Parameters
    ----------
    weight
        W, shaped (out, in).
    bias
        b, shaped (out,), or None.
    precision
        What products are computed in.
    factor
        What columns of the input are to be multiplied by, shaped (in,): done to W's columns, in float64.
    gated
        Whether the first half of the rows is the gate of the second, so that products are `SiLU(first) * second`.
    """

    def __init__(
        self,
        weight: Float[Tensor, "out in"],
        bias: Float[Tensor, " out"] | None,
        precision: Precision,
        *,
        factor: Float[Tensor, " in"] | None = None,
        gated: bool = False,
    ) -> None:
        wide = weight.double() if factor is None else weight.double() * factor.double()
        self.kind, self._gated, self._precision = KINDS[precision], gated, precision
        scale = power_of_two(wide.abs().amax(dim=1), TOP) if self.kind.scaled else torch.ones_like(wide[:, 0])
        self._planes = split((wide * scale[:, None]).float(), precision)
        self._back = (1 / scale).float()
        self._bias = None if bias is None else bias.float().contiguous()
        rows, self.depth = weight.shape
        self.columns = rows // 2 if gated else rows
        tile = tile_of(self.kind, shared_memory(weight.device))
        self._tile = tile._replace(columns=tile.columns // 2) if gated else tile

    def times(
        self,
        x: Float[Tensor, "plane row in"],
        *,
        by_row: Float[Tensor, " row"] | None = None,
        summand: Float[Tensor, "row out"] | None = None,
        factor: Float[Tensor, " half"] | None = None,
    ) -> Tensor:
        """`x W^T + b` for rows in planes.

        Parameters
        ----------
        x
            Shaped (plane, row, in), as `split` gives it.
        by_row
            What each row of `x W^T` is multiplied by, shaped (row,); None for nothing.
        summand
            Added to the result, shaped (row, out); None for nothing.
        factor
            For gated weights, what each column of the result is multiplied by, shaped (half,).

        Returns
        -------
        Tensor
            Shaped (row, out), float32; for gated weights (plane, row, half), split.
        """
        if self._precision == "float32" or not has_kernels(x.device):
            return self._by_pytorch(x, by_row, summand, factor)
        from plateaulens.scan import kernels  # noqa: PLC0415  needs Triton

        rows, tile = x.shape[1], self._tile
        shape = (self.kind.planes, rows, self.columns) if self._gated else (rows, self.columns)
        out = torch.empty(shape, dtype=self.kind.dtype if self._gated else torch.float32, device=x.device)
        then = kernels.GATED if self._gated else kernels.PLAIN if summand is None else kernels.PLUS
        blocks = -(-rows // tile.rows) * -(-self.columns // tile.columns)
        kernels.product_kernel[(blocks,)](
            x[0], x[-1], self._planes[0], self._planes[-1], out[0] if self._gated else out,
            out[-1] if self._gated else out, by_row, self._back, self._bias, factor if self._gated else summand,
            rows, self.columns, K=self.depth, SPAN=SPAN, KIND=self.kind.number, THEN=then.value,
            BY_ROW=by_row is not None, BIAS=self._bias is not None, BM=tile.rows, BN=tile.columns, BK=tile.depth,
            GROUP=8, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
        return out

    def _by_pytorch(self, x: Tensor, by_row: Tensor | None, summand: Tensor | None, factor: Tensor | None) -> Tensor:
        def product(one: int, other: int) -> Tensor:
            return torch.nn.functional.linear(x[one].float(), self._planes[other].float())

        if summand is not None and self._precision == "float32":
            result = torch.addmm(summand, x[0], self._planes[0].t())
            return result if self._bias is None else result.add_(self._bias)
        result = product(0, 0)
        if self.kind.planes > 1:
            result += product(0, 1) + product(1, 0)
        if self.kind.scaled:
            result *= self._back
        if by_row is not None:
            result *= by_row[:, None]
        if self._bias is not None:
            result += self._bias
        if self._gated:
            return self._gate(result, factor)
        return result if summand is None else result.add_(summand)

    def _gate(self, both: Tensor, factor: Tensor | None) -> Tensor:
        assert factor is not None, "gated weights scale what they hand out"
        if not has_kernels(both.device):
            first, second = both.chunk(2, dim=-1)
            return split(torch.nn.functional.silu(first) * second * factor, self._precision)
        from plateaulens.scan import kernels  # noqa: PLC0415  needs Triton

        out = torch.empty((self.kind.planes, len(both), self.columns), dtype=self.kind.dtype, device=both.device)
        kernels.gate_kernel[(len(both), -(-self.columns // 1024))](
            both, out[0], out[-1], factor, F=self.columns, BLOCK=1024, KIND=self.kind.number
        )
        return out


def split_rows(
    x: Float[Tensor, "row in"], precision: Precision
) -> tuple[Float[Tensor, "plane row in"], Float[Tensor, " row"] | None]:
    """Rows split, each brought to a common size first where the precision asks for it.

    Parameters
    ----------
    x
        float32, shaped (row, in).
    precision
        What for.

    Returns
    -------
    tuple of Tensor and Tensor or None
        The planes, and what rows of a product are to be multiplied by, shaped (row,).
    """
    kind = KINDS[precision]
    if kind.planes == 1 or not has_kernels(x.device):
        if not kind.scaled:
            return split(x, precision), None
        scale = power_of_two(x.abs().amax(dim=1), TOP)
        return split(x * scale[:, None], precision), 1 / scale
    from plateaulens.scan import kernels  # noqa: PLC0415  needs Triton

    (rows, depth), x = x.shape, x.contiguous()
    planes = torch.empty((kind.planes, rows, depth), dtype=kind.dtype, device=x.device)
    back = x.new_empty(rows)
    kernels.scale_kernel[(rows,)](
        x, planes[0], planes[-1], back, K=depth, BLOCK=next_power(depth), TOP=TOP, KIND=kind.number
    )
    return planes, back if kind.scaled else None


def next_power(number: int) -> int:
    """The least power of two that is not smaller.

    Parameters
    ----------
    number
        At least 1.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> [next_power(number) for number in (1, 3, 4, 576)]
    [1, 4, 4, 1024]
    """
    return 1 << (number - 1).bit_length()
