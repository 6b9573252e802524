"""The manifest of a sweep: which runs it has, where they are and how far they have come.

It is `manifest.json` in the sweep's folder, beside the stores of the runs. It is replaced at once whenever a run begins
or ends, so that it is whole whenever it is read.
"""

import json
from pathlib import Path
from typing import Literal, Self

from plateaulens.config import FileStem, RunConfig, SaeConfig, Seed, Strict
from plateaulens.errors import UsageError, reading
from plateaulens.replacing import write_at_once

AXES = ("model", "sae", "write", "read", "seed")
"""What a sweep can vary, in the order of its summary's dimensions."""
SITE = tuple(axis for axis in AXES if axis != "sae")
"""What SAEs must have in common to be compared with each other."""

FILE = "manifest.json"
"""Name of the manifest in the sweep's folder."""
NO_SAE = "none"
"""Stands for the SAE of a run that has none."""

State = Literal["pending", "running", "complete"]


class Entry(Strict):
    """One run of a sweep."""

    name: FileStem
    model: str
    """Source of the model."""
    sae: str
    """Source of the SAE, `NO_SAE` when it has none."""
    write: str
    """Write site."""
    read: str
    """Read site."""
    seed: Seed
    state: State = "pending"

    @property
    def run(self) -> str:
        """Name of the run's store beside the manifest."""
        return f"{self.name}.zarr"

    def with_state(self, state: State) -> Self:
        """The entry in another state.

        Parameters
        ----------
        state
            How far the run has come.

        Returns
        -------
        Entry
            A copy.
        """
        return self.model_copy(update={"state": state})


class Manifest(Strict):
    """The preset of a sweep and all its runs, in the order in which they are collected."""

    kind: Literal["plateaulens sweep"] = "plateaulens sweep"
    config: RunConfig
    cells: tuple[Entry, ...]

    def write(self, folder: Path) -> None:
        """Put it into the sweep's folder, at once: a reader finds either the manifest before or this one.

        Parameters
        ----------
        folder
            The sweep's folder, which is made when there is none.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_at_once(folder / FILE, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")

    def with_state(self, name: str, state: State) -> Self:
        """The manifest with one run in another state.

        Parameters
        ----------
        name
            Name of the run; nothing changes for one that the sweep does not have.
        state
            How far the run has come.

        Returns
        -------
        Manifest
            A copy, not written yet.
        """
        cells = tuple(each.with_state(state) if each.name == name else each for each in self.cells)
        return self.model_copy(update={"cells": cells})


def config_of(config: RunConfig, entry: Entry) -> RunConfig:
    """The configuration of one run: the sweep's, with what this run has of what is varied.

    Parameters
    ----------
    config
        The sweep's preset.
    entry
        One of the sweep's runs.

    Returns
    -------
    RunConfig
        As a preset of its own would have it.
    """
    sae = None if entry.sae == NO_SAE else SaeConfig(source=entry.sae)
    if sae is not None and config.sae is not None:
        sae = config.sae.model_copy(update={"source": entry.sae})
    changes = {
        "name": entry.name,
        "model": config.model.model_copy(update={"source": entry.model}),
        "sae": sae,
        "sites": config.sites.model_copy(update={"write": entry.write, "read": entry.read}),
        "seed": entry.seed,
        "sweep": None,
    }
    return config.model_copy(update=changes)


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds the runs of a sweep.

    Parameters
    ----------
    folder
        A path that may not exist.

    Returns
    -------
    bool
        True when there is a manifest, whether it can be read or not.
    """
    return (folder / FILE).is_file()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a sweep's folder.

    Parameters
    ----------
    folder
        The sweep's folder.

    Returns
    -------
    Manifest
        As it was last written.

    Raises
    ------
    UsageError
        When there is none, or it is one that this version cannot read.
    """
    if not is_sweep(folder):
        raise UsageError(f"no sweep at {folder}: run `plateaulens collect` with a preset that has a [sweep]")
    with reading(f"{folder / FILE} cannot be read by this version"):
        return Manifest.model_validate_json((folder / FILE).read_bytes())
