"""`plateaulens analyze`: from curves to statistics."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import DEFAULT_PRESET, add_quick, preset
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.progress import shown

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("analyze", help="turn a run's curves into statistics")
    parser.add_argument("--run", help="the run, a path or a URL, or a sweep's folder (default: data/runs/NAME.zarr)")
    parser.add_argument(
        "--preset",
        help=f"preset that names the run and how it is analysed (default: {DEFAULT_PRESET}, analysed as the run says)",
    )
    add_quick(parser, "the preset's quick run")
    parser.add_argument("--out", help="where the summary goes, a path or a URL (default: data/summaries/NAME.zarr)")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    with leaving_at_once():
        from plateaulens.store.location import locate  # noqa: PLC0415
        from plateaulens.summary.analyze import analyze  # noqa: PLC0415  statsmodels takes a second to import

    if options.quick and options.run is not None:
        raise UsageError("--quick names a run, and so does --run: leave one of them out")
    if (sweep := _sweep(options)) is not None:
        return _analyze_sweep(options, sweep)
    run = locate(options.run or Path("data/runs") / f"{preset(options).name}.zarr")
    if not run.exists():
        raise UsageError(
            f"no run at {run}: make it with `plateaulens collect{' --quick' if options.quick else ''}`, or name "
            "another with --run"
        )
    out = options.out or Path("data/summaries") / run.name
    with shown(f"analysing {run.name}"):
        analyze(run, out, _settings(options))
    print(f"finished: {out}")
    return 0


def _settings(options: argparse.Namespace) -> AnalysisConfig | None:
    return None if options.preset is None else preset(options).analysis


def _sweep(options: argparse.Namespace) -> Path | None:
    """The folder of the sweep that is meant, None for a run."""
    from plateaulens.store.manifest import is_sweep  # noqa: PLC0415

    if options.run is not None:
        return Path(options.run) if is_sweep(Path(options.run)) else None
    config = preset(options)
    return None if config.sweep is None else Path("data/runs") / config.name


def _analyze_sweep(options: argparse.Namespace, folder: Path) -> int:
    from plateaulens.summary.sweep import analyze_sweep  # noqa: PLC0415

    out = options.out or Path("data/summaries") / f"{folder.name}.zarr"
    with shown(f"analysing the sweep {folder.name}"):
        analyze_sweep(folder, out, _settings(options))
    print(f"finished: {out}")
    return 0
