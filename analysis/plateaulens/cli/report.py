"""`plateaulens report`: from a summary to a page and a PDF."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens.cli.options import DEFAULT_PRESET, preset_name
from plateaulens.errors import UsageError

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("report", help="render a summary as HTML and PDF")
    parser.add_argument("--summary", type=Path, help="the summary (default: data/summaries/NAME.zarr)")
    parser.add_argument("--preset", help=f"preset that names the default summary (default: {DEFAULT_PRESET})")
    parser.add_argument(
        "--out", type=Path, default=Path("report/_output"), help="folder for the pages (default: %(default)s)"
    )
    parser.add_argument("--to", default="html,pdf", help="formats, comma-separated (default: %(default)s)")
    parser.add_argument(
        "--renderer", default="auto", choices=["auto", "quarto", "builtin"], help="default: %(default)s"
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from plateaulens.report.build import build  # noqa: PLC0415  needs the extra `report`
    from plateaulens.store.reading import check_kind  # noqa: PLC0415  zarr takes a second to import
    from plateaulens.store.schema import SUMMARY_KIND  # noqa: PLC0415

    summary = options.summary or Path("data/summaries") / f"{preset_name(options)}.zarr"
    if not summary.exists():
        raise UsageError(f"no summary at {summary}: make it with `plateaulens analyze`, or name another with --summary")
    check_kind(summary, SUMMARY_KIND)
    for path in build(summary, options.out, formats=tuple(options.to.split(",")), renderer=options.renderer):
        print(f"finished: {path}")
    return 0
