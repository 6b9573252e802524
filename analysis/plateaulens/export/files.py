"""Writing what is taken out of a summary: `results.json`, `report.md` and the folder `data`.

Everything is made in a scratch folder and put in place when it is whole. The same summary gives the same bytes.
"""

import importlib.util
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pandas as pd
import xarray as xr

from plateaulens.errors import UsageError, shown
from plateaulens.export.page import page
from plateaulens.export.results import as_text, results
from plateaulens.export.tables import tables
from plateaulens.names import NAME
from plateaulens.replacing import publish, scratch, write_at_once
from plateaulens.store.location import Location, check_folder
from plateaulens.store.reading import check_summary, open_present_summary
from plateaulens.store.verify import blaming_damage

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")
DATA, RESULTS, PAGE = "data", "results.json", "report.md"


def export(path: Location, folder: Path, *, to: Format = "csv", prompts: bool = True) -> list[Path]:
    """Take everything out of a stored summary; see `write_all`.

    Parameters
    ----------
    path
        The path or URL of the summary of a run or of a sweep.
    folder
        Where the files go.
    to
        Format of the tables.
    prompts
        Whether tables of single base prompts, their texts among them, are written as well.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UsageError
        When there is no such summary, when another version made it, or what writes its tables is not installed.
    """
    with open_present_summary(path) as summary, blaming_damage(path):
        return write_all(summary, folder, to=to, prompts=prompts)


def write_all(summary: xr.DataTree, folder: Path, *, to: Format = "csv", prompts: bool = False) -> list[Path]:
    """Write every table of an open summary into `folder/data`, and `results.json` and `report.md` beside it.

    Tables that an earlier call has left there, by its `results.json`, and this one does not write, are removed.

    Parameters
    ----------
    summary
        The summary of a run or of a sweep.
    folder
        Where the files go; it is made where there is none.
    to
        Format of the tables: NaN is an empty cell of a CSV file.
    prompts
        Whether tables of single base prompts, their texts among them, are written as well.

    Returns
    -------
    list of Path
        What was written, `results.json` and `report.md` first.

    Raises
    ------
    UsageError
        For a summary that another version made, for an unknown format, for parquet without pyarrow, when the folder is
        a store or lies in one, and when what the summary says about itself is damaged.
    """
    check_summary(summary.attrs)
    if to not in FORMATS:
        raise UsageError(f"no format {shown(to)}: there is {', '.join(FORMATS)}")
    if to == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError("--to parquet needs pyarrow: run `pip install 'plateaulens[parquet]'`, or take csv")
    check_folder(folder)
    with scratch("plateaulens-export") as place:
        made = [_write(frame, place / f"{name}.{to}", to) for name, frame in tables(summary, prompts=prompts)]
        found = results(summary, tuple(f"{DATA}/{file.name}" for file in made))
        text = page(found)
        earlier = former(folder)
        written = publish(made, folder / DATA)
    for name in earlier - {file.name for file in written}:
        (folder / DATA / name).unlink(missing_ok=True)
    for name, content in ((PAGE, text), (RESULTS, as_text(found))):
        write_at_once(folder / name, content)
    return [folder / RESULTS, folder / PAGE, *written]


def _write(frame: pd.DataFrame, path: Path, to: Format) -> Path:
    if to == "csv":
        frame.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    else:
        frame.to_parquet(path, engine="pyarrow", index=False, compression="zstd")
    return path


def former(folder: Path) -> set[str]:
    """The tables that an earlier call has left in a folder.

    Parameters
    ----------
    folder
        Where an export may be.

    Returns
    -------
    set of str
        The names of files of `folder/data` that its `results.json` names, as far as a table can be called so.
    """
    with suppress(OSError, ValueError, AttributeError):
        named: Sequence[object] = json.loads((folder / RESULTS).read_text()).get("tables", [])
        parts = [str(each).partition("/") for each in named]
        return {
            name
            for head, _, name in parts
            if head == DATA and NAME.fullmatch(name) and name.endswith(tuple(f".{each}" for each in FORMATS))
        }
    return set()
