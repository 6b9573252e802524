"""`plateaulens train`: what ships beside the code, made again."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import DEFAULT_PRESET, local_path, needs
from plateaulens.resources import find

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("train", help="make the prompts and the SAE that ship, from the model's own text")
    parser.add_argument(
        "--recipe", default=DEFAULT_PRESET, help="recipe that ships, or a TOML file (default: %(default)s)"
    )
    parser.add_argument(
        "--cache",
        type=local_path,
        default=Path("data/cache"),
        help="sampled text, checkpoints (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=local_path,
        default=Path("data"),
        help="where saes/ and prompts/ go (default: %(default)s)",
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        with leaving_at_once():
            from plateaulens.training.run import train_recipe  # noqa: PLC0415  needs the extra `collect`
    except ImportError as error:
        raise needs(error, "collect") from None
    train_recipe(find("recipes", options.recipe), options.out, options.cache)
    return 0
