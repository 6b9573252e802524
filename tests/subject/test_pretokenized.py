"""Data sets of token ids, in the kinds of columns and layouts that exist, and what can be wrong with one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plateaulens.config import PromptConfig
from plateaulens.errors import UsageError
from plateaulens.subject import pretokenized
from plateaulens.subject.hub import Repository
from plateaulens.subject.pretokenized import from_disk, from_hub, shards
from plateaulens.subject.prompts import load_prompts

ROWS = [[1, 2, 3, 4], [5, 6], [7, 8, 9], [10, 11, 12, 13, 14]]
"""One of them is shorter than three tokens."""
BEGINNINGS = [[1, 2, 3], [7, 8, 9], [10, 11, 12]]


def write(path: Path, rows: Sequence[Any] = ROWS, kind: Any = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.list_(pa.int32()) if kind is None else kind
    pq.write_table(pa.table({"input_ids": pa.array(rows, kind), "id": list(range(len(rows)))}), path, **options)
    return path


class TestShards:
    def test_training_files_in_their_order(self) -> None:
        files = ["data/train-00001.parquet", "README.md", "data/test-00000.parquet", "data/train-00000.parquet"]
        assert shards(files) == ["data/train-00000.parquet", "data/train-00001.parquet"]

    def test_all_of_them_where_no_name_says_what_it_is_for(self) -> None:
        assert shards(["b.parquet", "a.parquet", "a.txt"]) == ["a.parquet", "b.parquet"]
        assert shards(["a.txt"]) == []


class TestReading:
    @pytest.mark.parametrize(
        "kind",
        [
            pa.list_(pa.int32()),
            pa.list_(pa.int64()),
            pa.list_(pa.uint16()),
            pa.large_list(pa.int32()),
        ],
    )
    def test_beginnings_of_rows_that_are_long_enough(self, kind: Any, tmp_path: Path) -> None:
        tokens, used = from_disk(write(tmp_path / "a.parquet", kind=kind), length=3, sequences=3)
        assert tokens.tolist() == BEGINNINGS
        assert used == [tmp_path / "a.parquet"]

    def test_lists_of_one_length(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", [[1, 2], [3, 4]], pa.list_(pa.int32(), 2))
        assert from_disk(path, length=1, sequences=2)[0].tolist() == [[1], [3]]

    def test_a_missing_row_is_a_short_one(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", [None, *ROWS[:1]])
        assert from_disk(path, length=3, sequences=1)[0].tolist() == [[1, 2, 3]]

    def test_in_several_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pretokenized, "_ROWS", 2)
        path = write(tmp_path / "a.parquet", row_group_size=3)
        assert from_disk(path, length=3, sequences=None)[0].tolist() == BEGINNINGS

    def test_a_directory(self, tmp_path: Path) -> None:
        for name in ("train-1", "train-0", "test-0"):
            write(tmp_path / "data" / f"{name}.parquet", [[int(name[-1])] * 3])
        tokens, used = from_disk(tmp_path, length=3, sequences=2)
        assert tokens.tolist() == [[0] * 3, [1] * 3]
        assert [path.name for path in used] == ["train-0.parquet", "train-1.parquet"]

    def test_what_is_read_when_no_number_is_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pretokenized, "DEFAULT_SEQUENCES", 2)
        path = write(tmp_path / "a.parquet")
        assert from_disk(path, length=3, sequences=None)[0].tolist() == BEGINNINGS[:2]
        monkeypatch.setattr(pretokenized, "DEFAULT_SEQUENCES", 50)
        assert from_disk(path, length=3, sequences=None)[0].tolist() == BEGINNINGS

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
        tokens, used = from_hub(data, length=3, sequences=4)
        assert tokens.tolist() == [*BEGINNINGS, BEGINNINGS[0]]
        assert fetched == used == list(names[:2])

    def test_the_identity_has_the_file_and_the_tokens(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet")

        def identity(length: int) -> dict[str, str]:
            return load_prompts(PromptConfig(source=str(path), length=length, sequences=3), vocabulary=20).identity

        assert set(identity(3)) == {"a.parquet", "tokens"}
        assert identity(3)["a.parquet"] == identity(2)["a.parquet"]
        assert identity(3)["tokens"] != identity(2)["tokens"]
        assert identity(3) == identity(3)


class TestMistakes:
    def test_too_few_sequences(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet")
        with pytest.raises(UsageError, match=r"have 3 sequences of at least 3 tokens, wanted 4"):
            from_disk(path, length=3, sequences=4)
        with pytest.raises(UsageError, match=r"have 0 sequences of at least 9 tokens"):
            from_disk(path, length=9, sequences=None)

    def test_text(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["not tokenized"]}), tmp_path / "a.parquet")
        with pytest.raises(UsageError, match=r"have no column 'input_ids': use a pretokenized data set"):
            from_disk(tmp_path / "a.parquet", length=3, sequences=1)

    @pytest.mark.parametrize("rows", [[["a"]], [[[1]]]])
    def test_another_kind_of_list(self, rows: list[Any], tmp_path: Path) -> None:
        pq.write_table(pa.table({"input_ids": rows}), tmp_path / "a.parquet")
        with pytest.raises(UsageError, match=r"a.parquet cannot be read \(.+\): use a pretokenized data set"):
            from_disk(tmp_path / "a.parquet", length=1, sequences=1)

    def test_no_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "a.parquet").write_bytes(b"nonsense")
        with pytest.raises(UsageError, match=r"a.parquet cannot be read \(.+\): use a pretokenized data set"):
            from_disk(tmp_path, length=3, sequences=1)

    def test_a_token_that_the_model_does_not_know(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet")
        with pytest.raises(UsageError, match="have token id 12, the model knows 0 to 11"):
            load_prompts(PromptConfig(source=str(path), length=3), vocabulary=12)
