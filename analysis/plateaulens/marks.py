"""What programs write into a page otherwise written by hand: it stands between two marks, comments of Markdown."""

from plateaulens.errors import UsageError


def fill(page: str, opening: str, closing: str, text: str) -> str:
    r"""A page with a text between two of its marks, in place of what stands there.

    Parameters
    ----------
    page
        Markdown; the opening mark stands in it once.
    opening, closing
        The marks. Of a closing mark that several places share, the first behind the opening one is meant.
    text
        What is written there, a blank line from both marks.

    Returns
    -------
    str
        The page; filled with the same text again, it stays as it is.

    Raises
    ------
    UsageError
        When the page has no such place, or several.

    Examples
    --------
    >>> fill("a <!-- x -->old<!-- /x --> b", "<!-- x -->", "<!-- /x -->", "new")
    'a <!-- x -->\n\nnew\n\n<!-- /x --> b'
    """
    before, _, rest = page.partition(opening)
    _, closed, after = rest.partition(closing)
    if not closed:
        raise UsageError(f"the page has no place for what is written there: give it {opening} and {closing}")
    if opening in rest:
        raise UsageError(f"the page has {opening} more than once: keep one of them")
    inside = text.strip("\n")
    return f"{before}{opening}\n\n{inside}\n\n{closing}{after}"
