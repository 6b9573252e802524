"""Small cards for notebooks: what something is, on a few lines of HTML, in which everybody's texts are escaped."""

from collections.abc import Mapping
from html import escape

from plateaulens.errors import shortened

LONGEST = 120
"""Characters of a text that are shown."""
_BOX = "display:inline-block;border:1px solid #8886;border-radius:6px;padding:.5em .8em;font-size:90%"


def card(what: str, name: str, facts: Mapping[str, str], rows: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """A card.

    Parameters
    ----------
    what
        The kind of thing.
    name
        Its name.
    facts
        By what they are of.
    rows
        A table below: by the name of a row, its cells by the name of their column. All rows have the same columns.

    Returns
    -------
    str
        HTML without scripts, in which every text is escaped.

    Examples
    --------
    >>> print(card("run", "<b>", {"samples": "4 of 6"}).partition(">")[2])
    <b>run</b> &lt;b&gt;<table><tr><td>samples</td><td>4 of 6</td></tr></table></div>
    """
    parts = [f'<div style="{_BOX}"><b>{_shown(what)}</b> {_shown(name)}']
    parts.append(f"<table>{''.join(_row('td', [key, value]) for key, value in facts.items())}</table>")
    if rows:
        columns = next(iter(rows.values()))
        lines = [_row("td", [key, *cells.values()]) for key, cells in rows.items()]
        parts.append(f"<table>{_row('th', ['', *columns])}{''.join(lines)}</table>")
    return "".join([*parts, "</div>"])


def _row(kind: str, cells: list[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{_shown(cell)}</{kind}>' for cell in cells)}</tr>"


def _shown(text: str) -> str:
    return escape(shortened(text, LONGEST))
