"""`plateaulens report`: from a summary to a page and a PDF."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import DEFAULT_PRESET, preset_name
from plateaulens.config import ReportConfig
from plateaulens.errors import UsageError, reading, shown

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("report", help="render a summary as HTML and PDF")
    parser.add_argument("--summary", help="the summary, a path or a URL (default: data/summaries/NAME.zarr)")
    parser.add_argument("--preset", help=f"preset that names the default summary (default: {DEFAULT_PRESET})")
    parser.add_argument(
        "--beside", help="the summary of another model's run to set this one beside (default: the one its preset names)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report/_output"), help="folder for the pages (default: %(default)s)"
    )
    parser.add_argument(
        "--to", type=_formats, default="html,pdf", help="formats, comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--renderer", default="auto", choices=["auto", "quarto", "builtin"], help="default: %(default)s"
    )
    parser.set_defaults(command=_run)


def _formats(text: str) -> tuple[str, ...]:
    named = tuple(part.strip() for part in text.split(","))
    if len(set(named)) < len(named):
        raise argparse.ArgumentTypeError(f"{shown(text)} names a format twice: name each once")
    return named


def _run(options: argparse.Namespace) -> int:
    with leaving_at_once():
        from plateaulens.report.build import build  # noqa: PLC0415  needs the extra `report`
        from plateaulens.store.location import locate  # noqa: PLC0415  zarr takes a second to import
        from plateaulens.store.reading import check_kind, root_attributes  # noqa: PLC0415
        from plateaulens.store.schema import SUMMARY_KIND, SWEEP_SUMMARY_KIND  # noqa: PLC0415

    summary = locate(options.summary or Path("data/summaries") / f"{preset_name(options)}.zarr")
    if not summary.exists():
        raise UsageError(f"no summary at {summary}: make it with `plateaulens analyze`, or name another with --summary")
    attributes = root_attributes(summary)
    is_sweep = attributes.get("kind") == SWEEP_SUMMARY_KIND
    check_kind(summary, SWEEP_SUMMARY_KIND if is_sweep else SUMMARY_KIND)
    if options.beside:
        if is_sweep:
            raise UsageError("--beside is for the summary of a run, and this is one of a sweep")
        if not locate(options.beside).exists():
            raise UsageError(f"--beside: no summary at {locate(options.beside)}; make it with `plateaulens analyze`")
        check_kind(locate(options.beside), SUMMARY_KIND)
    made = build(
        summary,
        options.out,
        formats=options.to,
        renderer=options.renderer,
        document="sweep.qmd" if is_sweep else "index.qmd",
        beside=None if is_sweep else options.beside or _named_beside(summary, attributes.get("config")),
    )
    for path in made:
        print(f"finished: {path}")
    return 0


def _named_beside(summary: object, config: object) -> Path | None:
    """Where the summary is that a run's own configuration wants to be set beside."""
    with reading(f"{summary}: the run's configuration is damaged", "make the summary again with `plateaulens analyze`"):
        # by itself: the rest may be another version's
        name = ReportConfig.model_validate(json.loads(str(config)).get("report", {})).beside
    return Path("data/summaries") / f"{name}.zarr" if name else None
