"""`plateaulens cache`: what is kept on this machine so that the next run starts sooner."""

import argparse
from typing import TYPE_CHECKING

from plateaulens import cache

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("cache", help="say what is kept so that the next run starts sooner, or remove it")
    parser.add_argument("--clear", action="store_true", help="remove all of it; it is made again where it is needed")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    place = cache.folder()
    if place is None:
        print(f"nothing is kept: {cache.VARIABLE} is empty")
        return 0
    if options.clear:
        print(f"removed {cache.clear() / 1e6:,.1f} MB from {place}")
        return 0
    found = cache.entries()
    for entry, size in found.items():
        print(f"{size / 1e6:10,.1f} MB  {entry.name}")
    print(f"{sum(found.values()) / 1e6:10,.1f} MB  of at most {cache.MOST / 1e6:,.0f} MB in {place}")
    return 0
