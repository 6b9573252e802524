"""Files of texts, a line each, and what can be wrong with one: the message names file and line."""

import gzip
import re
from pathlib import Path

import pytest

from plateaulens.errors import UsageError
from plateaulens.subject import texts
from plateaulens.subject.texts import read_texts


def read(path: Path, content: bytes, column: str = "text") -> list[str | None]:
    path.write_bytes(content)
    return [text for _, text in read_texts(path, column)]


class TestLines:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"one\ntwo\n", ["one", "two"]),
            (b"one\r\ntwo\r\n", ["one", "two"]),
            (b"\n one \n  \n\t\ntwo", [" one ", "two"]),
            (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", ["one", "\ufefftwo"]),
            ("é\u2028ö\x0c\x85ü\rx\n".encode(), ["é\u2028ö\x0c\x85ü\rx"]),
            (b"", []),
        ],
    )
    def test_what_a_line_is(self, content: bytes, expected: list[str], tmp_path: Path) -> None:
        assert read(tmp_path / "a.txt", content) == expected
        assert read(tmp_path / "a.txt.gz", gzip.compress(content)) == expected

    def test_lines_are_counted_with_those_that_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("\none\n\ntwo")
        assert list(read_texts(tmp_path / "a.txt", "")) == [("line 2", "one"), ("line 4", "two")]

    def test_no_more_is_read_than_is_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"one\n" * 10 + b"\0")
        found = read_texts(tmp_path / "a.txt", "")
        assert [next(found).text for _ in range(10)] == ["one"] * 10
        with pytest.raises(UsageError, match="line 11 has a NUL byte"):
            next(found)


class TestObjects:
    def test_what_is_under_the_key(self, tmp_path: Path) -> None:
        content = b'{"text": "one", "n": 1}\r\n\n{"n": NaN, "text": "\\u0000\\n\\ud83d\\ude00"}\n{"text": null}\n'
        assert read(tmp_path / "a.jsonl", content) == ["one", "\0\n😀", None]

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            (b"{", r"is no JSON \(.+\): write one JSON object a line"),
            (b"[" * 30_000, r"is no JSON \(.+\): write one JSON object a line"),
            (b'{"text": 1' + b"0" * 5000 + b"}", r"is no JSON \(.+\): write one JSON object a line"),
            (b'[{"text": "one"}]', "is a list, wanted a JSON object: write one JSON object a line"),
            (b'"one"', "is a text, wanted a JSON object"),
            (b"null", "is nothing, wanted a JSON object"),
            (
                b'{"words": "one", "n": 1}',
                r"has no key 'text' \(it has 'words, n'\): name the text's as prompts.column",
            ),
            (b'{"text": 3}', "has a number under 'text', wanted a text"),
            (b'{"text": ["one"]}', "has a list under 'text', wanted a text"),
            (b'{"text": "\\ud83d"}', "has half of a surrogate pair, which is no character: leave it out"),
        ],
    )
    def test_mistakes(self, line: bytes, told: str, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        with pytest.raises(UsageError, match=f"^prompts {re.escape(str(path))}: line 2 {told}"):
            read(path, b'{"text": "one"}\n' + line + b"\n")


class TestMistakes:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("one\ntwo".encode("utf-16"), "line 1 is UTF-16, wanted UTF-8: save the file as UTF-8"),
            ("one\ntwo".encode("utf-16-be"), "line 1 has a NUL byte, which no text has: save the file as UTF-8 text"),
            (b"one\ncaf\xe9\n", r"line 2 is no UTF-8 \(byte 0xe9 at 3\): save the file as UTF-8"),
            (b"one\n\xed\xa0\x80", r"line 2 is no UTF-8"),
        ],
    )
    @pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
    def test_another_encoding(self, content: bytes, told: str, name: str, tmp_path: Path) -> None:
        lines = content if name == "a.txt" else content.replace(b"one\n", b'{"text": ""}\n')
        with pytest.raises(UsageError, match=told):
            read(tmp_path / name, lines)

    def test_a_line_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(texts, "LONGEST_LINE", 100)
        assert read(tmp_path / "a.txt", b"x" * 99 + b"\n") == ["x" * 99]
        with pytest.raises(UsageError, match=r"line 2 has more than 100 bytes: write one text a line"):
            read(tmp_path / "a.txt", b"one\n" + b"x" * 101)

    @pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"one\n" * 100, mtime=0)[:-12], b"\x1f\x8b"])
    def test_a_damaged_archive(self, content: bytes, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"a.txt.gz cannot be read: "):
            read(tmp_path / "a.txt.gz", content)
