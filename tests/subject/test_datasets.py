"""Data sets, in the kinds of columns, files and layouts that exist, and what can be wrong with one."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.subject.tokenizers import make_tokenizer

from plateaulens.config import PromptConfig
from plateaulens.errors import UsageError
from plateaulens.subject import datasets, parquet
from plateaulens.subject.datasets import Found, Wanted, from_disk, from_hub, shards
from plateaulens.subject.hub import Repository
from plateaulens.subject.prompts import load_prompts
from plateaulens.subject.tokenizing import Encoder

ROWS = [[1, 2, 3, 4], [5, 6], [7, 8, 9], [10, 11, 12, 13, 14]]
"""One of them is shorter than three tokens."""
BEGINNINGS = [[1, 2, 3], [7, 8, 9], [10, 11, 12]]
TEXTS = ["the cat in the hat", "a", "in between the things"]


def write(path: Path, rows: Sequence[Any] = ROWS, kind: Any = None, name: str = "input_ids", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.list_(pa.int32()) if kind is None else kind
    pq.write_table(pa.table({name: pa.array(rows, kind), "id": list(range(len(rows)))}), path, **options)
    return path


def read(place: Path, length: int = 3, sequences: int | None = None, column: str = "text") -> Found:
    encoder = Encoder(make_tokenizer(), length=length, bos=True, template=False)
    return from_disk(place, Wanted(length, sequences, column, encoder))


def ids(texts: Sequence[str], length: int) -> list[list[int]]:
    tokenizer = make_tokenizer()
    return [[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]][:length] for text in texts]


class TestShards:
    def test_training_files_in_their_order(self) -> None:
        files = ["data/train-00001.parquet", "README.md", "data/test-00000.parquet", "data/train-00000.parquet"]
        assert shards(files) == ["data/train-00000.parquet", "data/train-00001.parquet"]

    def test_all_of_them_where_no_name_says_what_it_is_for(self) -> None:
        assert shards(["b.parquet", "a.parquet", "a.md"]) == ["a.parquet", "b.parquet"]
        assert shards(["a.md", "dataset_infos.json"]) == []

    def test_one_kind_of_file_only(self) -> None:
        assert shards(["notes.txt", "b.jsonl", "a.json.gz", "c.parquet"]) == ["c.parquet"]
        assert shards(["notes.txt", "b.jsonl", "a.json.gz"]) == ["a.json.gz", "b.jsonl"]
        assert shards(["test.txt", "train.txt.gz"]) == ["train.txt.gz"]


class TestTokenIds:
    @pytest.mark.parametrize(
        "kind",
        [pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.uint16()), pa.large_list(pa.int32())],
    )
    def test_beginnings_of_rows_that_are_long_enough(self, kind: Any, tmp_path: Path) -> None:
        found = read(write(tmp_path / "a.parquet", kind=kind), sequences=3)
        assert found.tokens.tolist() == BEGINNINGS
        assert found.files == ["a.parquet"]
        assert not found.has_text

    def test_lists_of_one_length(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", [[1, 2], [3, 4]], pa.list_(pa.int32(), 2))
        assert read(path, length=1, sequences=2).tokens.tolist() == [[1], [3]]

    def test_a_missing_row_is_a_short_one(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", [None, *ROWS[:1]])
        assert read(path, sequences=1).tokens.tolist() == [[1, 2, 3]]

    def test_in_several_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet, "_ROWS", 2)
        path = write(tmp_path / "a.parquet", row_group_size=3)
        assert read(path).tokens.tolist() == BEGINNINGS

    def test_a_column_of_another_name(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", name="tokens")
        assert read(path, column="tokens").tokens.tolist() == BEGINNINGS

    def test_a_directory(self, tmp_path: Path) -> None:
        for name in ("train-1", "train-0", "test-0"):
            write(tmp_path / "data" / f"{name}.parquet", [[int(name[-1])] * 3])
        found = read(tmp_path, sequences=2)
        assert found.tokens.tolist() == [[0] * 3, [1] * 3]
        assert found.files == ["data/train-0.parquet", "data/train-1.parquet"]

    def test_what_is_read_when_no_number_is_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets, "DEFAULT_SEQUENCES", 2)
        path = write(tmp_path / "a.parquet")
        assert read(path).tokens.tolist() == BEGINNINGS[:2]
        monkeypatch.setattr(datasets, "DEFAULT_SEQUENCES", 50)
        assert read(path).tokens.tolist() == BEGINNINGS

    def test_a_shard_that_is_not_needed_is_not_fetched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fetched: list[str] = []

        def fetch(_: Repository, files: Sequence[str]) -> Path:
            fetched.extend(files)
            return tmp_path

        monkeypatch.setattr(Repository, "fetch", fetch)
        names = tuple(f"data/train-{index}.parquet" for index in range(3))
        for name in names:
            write(tmp_path / name)
        data = Repository("a/b", "dataset", "main", "0" * 40, names)
        found = from_hub(data, Wanted(3, 4))
        assert found.tokens.tolist() == [*BEGINNINGS, BEGINNINGS[0]]
        assert fetched == found.files == list(names[:2])

    def test_the_identity_has_the_file_and_the_tokens(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet")

        def identity(length: int) -> dict[str, str]:
            return load_prompts(PromptConfig(source=str(path), length=length, sequences=3), vocabulary=20).identity

        assert set(identity(3)) == {"a.parquet", "tokens"}
        assert identity(3)["a.parquet"] == identity(2)["a.parquet"]
        assert identity(3)["tokens"] != identity(2)["tokens"]
        assert identity(3) == identity(3)


class TestTexts:
    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
    def test_a_column_of_parquet(self, kind: Any, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", [TEXTS[0], None, *TEXTS[1:]], kind, "text")
        found = read(path, length=4)
        assert found.tokens.tolist() == ids([TEXTS[0], TEXTS[2]], 4)
        assert found.has_text
        assert found.notes == (
            "2 of 4 rows have fewer than 4 tokens and are left out",
            "2 of 4 rows are longer than 4 tokens and cut",
        )

    @pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz"])
    def test_json_lines(self, name: str, tmp_path: Path) -> None:
        content = "\n".join(json.dumps({"prompt": text, "text": 3}) for text in TEXTS).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        assert read(tmp_path / name, 4, column="prompt").tokens.tolist() == ids([TEXTS[0], TEXTS[2]], 4)

    def test_a_directory_in_several_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets, "_TEXTS", 2)
        texts = [f"number {index} of the lines" for index in range(9)]
        for start in (0, 5):
            (tmp_path / f"{start}.txt").write_text("\n".join(texts[start : start + 5]))
        found = read(tmp_path, 11, sequences=7)
        assert found.tokens.tolist() == ids(texts[:7], 11)
        assert found.files == ["0.txt", "5.txt"]
        assert read(tmp_path, 11, sequences=5).files == ["0.txt"]

    def test_rows_are_counted_as_far_as_they_were_needed(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a\nthe cat\nb\nthe cat\nc\nd\n")
        assert read(tmp_path / "a.txt", 4, sequences=2).notes == (
            "2 of 4 lines have fewer than 4 tokens and are left out",
            "2 of 4 lines are longer than 4 tokens and cut",
        )

    def test_token_ids_are_preferred(self, tmp_path: Path) -> None:
        table = pa.table({"text": TEXTS, "input_ids": [[1, 2, 3]] * 3, "other": TEXTS})
        pq.write_table(table, tmp_path / "a.parquet")
        found = read(tmp_path / "a.parquet")
        assert found.tokens.tolist() == [[1, 2, 3]] * 3
        assert found.notes == ("token ids are in column 'input_ids'; column 'text' is not read",)
        assert read(tmp_path / "a.parquet", 4, column="other").tokens.tolist() == ids([TEXTS[0], TEXTS[2]], 4)

    def test_a_template_takes_the_text(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": TEXTS, "input_ids": [[1, 2, 3]] * 3}), tmp_path / "a.parquet")
        tokenizer = make_tokenizer(template="{{ messages[0]['content'] }}")
        encoder = Encoder(tokenizer, length=3, bos=True, template=True)
        found = from_disk(tmp_path / "a.parquet", Wanted(3, encoder=encoder))
        assert found.tokens.tolist() == [row[1:] for row in ids([TEXTS[0], TEXTS[2]], 4)]
        pq.write_table(pa.table({"input_ids": [[1, 2, 3]] * 3}), tmp_path / "a.parquet")
        with pytest.raises(UsageError, match=r"a.parquet have no column 'text' \(they have 'input_ids'\)"):
            from_disk(tmp_path / "a.parquet", Wanted(3, encoder=encoder))
        with pytest.raises(UsageError, match=r"column 'input_ids' is .*, and prompts.template needs texts"):
            from_disk(tmp_path / "a.parquet", Wanted(3, column="input_ids", encoder=encoder))


class TestMistakes:
    def test_too_few_sequences(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet")
        with pytest.raises(UsageError, match=r"3 sequences of at least 3 tokens, wanted 4: lower prompts.sequences"):
            read(path, sequences=4)
        with pytest.raises(UsageError, match=r"have 0 sequences of at least 9 tokens: lower prompts.length"):
            read(path, length=9)

    @pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
    def test_nothing_in_it(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(b"")
        if name.endswith(".parquet"):
            write(tmp_path / name, [])
        with pytest.raises(UsageError, match=rf"prompts .*{name} are empty: give some"):
            read(tmp_path / name)

    def test_no_such_column(self, tmp_path: Path) -> None:
        write(tmp_path / "a.parquet", name="numbers")
        with pytest.raises(UsageError, match=r"neither a column 'input_ids' nor 'text' \(they have 'numbers, id'\)"):
            read(tmp_path)
        with pytest.raises(UsageError, match=r"have no column 'words' .*: name it as prompts.column"):
            read(tmp_path, column="words")

    def test_texts_without_a_tokenizer(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("the cat")
        with pytest.raises(UsageError, match=r"a.txt are texts, and there is no tokenizer here: give token ids"):
            from_disk(tmp_path / "a.txt", Wanted(3))

    @pytest.mark.parametrize("rows", [[["a"]], [["1"]], [[[1]]], [1], [{"a": 1}], [[1.5]], [b"ab"]])
    def test_another_kind_of_column(self, rows: list[Any], tmp_path: Path) -> None:
        pq.write_table(pa.table({"input_ids": rows}), tmp_path / "a.parquet")
        wanted = r"column 'input_ids' is '.+', wanted lists of integers \(token ids\) or texts: name another one"
        with pytest.raises(UsageError, match=wanted):
            read(tmp_path / "a.parquet")

    def test_null_among_token_ids(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet, "_ROWS", 2)
        path = write(tmp_path / "a.parquet", [[1, 2, 3], [], None, [4, None, 5], [None]])
        with pytest.raises(UsageError, match=r"a.parquet: row 4 has null among its token ids: leave the row out"):
            read(path)

    def test_no_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "a.parquet").write_bytes(b"nonsense")
        with pytest.raises(UsageError, match=r"a.parquet cannot be read \(.+\): use a parquet file with token ids"):
            read(tmp_path)

    def test_two_kinds_of_files(self, tmp_path: Path) -> None:
        write(tmp_path / "a.parquet")
        write(tmp_path / "b.parquet", TEXTS, pa.string(), "text")
        with pytest.raises(UsageError, match=r"a.parquet and b.parquet hold token ids and texts: use files of"):
            read(tmp_path)

    def test_a_token_that_the_model_does_not_know(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet")
        with pytest.raises(UsageError, match="have token id 12, the model knows 0 to 11"):
            load_prompts(PromptConfig(source=str(path), length=3), vocabulary=12)
