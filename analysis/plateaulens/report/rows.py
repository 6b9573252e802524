"""What the report's tables share: digits, cells with intervals, and rows by metric."""

from collections.abc import Callable, Sequence

import pandas as pd
import xarray as xr

from plateaulens.names import metric_label
from plateaulens.report.contents import bounds
from plateaulens.report.text import estimate

STEP_DIGITS = 1
KS_DIGITS = 2

Rows = Callable[[xr.Dataset], list[dict[str, str]]]


def cell(values: xr.Dataset, quantity: str, digits: int) -> str:
    """An estimate of one type with its interval."""
    return estimate(float(values[quantity]), bounds(values[f"{quantity}_interval"]), digits)


def by_metric(experiment: xr.Dataset, metrics: Sequence[str], statistic: str, rows: Rows) -> pd.DataFrame:
    """The corrected convention's rows of each metric; below its name in bold where there are several metrics."""
    table: list[dict[str, str]] = []
    for metric in metrics:
        made = rows(experiment.sel(convention="corrected", statistic=statistic, metric=metric))
        if made and len(metrics) > 1:
            table.append({next(iter(made[0])): f"**{metric_label(metric)}**"})
        table += made
    return pd.DataFrame(table).fillna("")
