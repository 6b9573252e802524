"""`python -m calibration`: how often the intervals and tests are right, on data from planted truth."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from plateaulens.cli.entry import Parser, run
from plateaulens.errors import UsageError
from plateaulens.marks import fill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments
        What stands after the program's name; None takes this process's.

    Returns
    -------
    int
        The exit status.
    """
    parser = Parser(
        prog="python -m calibration", description="Check intervals and tests on simulated data, and write the table."
    )
    parser.add_argument("--replications", type=int, default=1000, help="data sets per cell (default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=499, help="resamples of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw (default: %(default)s)")
    parser.add_argument("--only", help="comma-separated questions; the other rows of the table stay")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument(
        "--cache", type=Path, default=Path("data/cache/calibration"), help="finished cells (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/calibration.csv"), help="the table (default: %(default)s)"
    )
    parser.add_argument(
        "--page", type=Path, default=Path("docs/statistics.md"), help="page that shows it (default: %(default)s)"
    )
    parser.set_defaults(command=_run)
    return run(parser, arguments)


def _run(options: argparse.Namespace) -> int:
    from calibration import table  # noqa: PLC0415  statsmodels takes a second to import
    from calibration.questions import QUESTIONS  # noqa: PLC0415
    from calibration.runner import Effort, calibrate, cells  # noqa: PLC0415

    only = [] if options.only is None else options.only.split(",")
    if unknown := [name for name in only if name not in QUESTIONS]:
        raise UsageError(f"--only: no question {unknown[0]!r}: there is {', '.join(QUESTIONS)}")
    if min(options.replications, options.resamples, options.processes) < 1:
        raise UsageError("--replications, --resamples and --processes must be positive")
    if not options.page.is_file():
        raise UsageError(f"no page at {options.page}: run from the project's folder, or name one with --page")
    effort = Effort(options.replications, options.resamples, options.seed)
    chosen = cells(only)
    results = calibrate(
        chosen,
        effort,
        options.cache,
        processes=options.processes,
        report=lambda cell: print(f"{cell.name}: {effort.replications} replications", flush=True),
    )
    frame = table.as_frame(results, effort)
    if only and options.out.exists():
        frame = table.merge(table.load(options.out), frame)
    table.save(frame, options.out)
    page = options.page.read_text(encoding="utf-8")
    options.page.write_text(fill(page, *table.MARKS, table.render(table.load(options.out))), encoding="utf-8")
    for cell in chosen:
        (options.cache / f"{cell.name}.json").unlink()
    print(f"finished: {options.out}, {options.page}")
    return 0


if __name__ == "__main__":  # worker processes import this file, too
    sys.exit(main())
