"""Write what ladders have found into a place of docs/ladder.md: `python docs/findings.py PLACE SUMMARY ...`."""

import re
import sys
from pathlib import Path
from textwrap import wrap

from plateaulens.marks import fill
from plateaulens.report import ladder

PAGE = Path(__file__).with_name("ladder.md")
CLOSING = "<!-- findings: end -->"
WIDTH = 120
_LINK = re.compile(r" \(@[\w-]+\)")


def opening(place: str) -> str:
    """The mark behind which the findings of a place stand."""
    return f"<!-- findings: {place}, written by `nox -s findings`, not by hand -->"


def findings(sites: list[ladder.Site]) -> str:
    """The sentences of the page of a ladder, and the table of its rungs, as Markdown."""
    makers = (ladder.answer_sentences, ladder.control_sentences, ladder.token_sentences)
    said = [_wrapped(_LINK.sub("", make(sites))) for make in makers]
    return "\n\n".join((*said, ladder.rung_table(sites).markdown().strip()))


def _wrapped(text: str) -> str:
    return "\n\n".join("\n".join(wrap(paragraph, WIDTH, break_long_words=False)) for paragraph in text.split("\n\n"))


if __name__ == "__main__":
    place, *summaries = sys.argv[1:]
    found = findings(ladder.open_sites(*summaries))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), opening(place), CLOSING, found), encoding="utf-8")
