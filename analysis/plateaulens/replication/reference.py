"""The authors' published numbers, to be set beside a run's. They are for GPT-2, not for the embedded model."""

from pathlib import Path

import pandas as pd

from plateaulens.errors import UsageError, reading, shown
from plateaulens.resources import root

COLUMNS = {
    "experiment": "string",
    "statistic": "string",
    "metric": "string",
    "activation_type": "string",
    "n": "Int64",
    "mean": "float64",
    "sd": "float64",
    "ks": "float64",
    "source": "string",
    "note": "string",
    "median": "float64",
    "dropped_above": "float64",
    "reading_error": "float64",
}
"""Columns of `step_statistics.csv` and their types."""

ACTIVATION_COLUMNS = {
    "quantity": "string",
    "description": "string",
    "value": "float64",
    "sd": "float64",
    "n": "Int64",
    "source": "string",
    "note": "string",
}
"""Columns of `activation_statistics.csv` and their types."""


def read_reference(folder: Path | None = None) -> pd.DataFrame:
    """The authors' numbers on steps and curves.

    Parameters
    ----------
    folder
        Where `step_statistics.csv` is; None is `data/reference` of the installation.

    Returns
    -------
    DataFrame
        A row for each number or group of numbers printed in one place, with the columns `COLUMNS`. `mean`, `median` and
        `sd` (population) are in steps, or in the units of what is no step; `ks` is the Kolmogorov-Smirnov distance to
        the model-generated activations (our `real`), or to the second type of "a vs b"; what was not printed is
        missing. Values above `dropped_above` were not counted. `reading_error` is how far a number that was read off a
        figure may be off. Experiments and activation types that PlateauLens has are named as it names them, the others
        as the authors name them; `activations` stands for what was measured of activations alone. `source` gives
        notebook, commit and cell.

    Raises
    ------
    UsageError
        When the file is not there, or its columns are not those.
    """
    return _read(folder, "step_statistics.csv", COLUMNS)


def read_activation_reference(folder: Path | None = None) -> pd.DataFrame:
    """The authors' numbers on latents and activations.

    Parameters
    ----------
    folder
        Where `activation_statistics.csv` is; None is `data/reference` of the installation.

    Returns
    -------
    DataFrame
        A row for each number, with the columns `ACTIVATION_COLUMNS`.

    Raises
    ------
    UsageError
        When the file is not there, or its columns are not those.
    """
    return _read(folder, "activation_statistics.csv", ACTIVATION_COLUMNS)


def _read(folder: Path | None, name: str, columns: dict[str, str]) -> pd.DataFrame:
    path = (folder or root() / "data" / "reference") / name
    if not path.is_file():
        raise UsageError(f"no reference numbers at {path}: restore the file from the repository")
    with reading(f"{path} cannot be read", "restore the file from the repository"):
        table = pd.read_csv(path, dtype=columns)
    if list(table.columns) != list(columns):
        raise UsageError(f"{path} has columns {shown(list(table.columns))}, expected {', '.join(columns)}")
    return table
