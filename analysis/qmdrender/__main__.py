"""The command line: `python -m qmdrender article.qmd --to html,typst --out built -P seed:7`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from qmdrender import FORMATS, RenderError, render


def main(arguments: Sequence[str] | None = None) -> int:
    """Render one document.

    Parameters
    ----------
    arguments
        What stands after the program's name; None takes this process's.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="qmdrender", description="Render a Quarto document with Python cells.")
    parser.add_argument("source", type=Path, metavar="DOCUMENT.qmd")
    parser.add_argument("--to", default=",".join(FORMATS), metavar="FORMATS", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=None, help="output folder (default: the document's)")
    parser.add_argument("-P", dest="parameters", action="append", default=[], metavar="NAME:VALUE", help="a parameter")
    given = parser.parse_args(arguments)
    try:
        parameters = dict(_parameter(text) for text in given.parameters)
        out = given.out or given.source.parent
        for path in render(given.source, out, formats=given.to.split(","), parameters=parameters):
            print(path)
    except RenderError as error:
        print(f"qmdrender: {error}", file=sys.stderr)
        return 1
    return 0


def _parameter(text: str) -> tuple[str, object]:
    """`NAME:VALUE` with the value read as YAML, as Quarto reads it."""
    name, colon, value = text.partition(":")
    if not colon:
        raise RenderError(f"-P {text}: write NAME:VALUE")
    return name, yaml.safe_load(value)


if __name__ == "__main__":
    sys.exit(main())
