"""What several subcommands share: the preset that is meant, and what to say of a missing extra."""

import argparse
from typing import TYPE_CHECKING

from plateaulens.errors import UsageError, first_line
from plateaulens.presets import read_config
from plateaulens.resources import find

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  it has no public name

DEFAULT_PRESET = "smollm2"


def preset_name(options: argparse.Namespace) -> str:
    """The name that runs and summaries of the chosen preset have unless told otherwise."""
    return read_config(find("presets", options.preset or DEFAULT_PRESET)).name


def needs(error: ImportError, extra: str) -> UsageError:
    """What to raise when a module of an extra is not installed."""
    return UsageError(f"this command needs {error.name or first_line(error)}: run `pip install 'plateaulens[{extra}]'`")
