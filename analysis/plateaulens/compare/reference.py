"""The authors' published numbers, to be set beside a run's. They are for GPT-2, not for the embedded model."""

from pathlib import Path

import pandas as pd

from plateaulens.errors import UsageError
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
}
"""Columns of `step_statistics.csv` and their types."""


def read_reference(folder: Path | None = None) -> pd.DataFrame:
    """The authors' step statistics: a row for each number or group of numbers printed in one place, with that place.

    Columns are `COLUMNS`. `mean` and `sd` (population) are in steps, `ks` is the Kolmogorov-Smirnov distance to the
    model-generated activations (our `real`); what was not printed is missing. Experiments and activation types that
    PlateauLens has are named as it names them, the others as the authors name them. `source` gives notebook, commit and
    cell. Reads `data/reference` of the installation, or `folder`.

    Raises `UsageError` when the file is not there, or its columns are not those.
    """
    path = (folder or root() / "data" / "reference") / "step_statistics.csv"
    try:
        table = pd.read_csv(path, dtype=COLUMNS)
    except FileNotFoundError:
        raise UsageError(f"no reference numbers at {path}: restore the file from the repository") from None
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if list(table.columns) != list(COLUMNS):
        raise UsageError(f"{path} has columns {', '.join(table.columns)}, expected {', '.join(COLUMNS)}")
    return table
