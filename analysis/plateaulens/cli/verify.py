"""`plateaulens verify`: whether a store is what was written."""

import argparse
from typing import TYPE_CHECKING

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.errors import UsageError

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("verify", help="check every chunk of a stored run or summary")
    parser.add_argument("run", metavar="STORE", help="a path or a URL")
    parser.add_argument(
        "--repair", action="store_true", help="drop what is damaged of a run, so that `collect` measures it again"
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    with leaving_at_once():
        from plateaulens.store.verify import repair, verify  # noqa: PLC0415  zarr takes a second to import

    for line in repair(options.run) if options.repair else ():
        print(line)
    problems = verify(options.run)
    for problem in problems:
        print(problem)
    if problems:
        raise UsageError(f"{options.run}: {len(problems)} problem{'s' if len(problems) > 1 else ''} found")
    print(f"{options.run}: every file is as it was written")
    return 0
