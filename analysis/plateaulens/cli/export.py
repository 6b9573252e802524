"""`plateaulens export`: a summary as tables, as JSON and as Markdown."""

import argparse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import local_path

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("export", help="take a summary out: tables, results.json and report.md")
    parser.add_argument("summary", metavar="SUMMARY", help="the summary of a run or of a sweep, a path or a URL")
    parser.add_argument(
        "--to",
        default="csv",
        choices=["csv", "parquet", "saebench"],
        help="format of the tables, or SAEBench's results, a JSON file for each SAE (default: %(default)s)",
    )
    parser.add_argument("--out", type=local_path, help="folder for the files (default: NAME-export)")
    parser.add_argument(
        "--no-prompts", action="store_true", help="leave out tables of single base prompts, their texts among them"
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    with leaving_at_once():
        from plateaulens.export import export  # noqa: PLC0415  pandas and zarr take a second to import

    out = options.out or Path(f"{PurePosixPath(options.summary.rstrip('/')).stem or 'summary'}-export")
    if options.to == "saebench":
        from plateaulens.export.saebench import export_saebench  # noqa: PLC0415  compares, as an analysis does

        for path in export_saebench(options.summary, out):
            print(f"finished: {path}")
        return 0
    made = export(options.summary, out, to=options.to, prompts=not options.no_prompts)
    for path in made[:2]:
        print(f"finished: {path}")
    print(f"finished: {len(made) - 2} tables in {out / 'data'}")
    return 0
