"""`plateaulens report`: from a summary to a page and a PDF."""

import argparse
import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import DEFAULT_PRESET, add_quick, local_path, preset
from plateaulens.config import ReportConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.progress import shown as showing

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands

OUT = Path("report/_output")
"""Where the pages go unless told otherwise."""


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("report", help="render a summary as HTML and PDF")
    parser.add_argument("--summary", help="the summary, a path or a URL (default: data/summaries/NAME.zarr)")
    parser.add_argument("--preset", help=f"preset that names the default summary (default: {DEFAULT_PRESET})")
    parser.add_argument(
        "--ladder", action="store_true", help="the page of a ladder of types; --beside names that of another site"
    )
    add_quick(parser, "the preset's quick run, into a folder of its own")
    parser.add_argument(
        "--beside", help="the summary of another model's run to set this one beside (default: the one its preset names)"
    )
    parser.add_argument(
        "--out",
        type=local_path,
        help="folder of the pages (default: report/_output, with --quick report/_output/NAME)",
    )
    parser.add_argument(
        "--to", type=_formats, default="html,pdf", help="formats, comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--renderer", default="auto", choices=["auto", "quarto", "builtin"], help="default: %(default)s"
    )
    parser.add_argument(
        "--no-data", action="store_true", help="write the pages alone: no results.json, report.md, tables and figures"
    )
    parser.add_argument("--open", action="store_true", help="show the page in a browser when it is finished")
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
        from plateaulens.store.reading import check_kind, check_present  # noqa: PLC0415
        from plateaulens.store.schema import SUMMARY_KIND, SWEEP_SUMMARY_KIND  # noqa: PLC0415

    if options.open and "html" not in options.to:
        raise UsageError("--open shows the page: have html among the formats of --to")
    if options.quick and options.summary:
        raise UsageError("--quick names a summary, and so does --summary: leave one of them out")
    summary = locate(options.summary or Path("data/summaries") / f"{preset(options).name}.zarr")
    if not summary.exists():
        raise UsageError(
            f"no summary at {summary}: make it with `plateaulens analyze{' --quick' if options.quick else ''}`, or "
            "name another with --summary"
        )
    attributes = check_present(summary)
    is_sweep = attributes["kind"] == SWEEP_SUMMARY_KIND
    if options.ladder and is_sweep:
        raise UsageError("--ladder is for the summary of a run, and this is one of a sweep")
    if options.beside:
        if is_sweep:
            raise UsageError("--beside is for the summary of a run, and this is one of a sweep")
        if not locate(options.beside).exists():
            raise UsageError(f"--beside: no summary at {locate(options.beside)}; make it with `plateaulens analyze`")
        check_kind(locate(options.beside), SUMMARY_KIND)
    with showing("rendering"):
        made = build(
            summary,
            options.out or (OUT / preset(options).name if options.quick else OUT),
            formats=options.to,
            renderer=options.renderer,
            document=_document(summary) if is_sweep else "ladder.qmd" if options.ladder else "index.qmd",
            beside=None if is_sweep else options.beside or _named_beside(summary, attributes.get("config")),
            data=not options.no_data,
        )
    for path in made:
        print(f"finished: {path}")
    if options.open:
        _open(next(path for path in made if path.suffix == ".html"))
    return 0


def _document(summary: Any) -> str:
    """The page of a sweep's summary: that of its SAEs where it ranks any, else that of its layers."""
    from plateaulens.store.reading import open_sweep_summary  # noqa: PLC0415
    from plateaulens.summary.sae_scale import ranks_saes  # noqa: PLC0415

    with open_sweep_summary(summary) as tree:
        return "saes.qmd" if ranks_saes(tree) else "sweep.qmd"


def _open(page: Path) -> None:
    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        print(f"no browser was found: open {page.resolve()} in one")


def _named_beside(summary: object, config: object) -> Path | None:
    """Where the summary is that a run's own configuration wants to be set beside."""
    with reading(f"{summary}: the run's configuration is damaged", "make the summary again with `plateaulens analyze`"):
        # by itself: the rest may be another version's
        name = ReportConfig.model_validate(json.loads(str(config)).get("report", {})).beside
    return Path("data/summaries") / f"{name}.zarr" if name else None
