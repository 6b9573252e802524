"""What several subcommands share: the preset that is meant, and what to say of a missing extra."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens.config import RunConfig
from plateaulens.errors import UsageError, first_line, shown
from plateaulens.presets import read_config
from plateaulens.quick import quick
from plateaulens.resources import find

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  it has no public name

DEFAULT_PRESET = "smollm2"


def add_quick(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare `--quick`, of which `what` says what it stands for in this subcommand."""
    parser.add_argument("--quick", action="store_true", help=what)


def preset(options: argparse.Namespace) -> RunConfig:
    """The chosen preset, or its quick run."""
    config = read_config(find("presets", options.preset or DEFAULT_PRESET))
    return quick(config) if options.quick else config


def local_path(text: str) -> Path:
    """An option's path where no URL will do: as a path, one would be a folder called `s3:`."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{shown(text)} is a URL: name a path of this machine")
    return Path(text)


def needs(error: ImportError, extra: str) -> UsageError:
    """What to raise when a module of an extra is not installed."""
    return UsageError(f"this command needs {error.name or first_line(error)}: run `pip install 'plateaulens[{extra}]'`")
