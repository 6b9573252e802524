"""From texts to prompts with the model's own tokenizer: BOS in front once, or the tokenizer's chat template around."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from plateaulens.errors import UsageError, reading

Tokens = NDArray[np.int64]
"""Token ids, shaped (sequence, position)."""
UNCUT = -1
"""In the place of a length: no beginning of the text fills a chat template to the wanted length."""
_REACH = 4
"""How many tokens more or less than expected are tried to fill a chat template."""
_DATED = "{% macro strftime_now(form) %}{% if '-' in form %}2024-07-26{% else %}26 Jul 2024{% endif %}{% endmacro %}\n"
"""What stands before a chat template that asks for the date, so that the same texts are the same prompts on any day. It
is the day that Llama 3's template takes where it cannot ask."""


class Rows(NamedTuple):
    """What some rows of a data set come to."""

    lengths: NDArray[np.int64]
    """Of every row, in tokens. A text that is cut before it is tokenized counts as long as what is left."""
    tokens: Tokens
    """The beginnings of those rows that are long enough, in order."""
    special: NDArray[np.bool_] | None = None
    """For each of these, whether its text has special tokens; None where `has_special` can tell by the tokens."""


def has_special(tokens: Tokens, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.bool_]:
    """Whether prompts hold special tokens, other than in front.

    Parameters
    ----------
    tokens
        Token ids shaped (prompt, position).
    tokenizer
        The one that they are of.

    Returns
    -------
    NDArray
        One truth value for each prompt.
    """
    found = np.isin(tokens[:, 1:], _special(tokenizer)).any(axis=1)
    return np.asarray(found, dtype=np.bool_)


def _special(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    added = [index for index, token in tokenizer.added_tokens_decoder.items() if token.special]
    return [*tokenizer.all_special_ids, *added]


class Encoder:
    """Makes prompts of one length from texts.

    Without a template, a prompt is what the tokenizer makes of the text, with exactly one BOS in front: also where the
    tokenizer has one and adds none by itself, as GPT-2's, and none where it has none, as Qwen's. A text that begins
    with BOS gets no second one.

    With it, a prompt is what the tokenizer's chat template makes of a user's message, up to where the answer begins.
    The message is the beginning of the text that fills the template to the wanted length; the template alone says
    whether there is a BOS.

    Parameters
    ----------
    tokenizer
        The model's.
    length
        Tokens of a prompt.
    bos
        Whether BOS is put in front.
    template
        Whether the chat template is put around.

    Raises
    ------
    UsageError
        When there is to be a template and the tokenizer has none, or cannot say which characters its tokens are of.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, length: int, bos: bool, template: bool) -> None:
        self.length, self.template = length, template
        self.longest = 4096 + 256 * length
        """Characters of a text that are looked at: no tokenizer makes so few tokens of so many."""
        self._tokenizer = tokenizer
        known = tokenizer.bos_token_id
        self._bos: list[int] = [known] if bos and not template and isinstance(known, int) else []
        if template and not tokenizer.chat_template:
            raise UsageError(
                "the model's tokenizer has no chat template: leave prompts.template out, or take an instructed model"
            )
        if template and not tokenizer.is_fast:
            raise UsageError("the model's tokenizer is a slow one, which prompts.template does not work with")

    def bos(self, tokens: Tokens) -> str:
        """Where the BOS of prompts is from.

        Parameters
        ----------
        tokens
            Prompts that were made here.

        Returns
        -------
        str
            `prepended`, `by the tokenizer` where that adds it to whatever it is called with, `by the template`, or
            `none`.
        """
        if self.template:
            begins = self._tokenizer.bos_token_id is not None and (tokens[:, 0] == self._tokenizer.bos_token_id).all()
            return "by the template" if begins else "none"
        if not self._bos:
            return "none"
        with reading("the model's tokenizer fails"):
            plain = list(self._tokenizer("a", verbose=False)["input_ids"])
        return "by the tokenizer" if plain[:1] == self._bos else "prepended"

    def rows(self, texts: Sequence[str]) -> Rows:
        """Prompts from those texts that are long enough.

        Parameters
        ----------
        texts
            Unicode without surrogates; an empty one is too short whatever the length.

        Returns
        -------
        Rows
            Lengths with BOS or template.

        Raises
        ------
        UsageError
            When tokenizer or template fail, or when the template alone is too long.
        """
        texts = [text[: self.longest] for text in texts]
        return self._templated(texts) if self.template else self._plain(texts)

    def _plain(self, texts: Sequence[str]) -> Rows:
        found = [ids if ids[:1] == self._bos else self._bos + ids for ids in self._ids(texts)]
        found = [ids if text else [] for ids, text in zip(found, texts, strict=True)]
        return Rows(np.array([len(ids) for ids in found], dtype=np.int64), self._array(found))

    def _templated(self, texts: Sequence[str]) -> Rows:
        special = set(_special(self._tokenizer))
        lengths: list[int] = []
        tokens: list[list[int]] = []
        used: list[list[int]] = []
        for text, whole in zip(texts, self._ids(self._rendered(texts)), strict=True):
            filled, own = self._filled(text, whole)
            lengths.append(len(whole) if text and (len(whole) < self.length or filled) else UNCUT if text else 0)
            if text and filled:
                tokens.append(filled)
                used.append(own)
        marked = [not special.isdisjoint(own) for own in used]
        return Rows(np.array(lengths, dtype=np.int64), self._array(tokens), np.array(marked, dtype=np.bool_))

    def _filled(self, text: str, whole: list[int]) -> tuple[list[int], list[int]]:
        """The template around as much of a text as fills it, and the tokens of that much; empty if nothing does."""
        if len(whole) < self.length:
            return [], []
        with reading("the model's tokenizer fails"):
            made = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            own, ends = list(made["input_ids"]), [end for _, end in made["offset_mapping"]]
        if len(whole) == self.length:
            return whole, own
        around = len(whole) - len(own)
        if around >= self.length:
            raise UsageError(
                f"prompts.length is {self.length}, and the chat template alone has {around} tokens: raise it"
            )
        # the text's last token may not be the same before the template's next one, and a template may strip blanks
        for change in sorted(range(-_REACH, _REACH + 1), key=abs):
            taken = self.length - around + change
            if 1 <= taken <= len(own):
                (found,) = self._ids(self._rendered([text[: ends[taken - 1]]]))
                if len(found) == self.length:
                    return found, own[:taken]
        return [], []

    def _rendered(self, texts: Sequence[str]) -> list[str]:
        with reading("the chat template of the model's tokenizer fails", "leave prompts.template out"):
            template = self._tokenizer.get_chat_template()
            options: dict[str, Any] = {"add_generation_prompt": True}
            if "strftime_now" in template:
                options["chat_template"] = _DATED + template
            chats = [[{"role": "user", "content": text}] for text in texts]
            made = [str(chat) for chat in self._tokenizer.apply_chat_template(chats, tokenize=False, **options)]
            if any(len(chat) > 4 * self.longest for chat in made):
                raise ValueError(f"it makes more than {4 * self.longest:,} characters of a prompt")
            return made

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        with reading("the model's tokenizer fails"):  # a special token that a text spells out is that token
            made = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
            return [list(ids) for ids in made]

    def _array(self, rows: Sequence[Sequence[int]]) -> Tokens:
        kept = [row[: self.length] for row in rows if len(row) >= self.length]
        return np.array(kept, dtype=np.int64).reshape(len(kept), self.length)
