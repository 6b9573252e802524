"""`plateaulens analyze`: from curves to statistics."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens.cli.options import preset_name
from plateaulens.config import read_config
from plateaulens.errors import UsageError
from plateaulens.resources import find

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("analyze", help="turn a run's curves into statistics")
    parser.add_argument("--run", type=Path, help="the run (default: data/runs/NAME.zarr)")
    parser.add_argument("--preset", help="take the analysis settings of this preset (default: those of the run)")
    parser.add_argument("--out", type=Path, help="where the summary is stored (default: data/summaries/NAME.zarr)")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from plateaulens.analysis import analyze  # noqa: PLC0415  statsmodels takes a second to import

    run = options.run or Path("data/runs") / f"{preset_name(options)}.zarr"
    if not run.exists():
        raise UsageError(f"no run at {run}: make it with `plateaulens collect`, or name another with --run")
    out = options.out or Path("data/summaries") / run.name
    analyze(run, out, None if options.preset is None else read_config(find("presets", options.preset)).analysis)
    print(f"finished: {out}")
    return 0
