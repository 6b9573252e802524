"""The command line: one subcommand per storey of the house, and errors of one line."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from plateaulens.config import EXPERIMENT_NAMES, RunConfig, override, read_config
from plateaulens.errors import UsageError, first_line
from plateaulens.resources import find

DEFAULT_PRESET = "smollm2"
INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell reports it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. What the user can mend is one line on standard error."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except UsageError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("plateaulens: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        return _fail(_explain(error))


def _fail(message: str) -> int:
    print(f"plateaulens: error: {' '.join(message.splitlines())}", file=sys.stderr)
    return 1


def _explain(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{place}: make room and give the same command again, finished blocks are kept"
    return f"{error.strerror or error}{place}"


def _collect(options: argparse.Namespace) -> int:
    config = _configuration(options)
    out = options.out or Path("data/runs") / f"{config.name}.zarr"
    try:
        from plateaulens.collect import collect  # noqa: PLC0415  needs the extra `collect`
    except ImportError as error:
        raise UsageError(_missing(error)) from None
    print(f"collecting {', '.join(config.experiments)} into {out}", flush=True)
    collect(config, out)
    print(f"finished: {out}")
    return 0


def _analyze(options: argparse.Namespace) -> int:
    from plateaulens.analysis import analyze  # noqa: PLC0415  statsmodels takes a second to import

    run = options.run or Path("data/runs") / f"{_name(options)}.zarr"
    if not run.exists():
        raise UsageError(f"no run at {run}: make it with `plateaulens collect`, or name another with --run")
    out = options.out or Path("data/summaries") / run.name
    analyze(run, out, None if options.preset is None else read_config(find("presets", options.preset)).analysis)
    print(f"finished: {out}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from plateaulens.report.build import build  # noqa: PLC0415  needs the extra `report`
    from plateaulens.store.reading import check_kind  # noqa: PLC0415  zarr takes a second to import
    from plateaulens.store.schema import SUMMARY_KIND  # noqa: PLC0415

    summary = options.summary or Path("data/summaries") / f"{_name(options)}.zarr"
    if not summary.exists():
        raise UsageError(f"no summary at {summary}: make it with `plateaulens analyze`, or name another with --summary")
    check_kind(summary, SUMMARY_KIND)
    for path in build(summary, options.out, formats=tuple(options.to.split(",")), renderer=options.renderer):
        print(f"finished: {path}")
    return 0


def _train(options: argparse.Namespace) -> int:
    try:
        from plateaulens.training.run import train_recipe  # noqa: PLC0415  needs the extra `collect`
    except ImportError as error:
        raise UsageError(_missing(error)) from None
    train_recipe(find("recipes", options.recipe), options.out, options.cache)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from plateaulens.store.verify import verify  # noqa: PLC0415  zarr takes a second to import

    problems = verify(options.run)
    for problem in problems:
        print(problem)
    if problems:
        return _fail(f"{options.run}: {len(problems)} problem{'s' if len(problems) > 1 else ''} found")
    print(f"{options.run}: every chunk is as it was written")
    return 0


def _configuration(options: argparse.Namespace) -> RunConfig:
    experiments = None if options.experiments is None else options.experiments.split(",")
    config = read_config(find("presets", options.preset or DEFAULT_PRESET))
    return override(config, samples=options.samples, seed=options.seed, experiments=experiments)


def _name(options: argparse.Namespace) -> str:
    return read_config(find("presets", options.preset or DEFAULT_PRESET)).name


def _missing(error: ImportError) -> str:
    return f"this command needs {error.name or first_line(error)}: run `pip install 'plateaulens[collect]'`"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plateaulens", description=__doc__.partition(":")[0] + ".")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    collect = commands.add_parser("collect", help="run the experiments of a preset and store every curve")
    collect.add_argument("--preset", help=f"name of a preset that ships, or a TOML file (default: {DEFAULT_PRESET})")
    collect.add_argument("--samples", type=int, help="base prompts, for every experiment (default: the preset's)")
    collect.add_argument("--seed", type=int, help="seed of every draw (default: the preset's)")
    collect.add_argument("--experiments", help=f"comma-separated, among {','.join(EXPERIMENT_NAMES)}")
    collect.add_argument("--out", type=Path, help="where the run is stored (default: data/runs/NAME.zarr)")
    collect.set_defaults(command=_collect)

    analyze = commands.add_parser("analyze", help="turn a run's curves into statistics")
    analyze.add_argument("--run", type=Path, help="the run (default: data/runs/NAME.zarr)")
    analyze.add_argument("--preset", help="take the analysis settings of this preset (default: those of the run)")
    analyze.add_argument("--out", type=Path, help="where the summary is stored (default: data/summaries/NAME.zarr)")
    analyze.set_defaults(command=_analyze)

    report = commands.add_parser("report", help="render a summary as HTML and PDF")
    report.add_argument("--summary", type=Path, help="the summary (default: data/summaries/NAME.zarr)")
    report.add_argument("--preset", help=f"preset that names the default summary (default: {DEFAULT_PRESET})")
    report.add_argument(
        "--out", type=Path, default=Path("report/_output"), help="folder for the pages (default: %(default)s)"
    )
    report.add_argument("--to", default="html,pdf", help="formats, comma-separated (default: %(default)s)")
    report.add_argument(
        "--renderer", default="auto", choices=["auto", "quarto", "builtin"], help="default: %(default)s"
    )
    report.set_defaults(command=_report)

    train = commands.add_parser("train", help="make the prompts and the SAE that ship, from the model's own text")
    train.add_argument(
        "--recipe", default=DEFAULT_PRESET, help="recipe that ships, or a TOML file (default: %(default)s)"
    )
    train.add_argument(
        "--cache", type=Path, default=Path("data/cache"), help="sampled text and checkpoints (default: %(default)s)"
    )
    train.add_argument(
        "--out", type=Path, default=Path("data"), help="folder that gets saes/ and prompts/ (default: %(default)s)"
    )
    train.set_defaults(command=_train)

    verify = commands.add_parser("verify", help="check every chunk of a stored run or summary")
    verify.add_argument("run", type=Path)
    verify.set_defaults(command=_verify)
    return parser


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    sys.exit(main())
