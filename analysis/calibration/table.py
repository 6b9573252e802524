"""The table of a calibration: every row as CSV, and what the documentation shows of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from calibration.outcomes import Tallies
from calibration.questions import QUESTIONS
from calibration.runner import Cell, Effort

MARKS = ("<!-- calibration: written by `nox -s calibrate`, not by hand -->", "<!-- calibration: end -->")
"""Between which the page has the tables; see `plateaulens.marks.fill`."""

FLOOR = 0.93
"""A nominal 95 % interval that covers less somewhere is named on the page, with where."""

_INTRODUCTION = (
    "{replications} replications of each cell{others} (fewer where a method declines to estimate), with {resamples} "
    "resamples or swaps each. Entries are per cent: the mean over designs and activation types, and in brackets the "
    "lowest and the highest of them. The Monte Carlo standard error of one of {replications} is {error:.1f} or less at "
    "5 or 95 %."
)


def as_frame(results: Mapping[Cell, Tallies], effort: Effort) -> pd.DataFrame:
    """The table of a calibration.

    Parameters
    ----------
    results
        The counts of each cell.
    effort
        What they took.

    Returns
    -------
    DataFrame
        One row for each cell, quantity, method and activation type (or pair of them).
    """
    rows = [
        {
            "kind": key.kind,
            "quantity": key.quantity,
            "method": key.method,
            "question": cell.question,
            "design": cell.design,
            "samples": cell.samples,
            "activation_type": key.activation_type,
            "truth": key.truth,
            "share": tally.share,
            "standard_error": tally.error,
            "width": tally.width / tally.total,
            "replications": tally.total,
            "resamples": effort.resamples,
            "seed": effort.seed,
        }
        for cell, tallies in results.items()
        for key, tally in tallies.rows.items()
    ]
    return _in_order(pd.DataFrame(rows))


def save(frame: pd.DataFrame, path: Path) -> None:
    """Write the rows; four decimals are well below the Monte Carlo error.

    Parameters
    ----------
    frame
        What `as_frame` gave.
    path
        The CSV file; its folder is made if it is not there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.round({"truth": 4, "share": 4, "standard_error": 4, "width": 4}).to_csv(path, index=False)


def load(path: Path) -> pd.DataFrame:
    """Read what `save` wrote.

    Parameters
    ----------
    path
        The CSV file.

    Returns
    -------
    DataFrame
        The rows.
    """
    return pd.read_csv(path)


def render(frame: pd.DataFrame) -> str:
    """The tables of the documentation.

    Parameters
    ----------
    frame
        What `as_frame` or `load` gave.

    Returns
    -------
    str
        Markdown: how much was computed, and a table for each kind of row.
    """
    usual, others = _replications(frame)
    parts = [
        _INTRODUCTION.format(
            replications=_span(*usual),
            others="".join(f", {_span(*span)} of *{question}*" for question, span in others.items()),
            resamples=_span(frame["resamples"].min(), frame["resamples"].max()),
            error=100 * np.sqrt(0.05 * 0.95 / usual[0]),
        )
    ]
    for title, (kind, corners, rows, cell) in _TABLES.items():
        chosen = frame[(frame["kind"] == kind) & ((frame["question"] == "corners") == corners)]
        if len(chosen):
            parts += [f"**{title}**", _by_samples(_effects(chosen), rows, cell)]
    low = below(frame)
    if len(low):
        parts += [f"**{_LOW}**", _written(low)]
    return "\n\n".join(parts)


def below(frame: pd.DataFrame) -> pd.DataFrame:
    """The intervals that cover less than `FLOOR` somewhere.

    Parameters
    ----------
    frame
        What `as_frame` or `load` gave.

    Returns
    -------
    DataFrame
        A row for each quantity, method and table that it is in: how many of its entries are that low, and the lowest.
    """
    covered = frame[frame["kind"] == "coverage"]
    covered = covered.assign(table=np.where(covered["question"] == "corners", "corners", "first"))
    rows = []
    for (place, quantity, method), own in covered.groupby(["table", "quantity", "method"], sort=False):
        low = own[own["share"] < FLOOR]
        if len(low):
            least = low.sort_values("share", kind="stable").iloc[0]
            rows.append(
                {
                    "quantity": quantity,
                    "method": method,
                    "table": place,
                    "entries below": f"{len(low)} of {len(own)}",
                    "lowest": f"{100 * least['share']:.1f}",
                    "where": f"{least['design']}, {least['activation_type']}, n = {least['samples']}",
                }
            )
    return pd.DataFrame(rows)


def _replications(frame: pd.DataFrame) -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
    """The fewest and the most of a cell in most questions, and in the others by question."""
    cells = frame.groupby(["question", "design", "samples"])["replications"].max().groupby("question")
    spans = {str(question): (int(own.min()), int(own.max())) for question, own in cells}
    every = list(spans.values())
    usual = max(every, key=every.count)
    return usual, {question: span for question, span in spans.items() if span != usual}


def _written(table: pd.DataFrame) -> str:
    return tabulate(table.to_numpy().tolist(), headers=[*table.columns], tablefmt="pipe", disable_numparse=True)


def _span(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"


def _by_samples(frame: pd.DataFrame, rows: list[str], cell: Callable[[pd.Series], str]) -> str:
    counts = sorted(frame["samples"].unique())
    table = [
        [*names, *(cell(own.loc[own["samples"] == count, "share"]) for count in counts)]
        for names, own in frame.groupby(rows, sort=False)
    ]
    return tabulate(
        table, headers=[*rows, *(f"n = {count}" for count in counts)], tablefmt="pipe", disable_numparse=True
    )


def _effects(frame: pd.DataFrame) -> pd.DataFrame:
    """With what there is to find; types at the same distance from real are one effect."""
    return frame.assign(effect=frame["activation_type"].str.replace(r", (another|earlier)\b", "", regex=True))


def _range(share: "pd.Series[float]") -> str:
    if share.empty:
        return ""
    mean, low, high = (100 * value for value in (share.mean(), share.min(), share.max()))
    return f"{mean:.1f} ({low:.1f}-{high:.1f})"


def _mean(share: "pd.Series[float]") -> str:
    return "" if share.empty else f"{100 * share.mean():.0f}"


def merge(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The old rows with those of the new cells in place of theirs.

    Parameters
    ----------
    old, new
        What `as_frame` or `load` gave.

    Returns
    -------
    DataFrame
        In the order of `as_frame`.
    """
    cell = ["question", "design", "samples"]
    replaced = set(new[cell].itertuples(index=False, name=None))
    kept = [row not in replaced for row in old[cell].itertuples(index=False, name=None)]
    return _in_order(pd.concat([old[kept], new]))


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by question and number of base prompts, and as they are within."""
    place = {question: number for number, question in enumerate(QUESTIONS)}
    order = np.lexsort((frame["samples"], frame["question"].map(place)))
    return frame.iloc[order].reset_index(drop=True)


_LOW = f"Nominal 95 % intervals that cover less than {100 * FLOOR:g} % somewhere"

_TABLES: dict[str, tuple[str, bool, list[str], Callable[["pd.Series[float]"], str]]] = {
    "Coverage of nominal 95 % intervals": ("coverage", False, ["quantity", "method"], _range),
    "Coverage of nominal 95 % intervals in the corners, where they are printed": (
        *("coverage", True),
        ["quantity", "method"],
        _range,
    ),
    "Rejections at 5 % where there is nothing to find": ("error", False, ["quantity", "method"], _range),
    "Orders of equally near types, in the corners": ("error", True, ["design", "activation_type"], _range),
    "Rejections at 5 % where there is something to find": (
        *("power", False),
        ["quantity", "method", "effect"],
        _mean,
    ),
    "Runs that reach what they were planned for, by the size of the pilot": (
        *("planned", False),
        ["quantity", "method"],
        _range,
    ),
}
"""By its title, the kind of a table's rows, whether they are those of the corners, its lines, and its entries."""
