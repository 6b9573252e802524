"""Prompts from texts: the tokens are those of the tokenizer called plainly, with one BOS, or a chat template around."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.subject.tokenizers import BOS, END, TEMPLATE, make_tokenizer
from transformers import AutoTokenizer

from plateaulens.config import PromptConfig
from plateaulens.errors import UsageError
from plateaulens.subject.embedded import SMOLLM2, locate
from plateaulens.subject.prompts import Prompts, load_prompts
from plateaulens.subject.tokenizing import UNCUT, Encoder, has_special

LINES = ["the cat in the hat", "in between the things", " Größe: the end"]


def load(folder: Path, lines: list[str], tokenizer: Any, length: int = 8, **options: Any) -> Prompts:
    (folder / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    config = PromptConfig(source=str(folder / "a.txt"), length=length, **options)
    return load_prompts(config, vocabulary=len(tokenizer), tokenizer=tokenizer)


class TestBos:
    @pytest.mark.parametrize(
        ("options", "said"),
        [({}, "prepended"), ({"adds": True}, "by the tokenizer"), ({"bos": None}, "none")],
    )
    def test_one_where_the_tokenizer_has_one(self, options: dict[str, Any], said: str, tmp_path: Path) -> None:
        tokenizer = make_tokenizer(**options)
        prompts = load(tmp_path, LINES, tokenizer)
        plain = [tokenizer(line)["input_ids"] for line in LINES]
        front = [tokenizer.bos_token_id] if said == "prepended" else []
        assert prompts.tokens.tolist() == [(front + ids)[:8] for ids in plain]
        assert prompts.identity["bos"] == said
        assert sum(row.count(tokenizer.bos_token_id) for row in prompts.tokens.tolist()) == (0 if said == "none" else 3)

    @pytest.mark.parametrize("adds", [False, True])
    def test_none_beside_the_one_that_the_text_brings(self, adds: bool, tmp_path: Path) -> None:
        tokenizer = make_tokenizer(adds=adds)
        brought = load(tmp_path, [BOS + line for line in LINES], tokenizer)
        assert brought.tokens.tolist() == load(tmp_path, LINES, tokenizer).tokens.tolist()
        assert not any("special" in note for note in brought.notes)

    @pytest.mark.parametrize("adds", [False, True])
    def test_switched_off(self, adds: bool, tmp_path: Path) -> None:
        prompts = load(tmp_path, LINES, make_tokenizer(adds=adds), bos=False)
        assert prompts.tokens.tolist() == [make_tokenizer()(line)["input_ids"][:8] for line in LINES]
        assert prompts.identity["bos"] == "none"

    def test_nothing_but_bos_is_no_prompt(self) -> None:
        found = Encoder(make_tokenizer(), length=1, bos=True, template=False).rows(["", "a"])
        assert found.lengths.tolist() == [0, 2]
        assert found.tokens.tolist() == [[make_tokenizer().bos_token_id]]

    def test_the_beginning_of_a_long_text_is_that_of_the_whole(self) -> None:
        text = " the thing in between é" * 3000
        encoder = Encoder(make_tokenizer(), length=50, bos=False, template=False)
        assert encoder.longest < len(text)
        assert encoder.rows([text]).tokens[0].tolist() == make_tokenizer()(text, verbose=False)["input_ids"][:50]

    def test_the_same_at_every_call(self, tmp_path: Path) -> None:
        first, second = (load(tmp_path, LINES, make_tokenizer()) for _ in range(2))
        assert first.tokens.numpy().tobytes() == second.tokens.numpy().tobytes()
        assert first.identity == second.identity
        assert set(first.identity) == {"a.txt", "tokens", "bos"}


class TestNotes:
    def test_special_tokens_and_repetitions(self, tmp_path: Path) -> None:
        lines = ["the cat in the hat"] * 3 + [f"in{END} between"] + LINES[1:]
        assert load(tmp_path, lines, make_tokenizer()).notes == (
            "6 of 6 lines are longer than 8 tokens and cut",
            "1 of 6 prompts has special tokens within the text",
            "1 prompt occurs twice or more",
        )

    def test_special_tokens_may_stand_in_front(self) -> None:
        tokenizer = make_tokenizer()
        bos = tokenizer.bos_token_id
        assert has_special(np.array([[bos, 9], [9, bos], [0, 9], [0, 0]]), tokenizer).tolist() == [0, 1, 0, 1]


class TestTemplate:
    @pytest.mark.parametrize("length", range(20, 32))
    def test_the_template_around_a_beginning_of_the_text(self, length: int, tmp_path: Path) -> None:
        """Prompts are the template around some first tokens of their lines, where any fill it.

        None do where a blank would be the last of them, which this template strips.
        """
        tokenizer = make_tokenizer(template=TEMPLATE)
        lines = ["the cat in the hat and more", "abcdefghijklmnopqrst"]
        made = [
            [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": line[:end]}], add_generation_prompt=True, return_dict=False
                )
                for _, end in tokenizer(line, return_offsets_mapping=True)["offset_mapping"]
            ]
            for line in lines
        ]
        fitting = [rows for rows in ([ids for ids in each if len(ids) == length] for each in made) if rows]
        assert fitting
        prompts = load(tmp_path, lines, tokenizer, length, template=True)
        assert len(prompts.tokens) == len(fitting)
        for row, rows in zip(prompts.tokens.tolist(), fitting, strict=True):
            assert row in rows
        assert prompts.identity["bos"] == "none"

    def test_texts_of_exactly_that_length_and_shorter_ones(self, tmp_path: Path) -> None:
        tokenizer = make_tokenizer(template="{{ bos_token }}[{{ messages[0]['content'] }}]")
        prompts = load(tmp_path, ["abcd", "abc", "abcdefg"], tokenizer, 7, template=True)
        assert [tokenizer.decode(row) for row in prompts.tokens] == [f"{BOS}[abcd]"] * 2
        assert prompts.identity["bos"] == "by the template"
        assert prompts.notes == (
            "1 of 3 lines has fewer than 7 tokens with the chat template and is left out",
            "1 of 3 lines is longer than 7 tokens and cut",
            "1 prompt occurs twice or more",
        )

    def test_a_text_without_a_beginning_that_fits(self, tmp_path: Path) -> None:
        tokenizer = make_tokenizer(template="[{{ messages[0]['content'] }}]")
        found = Encoder(tokenizer, length=5, bos=True, template=True).rows(["éééé", "abc"])
        assert found.lengths.tolist() == [UNCUT, 5]
        assert "1 of 2 lines has no beginning that fills the chat template to 5 tokens and is left out" in (
            load(tmp_path, ["éééé", "abc"], tokenizer, 5, template=True).notes
        )

    def test_special_tokens_are_looked_for_in_the_text_alone(self, tmp_path: Path) -> None:
        tokenizer = make_tokenizer(template=TEMPLATE)
        lines = ["the cat in the hat and more", f"{END}the cat in the hat and more"]
        notes = load(tmp_path, lines, tokenizer, 23, template=True).notes
        assert "1 of 2 prompts has special tokens within the text" in notes

    def test_the_date_is_always_the_same(self, tmp_path: Path) -> None:
        tokenizer = make_tokenizer(template="\n  {% if 1 %}{{ strftime_now('%d %b %Y') }}{% endif %}|{{ bos_token }}")
        prompts = load(tmp_path, ["x"], tokenizer, 14, template=True)
        assert tokenizer.decode(prompts.tokens[0]) == f"\n26 Jul 2024|{BOS}"

    @pytest.mark.parametrize(
        ("template", "told"),
        [
            ("{{ raise_exception('no\nuser') }}", r"\(no\)"),
            ("{% for", r"\(unexpected 'end of template'\)"),
            ("{{ ''.__class__.__mro__ }}", r"\(access to attribute '__class__' of 'str' object is unsafe.\)"),
            ("{{ no.such.thing }}", r"\('no' is undefined\)"),
            ("{% for i in range(10**6) %}{% endfor %}", r"\(Range too big.*\)"),
            ("{{ 'w1 ' * 9000 }}", r"\(it makes more than 24,576 characters of a prompt\)"),
        ],
    )
    def test_one_that_fails(self, template: str, told: str, tmp_path: Path) -> None:
        with pytest.raises(
            UsageError, match=rf"a.txt, line 1 to line 1: the chat template .* fails {told}: leave"
        ) as it:
            load(tmp_path, ["one"], make_tokenizer(template=template), template=True)
        assert len(str(it.value).splitlines()) == 1

    def test_one_that_is_too_long_by_itself(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"length is 8, and the chat template alone has 18 tokens: raise it"):
            load(tmp_path, ["one"], make_tokenizer(template=TEMPLATE), template=True)

    def test_a_tokenizer_without_one(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"the model's tokenizer has no chat template: leave prompts.template out"):
            load(tmp_path, ["one"], make_tokenizer(), template=True)

    def test_token_ids_get_none(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.ones((2, 8), dtype=int))
        config = PromptConfig(source=str(tmp_path / "a.npy"), length=8, template=True)
        with pytest.raises(UsageError, match=r"a.npy are token ids, and prompts.template needs texts: leave it out"):
            load_prompts(config, vocabulary=9, tokenizer=make_tokenizer(template=TEMPLATE))

    def test_it_decides_about_bos(self) -> None:
        with pytest.raises(ValueError, match="the chat template says whether there is a BOS; leave bos out"):
            PromptConfig(source="a.txt", bos=False, template=True)


@pytest.mark.model
def test_the_embedded_model(tmp_path: Path) -> None:
    """Its tokenizer has a BOS, and adds none when it is called."""
    path = locate(SMOLLM2)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    lines = ["The capital of France is the city of Paris, which", "Once upon a time there was a little dragon that"]
    plain = [tokenizer(line)["input_ids"] for line in lines]
    prompts = load(tmp_path, lines, tokenizer, 10)
    assert prompts.tokens.tolist() == [[tokenizer.bos_token_id, *ids][:10] for ids in plain]
    assert prompts.identity["bos"] == "prepended"
    assert all(ids[0] != tokenizer.bos_token_id for ids in plain)
