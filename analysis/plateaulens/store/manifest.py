"""The manifest of a sweep: which runs it has, where they are and how far they have come."""

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError

from plateaulens.config import RunConfig, Strict
from plateaulens.errors import UsageError, explain

AXES = ("model", "sae", "write", "read", "seed")
"""What a sweep can vary, in the order of its summary's dimensions."""

FILE = "manifest.json"
NO_SAE = "none"

State = Literal["pending", "running", "complete"]


class Entry(Strict):
    """One run of a sweep."""

    name: str
    model: str
    sae: str
    """`NO_SAE` when it has none."""
    write: str
    read: str
    seed: int
    state: State = "pending"

    @property
    def run(self) -> str:
        """Name of the run's store beside the manifest."""
        return f"{self.name}.zarr"

    def with_state(self, state: State) -> Self:
        """The entry in another state."""
        return self.model_copy(update={"state": state})


class Manifest(Strict):
    """The preset of a sweep and all its runs."""

    kind: Literal["plateaulens sweep"] = "plateaulens sweep"
    config: RunConfig
    cells: tuple[Entry, ...]

    def write(self, folder: Path) -> None:
        """Put it into the sweep's folder, at once."""
        folder.mkdir(parents=True, exist_ok=True)
        building = folder / f".{FILE}.partial"
        building.write_text(json.dumps(self.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
        building.replace(folder / FILE)

    def with_state(self, name: str, state: State) -> Self:
        """The manifest with one run in another state."""
        cells = tuple(each.with_state(state) if each.name == name else each for each in self.cells)
        return self.model_copy(update={"cells": cells})


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds the runs of a sweep."""
    return (folder / FILE).is_file()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a sweep's folder. Raises `UsageError` when there is none, or another version's."""
    try:
        return Manifest.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"no sweep at {folder}: run `plateaulens collect` with a preset that has a [sweep]") from None
    except ValidationError as error:
        raise UsageError(f"{folder / FILE} cannot be read by this version: {explain(error)}") from None
