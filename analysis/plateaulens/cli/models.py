"""`plateaulens models`: which models and autoencoders can be measured, in which way, and how long that takes."""

import argparse
from typing import TYPE_CHECKING

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import local_path, needs
from plateaulens.names import WAYS

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("models", help="say which models and autoencoders can be measured, and in which way")
    parser.add_argument("--registry", action="store_true", help="count SAELens' autoencoders by architecture and site")
    parser.add_argument(
        "--cost", metavar="MODEL", help="time the ways on a model, say embedded:smollm2 (hub id, directory, .gguf)"
    )
    parser.add_argument(
        "--page", type=local_path, help="write the tables into this page instead, where it has a place for them"
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        with leaving_at_once():
            from plateaulens.collect import reach  # noqa: PLC0415  needs the extra `collect`
    except ImportError as error:
        raise needs(error, "collect") from None
    if options.cost is not None:
        tables = {"cost": reach.costs(options.cost)}
    else:
        found = reach.ways()
        tables = {"registry": reach.registry(found)} if options.registry else {"ways": found}
    for name, table in tables.items():
        if options.page is None:
            print(reach.as_text(table), end="")
        else:
            page = options.page.read_text(encoding="utf-8")
            options.page.write_text(reach.insert(page, name, table), encoding="utf-8")
    if "ways" in tables:
        print("\n".join(f"{way}: {what}" for way, what in WAYS.items()))
        print(f"{reach.NOT_POSSIBLE}: the architecture has no such site, or transformers has no module for it")
    elif "registry" in tables:
        print(reach.told(tables["registry"]))
    return 0
