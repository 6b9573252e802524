"""The command line: one subcommand per file, and errors of one line."""

from plateaulens.cli.entry import main

__all__ = ["main"]
