"""How the report writes numbers, lists, tables and text that is not its own."""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from math import isnan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Interval = Sequence[float] | NDArray[np.float64]

MINUS = "\u2212"
MISSING = "\u2014"

_VISIBLE = {"\n": "\u21b5", "\t": "\u21e5"}
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_NUMERIC = re.compile(rf"(<\u00a0)?[{MINUS}\d].*|{MISSING}|beyond|no overlap|")


def number(value: float, digits: int = 1) -> str:
    """A number with a proper minus sign and thousands separators; a dash for NaN, and never a negative zero.

    Parameters
    ----------
    value
        Any number, infinite ones too.
    digits
        Behind the point.

    Returns
    -------
    str
        The number as it is printed.

    Examples
    --------
    >>> number(-8.04), number(-0.01), number(1234.5, 0), number(float("nan"))
    ('\N{MINUS SIGN}8.0', '0.0', '1,234', '\N{EM DASH}')
    """
    if not np.isfinite(value):
        return MISSING if np.isnan(value) else ("\u221e" if value > 0 else f"{MINUS}\u221e")
    text = f"{abs(value):,.{digits}f}"
    negative = value < 0 and any(digit in "123456789" for digit in text)
    return MINUS + text if negative else text


def percent(fraction: float, digits: int = 0) -> str:
    """A fraction in percent, with a no-break space.

    Parameters
    ----------
    fraction
        1 for all.
    digits
        Behind the point.

    Returns
    -------
    str
        As printed; a dash for what is not finite.

    Examples
    --------
    >>> print(percent(0.254), percent(-0.1))
    25\N{NO-BREAK SPACE}% \N{MINUS SIGN}10\N{NO-BREAK SPACE}%
    """
    return f"{number(100 * fraction, digits)}\u00a0%" if np.isfinite(fraction) else MISSING


def p_value(p: float, alpha: float = 0.05) -> str:
    r"""A p-value to three digits, to four where three would round it to `alpha`; a dash for NaN.

    Parameters
    ----------
    p
        The p-value.
    alpha
        The level that rounding must not bring it to.

    Returns
    -------
    str
        As printed.

    Examples
    --------
    >>> p_value(0.0354), p_value(0.0002), p_value(0.04987), p_value(1.0)
    ('0.035', '<\xa00.001', '0.0499', '1')
    """
    if np.isnan(p):
        return MISSING
    if p < 0.001:
        return "<\u00a00.001"
    digits = 4 if p != alpha and number(p, 3) == number(alpha, 3) else 3
    return "1" if p >= 1 else number(p, digits)


def p_equals(p: float) -> str:
    r"""A p-value within a sentence.

    Parameters
    ----------
    p
        The p-value.

    Returns
    -------
    str
        The letter, the sign and the value.

    Examples
    --------
    >>> p_equals(0.25), p_equals(0.0002)
    ('p\xa0=\xa00.250', 'p\xa0<\xa00.001')
    """
    text = p_value(p)
    return f"p\u00a0{text}" if text.startswith("<") else f"p\u00a0=\u00a0{text}"


def interval(ends: Interval, digits: int = 1) -> str:
    """Both ends of an interval; an end that is not 0 is given the digits it takes not to be written as 0.

    Whether an interval holds 0 is what verdicts rest on, so rounding must not hide it.

    Parameters
    ----------
    ends
        The lower one and the upper one, (2,).
    digits
        Behind the point, at least.

    Returns
    -------
    str
        As sentences print it; "undefined" where there is none.

    Examples
    --------
    >>> interval([-10.1, -5.9]), interval([0.004, 0.2])
    ('\N{MINUS SIGN}10.1 to \N{MINUS SIGN}5.9', '0.004 to 0.2')
    """
    return "undefined" if any(map(isnan, ends)) else " to ".join(_ends(ends, digits))


def _ends(ends: Interval, digits: int) -> list[str]:
    return [number(end, _digits(end, digits)) for end in ends]


def _digits(end: float, digits: int) -> int:
    enough = [more for more in range(digits, digits + 3) if round(abs(end), more) > 0]
    return enough[0] if enough else digits


def estimate(value: float, ends: Interval, digits: int = 1) -> str:
    r"""A table cell: the estimate and its interval, or the estimate alone where the interval is undefined.

    Parameters
    ----------
    value
        The estimate.
    ends
        The lower one and the upper one, (2,).
    digits
        Behind the point; of an end, at least.

    Returns
    -------
    str
        As printed.

    Examples
    --------
    >>> estimate(51.3, [50.2, 52.4])  # a line may end before the bracket, not within it
    '51.3 [50.2,\xa052.4]'
    """
    if not np.all(np.isfinite(ends)):
        return number(value, digits)
    lower, upper = _ends(ends, digits)
    return f"{number(value, digits)} [{lower},\u00a0{upper}]"


def agreeing_digits(first: float, second: float, difference: float, digits: int = 1) -> int:
    """With how many digits two numbers and their difference are written, so that a reader finds the same difference.

    Parameters
    ----------
    first, second, difference
        The numbers, and the first minus the second.
    digits
        At least as many.

    Returns
    -------
    int
        At most two more, where fewer disagree.

    Examples
    --------
    >>> agreeing_digits(0.32, 0.58, -0.26, 2), agreeing_digits(0.325, 0.58, -0.255, 2)
    (2, 3)
    """

    def agree(count: int) -> bool:
        a, b, apart = (Decimal(f"{value:.{count}f}") for value in (first, second, difference))
        return a - b == apart

    return next((count for count in range(digits, digits + 2) if agree(count)), digits + 2)


def duration(seconds: float) -> str:
    """A time in the largest unit that makes it at least 1.

    Parameters
    ----------
    seconds
        The time.

    Returns
    -------
    str
        With its unit.

    Examples
    --------
    >>> duration(42), duration(90), duration(9000)
    ('42 seconds', '1.5 minutes', '2.5 hours')
    """
    if seconds < 60:
        return f"{number(seconds, 0)} seconds"
    return f"{number(seconds / 60)} minutes" if seconds < 3600 else f"{number(seconds / 3600)} hours"


def listing(words: Sequence[str]) -> str:
    """Words as an enumeration.

    Parameters
    ----------
    words
        At least one.

    Returns
    -------
    str
        With commas, and "and" before the last.

    Examples
    --------
    >>> listing(["a"]), listing(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *head, last = words
    return f"{', '.join(head)} and {last}" if head else last


def escape(text: str) -> str:
    r"""Text of any origin as Markdown that shows it literally, in HTML and in typst.

    ASCII punctuation gets a backslash, so that neither Markdown, raw HTML, mathematics, citations, divs nor Quarto's
    shortcodes can begin. Line breaks and tabs become arrows, other control and format characters their code points,
    and spaces that Markdown would collapse become no-break spaces.

    Parameters
    ----------
    text
        Anything.

    Returns
    -------
    str
        Markdown.

    Examples
    --------
    >>> print(escape("{{< x >}} $5\n"))
    \{\{\< x \>\}\} \$5↵
    """
    text = re.sub(r"^ | $|(?<= ) | (?= )", "\u00a0", text.replace("\r\n", "\n"))
    return "".join(map(_escaped, text))


def prose(text: str) -> str:
    r"""A sentence or a phrase of any origin as Markdown: `escape`, with the apostrophes of a printed text.

    Parameters
    ----------
    text
        Anything.

    Returns
    -------
    str
        Markdown.

    Examples
    --------
    >>> print(prose("another prompt's activation | x"))
    another prompt's activation \| x
    """
    return escape(text).replace(r"\'", "'")


def _escaped(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if unicodedata.category(character) in _INVISIBLE:
        return f"\\[U\\+{ord(character):04X}\\]"
    is_markup = character.isascii() and not character.isalnum() and character != " "
    return f"\\{character}" if is_markup else character


def markdown(cells: pd.DataFrame) -> str:
    """Finished cells as a Markdown pipe table without an index; columns of numbers to the right, others to the left.

    Parameters
    ----------
    cells
        A column for each of the table's. Cells are Markdown already: text of other origin must have gone through
        `escape`.

    Returns
    -------
    str
        The table, or a dash where it has no rows.
    """
    if cells.empty:
        return MISSING
    columns = [cells[name].astype(str) for name in cells.columns]
    aligned = ["right" if all(map(_NUMERIC.fullmatch, column)) else "left" for column in columns]
    return cells.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=aligned)
