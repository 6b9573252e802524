"""Activations that somebody else made: a generative model's, a steering method's, an SAE's edits, read from a file."""

import hashlib
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import zarr
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from plateaulens.config import FileConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.targets.base import Base, Target, TargetContext

REMEDY = "give a .safetensors, .npy or .pt file, or a .zarr array, of floating-point numbers (row, width)"
_MOST_BYTES = 2**32
"""Of an array in a file: what is not stored takes no space on a disk, and all of it in memory."""
_ROW_WORDS = {
    "pool": "drawn uniformly from the rows of {}",
    "sample": "the row of {} with the sample's number",
    "prompt": "the row of {} with the prompt's row",
}


class FileType:
    """The activation type whose targets are rows of a file.

    Parameters
    ----------
    name
        The type's name.
    activation
        The rows, shaped (row, width).
    settings
        Which row is which base prompt's.
    """

    needs_sae = False

    def __init__(self, name: str, activation: Float[Tensor, "row width"], settings: FileConfig) -> None:
        self.name, self._rows, self._settings = name, activation, settings

    @classmethod
    def read(cls, name: str, settings: FileConfig) -> Self:
        """The type of a file.

        Parameters
        ----------
        name
            The type's name.
        settings
            The file, and which row is which base prompt's.

        Returns
        -------
        FileType
            With all rows in memory, in float32.

        Raises
        ------
        UsageError
            When the file cannot be read, or holds anything else than finite real numbers (row, width).
        """
        return cls(name, read_rows(Path(settings.path)), settings)

    def check(self, width: int, *, samples: int, prompts: int) -> None:
        """Refuse a file that a run could not be finished with, before there is a store of it.

        Parameters
        ----------
        width
            Of the write site.
        samples, prompts
            How many samples the run has, and how many rows its prompt file.

        Raises
        ------
        UsageError
            For rows of another width, and for fewer of them than there are of what each is for.
        """
        count, own = self._rows.shape
        if own != width:
            raise UsageError(f"activations {self._settings.path} are {own} wide, and the write site is {width} wide")
        wanted = {"sample": samples, "prompt": prompts}.get(self._settings.rows, 0)
        if count < wanted:
            raise UsageError(
                f"activations {self._settings.path} have {count} rows for {wanted} {self._settings.rows}s; give one "
                'for each, or rows = "pool"'
            )

    @property
    def definition(self) -> str:
        """Which rows of which file."""
        return _ROW_WORDS[self._settings.rows].format(Path(self._settings.path).name)

    @property
    def identity(self) -> dict[str, str]:
        """The file's name, and the SHA-256 of its rows as little-endian float32."""
        content = self._rows.numpy().astype("<f4").tobytes()
        return {"file": Path(self._settings.path).name, "sha256": hashlib.sha256(content).hexdigest()}

    def target(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Target:  # noqa: ARG002
        """One of the rows. See `plateaulens.targets.base.ActivationType.target`."""
        wanted = {"sample": base.sample, "prompt": base.row}.get(self._settings.rows)
        if wanted is None:
            wanted = int(generator.integers(len(self._rows)))
        return Target(self._rows[wanted].to(base.activation.device))


def read_rows(path: Path) -> Float[Tensor, "row width"]:
    """The activations of a file.

    Parameters
    ----------
    path
        A .safetensors file with one tensor (or one that is called `activations`), an .npy array, a .pt file with one
        tensor, which is read without running anything in it, or a .zarr array. A single activation is one row.

    Returns
    -------
    Tensor
        In float32, on the CPU.

    Raises
    ------
    UsageError
        Names the file and what is wrong with it.
    """
    readers = {".safetensors": _safetensors, ".npy": _npy, ".pt": _pt, ".zarr": _zarr}
    if path.suffix not in readers:
        raise UsageError(f"activations {shown(str(path))}: {REMEDY}")
    if not path.exists():
        raise UsageError(f"activations {path} do not exist: {REMEDY}")
    with reading(f"activations {path} cannot be read", REMEDY):
        found = readers[path.suffix](path)
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or not found.is_floating_point() or not found.numel():
        raise UsageError(f"activations {path} are {found.dtype} {tuple(found.shape)}: {REMEDY}")
    rows = found.detach().float().contiguous()
    if not rows.isfinite().all():
        row = int((~rows.isfinite().all(dim=1)).nonzero()[0, 0])
        raise UsageError(f"activations {path}: row {row} has a value that is no finite number")
    return rows


def _safetensors(path: Path) -> Tensor:
    with safe_open(path, framework="pt") as tensors:
        found: Tensor = tensors.get_tensor(_only(list(tensors.keys())))
    return found


def _npy(path: Path) -> Tensor:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_size(array.nbytes)
    return torch.from_numpy(np.array(array))


def _pt(path: Path) -> Tensor:
    found: Any = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, dict):
        found = found[_only(list(found))]
    if not isinstance(found, Tensor):
        raise ValueError(f"a {type(found).__name__} and no tensor")  # noqa: TRY004  one line for all
    return found


def _zarr(path: Path) -> Tensor:
    found: Any = zarr.open(path, mode="r")
    if isinstance(found, zarr.Group):
        found = found[_only(sorted(found.array_keys()))]
    _check_size(found.size * np.dtype(found.dtype).itemsize)
    return torch.from_numpy(np.asarray(found[...]))


def _check_size(size: int) -> None:
    if size > _MOST_BYTES:
        raise ValueError(f"{size:,} bytes, and {_MOST_BYTES:,} are the most")


def _only(names: list[Any]) -> Any:
    """The array that is meant."""
    if "activations" in names:
        return "activations"
    if len(names) != 1:
        raise ValueError(f"{len(names)} arrays, none of them called 'activations'")
    return names[0]
