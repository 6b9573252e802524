"""A table of the report: a data frame of numbers, and how each of its columns is written.

The frame can be computed with. Its column `type` holds values of the coordinate `activation_type`, an interval is three
columns `NAME`, `NAME_lower` and `NAME_upper`, and what is not there is NaN or None.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import xarray as xr

from plateaulens.names import label, metric_label
from plateaulens.report.contents import bounds, compared
from plateaulens.report.text import MISSING, escape, estimate, markdown, number, p_value, percent, prose

STEP_DIGITS = 1
KS_DIGITS = 2

Kind = Literal["estimate", "number", "count", "percent", "p", "type", "metric", "word", "text", "prose"]
Row = dict[str, Any]

_FLAGS = {
    **dict.fromkeys(("mean", "restricted_mean"), "degenerate"),
    **dict.fromkeys(
        (
            *("mean_difference", "median_difference", "restricted_mean_difference"),
            *("cliffs_delta", "paired_delta", "wasserstein"),
        ),
        "difference_degenerate",
    ),
}
"""By quantity, the variable that marks its interval as one that means nothing."""
_WRITTEN: Mapping[Kind, Callable[[Any, int], str]] = {
    "number": number,
    "count": lambda value, _: number(value, 0),
    "percent": percent,
    "p": lambda value, _: p_value(value),
    "type": lambda value, _: label(value),
    "metric": lambda value, _: metric_label(value),
    "word": lambda value, _: str(value),
    "text": lambda value, _: escape(str(value)),
    "prose": lambda value, _: prose(value),
}


@dataclass(frozen=True)
class Column:
    """How one column of a frame is written."""

    title: str = ""
    """Above the column."""
    kind: Kind = "word"
    """An `estimate` has an interval, a `count` and the other numbers have none; a `p` is a p-value; a `type` and a
    `metric` are values of coordinates; a `word` is the report's own, in Markdown, `text` and `prose` are of any origin.
    """
    digits: int = 0
    """Behind the point."""
    flag: str | None = None
    """The column that says where an interval means nothing: there the estimate stands alone."""
    also: str | None = None
    """A second column that is written into the same cell, as this one is."""
    pattern: str = "{}, {}"
    """How the two are put together."""
    instead: tuple[str, str] | None = None
    """A column of truth values, and what is written where it is true."""
    starred: str | None = None
    """A column of truth values: where it is true a star follows."""
    words: Mapping[Any, str] = field(default_factory=dict)
    """What is written for some values."""
    missing: str = MISSING
    """What is written where there is no value."""

    def cell(self, row: Mapping[Any, Any], name: str) -> str:
        """One finished cell.

        Parameters
        ----------
        row
            Of the frame, by column.
        name
            The column that this describes.

        Returns
        -------
        str
            Markdown.
        """
        if self.instead and row[self.instead[0]]:
            return self.instead[1]
        written = [self._written(row, column) for column in (name, self.also) if column is not None]
        star = "\\*" if self.starred and row[self.starred] else ""
        return (self.pattern.format(*written) if self.also else written[0]) + star

    def _written(self, row: Mapping[Any, Any], name: str) -> str:
        value = row.get(name)
        if pd.isna(value):
            return self.missing
        if value in self.words:
            return self.words[value]
        if self.kind != "estimate":
            return _WRITTEN[self.kind](value, self.digits)
        if self.flag and row[self.flag]:
            return number(value, self.digits)
        return estimate(value, [row[f"{name}_lower"], row[f"{name}_upper"]], self.digits)


@dataclass(frozen=True)
class Table:
    """Numbers, and how they are written."""

    frame: pd.DataFrame
    """Numbers, words and NaN; it may have columns that are not printed."""
    columns: Mapping[str, Column]
    """The columns that are printed, from left to right."""
    grouped_by: str | None = None
    """The one of them that is written in bold above its rows instead."""

    def cells(self) -> pd.DataFrame:
        """What is printed.

        Returns
        -------
        pandas.DataFrame
            Finished cells by the titles of the columns, with the lines that stand above groups of rows.
        """
        shown = {name: column for name, column in self.columns.items() if name != self.grouped_by}
        first = next(iter(shown.values())).title
        rows: list[dict[str, str]] = []
        above = ""
        for row in self.frame.to_dict("records"):
            if self.grouped_by:
                heading = f"**{self.columns[self.grouped_by].cell(row, self.grouped_by)}**"
                if heading != above:
                    rows.append({first: heading})
                above = heading
            rows.append({column.title: column.cell(row, name) for name, column in shown.items()})
        return pd.DataFrame(rows).fillna("")

    def markdown(self) -> str:
        """The table as it is printed.

        Returns
        -------
        str
            A Markdown pipe table, or a dash where it has no rows; see `plateaulens.report.text.markdown`.
        """
        return markdown(self.cells())


TYPE = Column("type", "type")
"""The first column of most tables."""


def measured(values: xr.Dataset, quantity: str, name: str = "", *, known: bool = True, within: str = "interval") -> Row:
    """The columns of an estimate with its interval, for `estimated`.

    Parameters
    ----------
    values
        Of one type, statistic and metric.
    quantity
        The estimate's variable.
    name
        Of the columns, the quantity's own unless given.
    known
        Whether there is something to show.
    within
        Which of the quantity's intervals, by what stands behind its name.

    Returns
    -------
    dict
        The estimate, both ends, and the flag of an interval that may mean nothing; NaN where it is not `known`.
    """
    name = name or quantity
    nothing = float("nan")
    lower, upper = bounds(values[f"{quantity}_{within}"]).tolist() if known else (nothing, nothing)
    row = {name: float(values[quantity]) if known else nothing, f"{name}_lower": lower, f"{name}_upper": upper}
    return row | ({f"{name}_degenerate": bool(values[_FLAGS[quantity]])} if quantity in _FLAGS else {})


def estimated(
    title: str, quantity: str, digits: int = 1, *, name: str = "", instead: tuple[str, str] | None = None
) -> dict[str, Column]:
    """How the columns of `measured` are written.

    Parameters
    ----------
    title
        Above the column.
    quantity
        The estimate's variable.
    digits
        Behind the point.
    name
        Of the columns, the quantity's own unless given.
    instead
        As in `Column`.

    Returns
    -------
    dict
        One column, by its name.
    """
    name = name or quantity
    flag = f"{name}_degenerate" if quantity in _FLAGS else None
    return {name: Column(title, "estimate", digits, flag=flag, instead=instead)}


def by_metric(
    experiment: xr.Dataset,
    metrics: Sequence[str] | None,
    statistic: str,
    rows: Callable[[xr.Dataset], list[Row]],
    columns: Mapping[str, Column],
) -> Table:
    """A table of the corrected convention, its metrics one below the other.

    Parameters
    ----------
    experiment
        An experiment's group.
    metrics
        Those to show, the main ones unless given; one alone has no heading.
    statistic
        A value of the coordinate `statistic`.
    rows
        What to show of one metric.
    columns
        How it is written.

    Returns
    -------
    Table
        The rows, with a column `metric`; none where the experiment lacks the statistic or the metrics.
    """
    found = [
        {"metric": metric} | row for metric, values in compared(experiment, metrics, statistic) for row in rows(values)
    ]
    grouped = metrics is None or len(metrics) > 1
    return Table(
        pd.DataFrame(found),
        ({"metric": Column(kind="metric")} if grouped else {}) | dict(columns),
        grouped_by="metric" if grouped else None,
    )
