"""Rows of printed tables."""

import pandas as pd

from plateaulens.names import label
from plateaulens.report.table import Table


def row(table: Table, kind: str) -> pd.Series:
    """The cells of the first row of a type."""
    return next(cells for _, cells in table.cells().iterrows() if cells["type"] == label(kind))
