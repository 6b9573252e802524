"""Write what ladders have found into docs/ladder.md, between its marks: `python docs/findings.py SUMMARY ...`."""

import re
import sys
from pathlib import Path
from textwrap import fill

from plateaulens.report import ladder

PAGE = Path(__file__).with_name("ladder.md")
BEGIN = "<!-- findings: written by `nox -s findings`, not by hand -->"
END = "<!-- findings: end -->"
WIDTH = 120
_LINK = re.compile(r" \(@[\w-]+\)")


def findings(sites: list[ladder.Site]) -> str:
    """The sentences of the page of a ladder, and the table of its rungs, as Markdown."""
    makers = (ladder.answer_sentences, ladder.control_sentences, ladder.token_sentences)
    said = [_wrapped(_LINK.sub("", make(sites))) for make in makers]
    return "\n\n".join((*said, ladder.rung_table(sites).markdown().strip()))


def _wrapped(text: str) -> str:
    return "\n\n".join(fill(paragraph, WIDTH, break_long_words=False) for paragraph in text.split("\n\n"))


def put(page: str, text: str) -> str:
    """A page with another text between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, "the page has both marks"
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), findings(ladder.open_sites(*sys.argv[1:]))), encoding="utf-8")
