"""Reading what the report says as an editor would: sentence by sentence, for length, grammar and tidiness."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from IPython.display import Markdown

from plateaulens.names import label

MOST_WORDS = 30
FRAGMENTS = (
    "figures.",
    "thresholds[",
    "setting.level(",
    "setting.resampling(",
    "setting.family(",
    "phrases.others(",
    "explorer.explorer(",
    "sweep.resampling(",
    "sae_scale.steps_phrase(",
)
"""What figures take long to draw, and expressions that are less than a sentence."""
_ENDS = re.compile(r"(?<=[.?!])[\"*]*\s+(?=[A-Z\d\"@*(])")
_PLURAL = "are|have|differ|blow|leave|bend"
_SINGULAR = "is|has|differs|blows|leaves|bends"


def texts(shown: Sequence[Any]) -> Iterator[str]:
    """The paragraphs and list items among what a page shows, without tables, headings and fences."""
    for item in shown:
        text = item.data if isinstance(item, Markdown) else item
        if not isinstance(text, str):
            continue
        for line in text.splitlines():
            is_sentence = line not in {"", "\N{EM DASH}"} and not line.startswith(("|", "#", ":::", "!["))
            if is_sentence and " \u00b7 " not in line:
                yield line.removeprefix("- ")


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, with the markup of escapes and emphasis taken away."""
    bare = re.sub(r"\\(.)", r"\1", text).replace("**", "")
    return [sentence for sentence in _ENDS.split(bare) if sentence]


def faults(sentence: str, types: Sequence[str] = (), *, most: int = MOST_WORDS) -> list[str]:
    """What is wrong with a sentence, in words; nothing with a good one."""
    found = []
    if (count := len(sentence.split())) > most:
        found.append(f"{count} words")
    if not re.search(r"[.?!]\*?$", sentence):
        found.append("does not end")
    if not re.match(r"[A-Z\d\"@*(\u2212]", sentence):
        found.append("begins with a small letter")
    if re.search(r"  | [,.;:)]|\( |\(\)|;;|,,|\.\.(?!\.)", sentence):
        found.append("untidy marks")
    if re.search(r"\bnan\b|\bNone\b|\binf\b|_", re.sub(r"`[^`]*`|@[\w-]+|\S*\.\S+", "", sentence)):
        found.append("no word")
    if "\u2014" in sentence:
        found.append("no number")
    if twice := re.search(r"\b([A-Za-z]+) \1\b", sentence, re.IGNORECASE):
        found.append(f"{twice[0]!r} stands twice")
    if re.search(r"\ba (?=[aeiou])|\ban (?=[^aeiouLMNSX])", sentence):
        found.append("wrong article")
    return found + [f"{words!r} disagree" for words in _disagreements(sentence, types)]


def _disagreements(sentence: str, types: Sequence[str]) -> list[str]:
    """A singular with a plural verb, or the other way round."""
    one = rf"(?:{'|'.join(map(re.escape, sorted(map(label, types), key=len, reverse=True)))})" if types else r"(?!)"
    every = rf"every (?:[\w-]+ )?type(?: but {one})?"
    counted, kind = r"\d+ of \d+ (?:[\w-]+ )?types", r"(?:both|all) [\w-]+ types"
    several = rf"(?:{kind}|{counted}|(?:{one}, )*{one} and (?:{one}|{kind}))"
    patterns = (
        rf"{every} (?:{_PLURAL})\b",
        rf"{several} (?:{_SINGULAR})\b",
        rf"(?:^|[:,] ){one} (?:{_PLURAL})\b",
        r"(?<![\d.])1 (?:types|steps|are|differ|split by)\b",
        r"\b(?:[2-9]|\d\d+) (?:is|differs|splits)\b",
        r"\b(?:[2-9]|\d\d+) type\b",
    )
    subjects = re.sub(rf"\b(?:of|towards|to|for) (?:{several}|{every}|{one})", "", sentence)
    return [found[0] for pattern in patterns for found in re.finditer(pattern, subjects, re.IGNORECASE)]
