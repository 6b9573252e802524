"""Activations from files: every format holds the same rows, which row is drawn, and what is refused on one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from plateaulens.config import FileConfig, TargetConfig
from plateaulens.errors import UsageError
from plateaulens.targets import registry
from plateaulens.targets.base import Pool, TargetContext
from plateaulens.targets.drawing import draw
from plateaulens.targets.files import FileType, read_rows

WIDTH = 4
ROWS = torch.randn((6, WIDTH), generator=torch.Generator().manual_seed(0))


def write(path: Path, rows: torch.Tensor = ROWS) -> Path:
    array: Any = rows.numpy()
    if path.suffix == ".safetensors":
        save_file({"anything": rows}, path)
    elif path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".pt":
        torch.save(rows, path)
    else:
        zarr.save_array(str(path), array)
    return path


def context() -> TargetContext:
    pool = Pool(torch.randn((9, WIDTH), generator=torch.Generator().manual_seed(1)), np.arange(9))
    return TargetContext(pool, TargetConfig(types=("real",)), seed=3)


@pytest.mark.parametrize("suffix", [".safetensors", ".npy", ".pt", ".zarr"])
class TestFormats:
    def test_rows_are_those_that_were_written(self, suffix: str, tmp_path: Path) -> None:
        assert torch.equal(read_rows(write(tmp_path / f"mine{suffix}")), ROWS)

    def test_half_precision_and_a_single_activation(self, suffix: str, tmp_path: Path) -> None:
        found = read_rows(write(tmp_path / f"one{suffix}", ROWS[0].half()))
        assert torch.equal(found, ROWS[:1].half().float())

    def test_what_is_no_number_is_named(self, suffix: str, tmp_path: Path) -> None:
        rows = ROWS.clone()
        rows[2, 1] = float("nan")
        with pytest.raises(UsageError, match="row 2 has a value that is no finite number"):
            read_rows(write(tmp_path / f"mine{suffix}", rows))

    @pytest.mark.parametrize("rows", [torch.zeros((2, 2, 2)), torch.zeros((2, 3), dtype=torch.int64), torch.zeros(0)])
    def test_other_arrays_are_refused(self, suffix: str, rows: torch.Tensor, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"activations .*mine.* are .*: give a \.safetensors") as raised:
            read_rows(write(tmp_path / f"mine{suffix}", rows))
        assert "\n" not in str(raised.value)

    def test_damaged_files_are_refused(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"mine{suffix}"
        path.write_bytes(b"\x93NUMPY\x01\x00nonsense")
        with pytest.raises(UsageError, match="cannot be read") as raised:
            read_rows(path)
        assert "\n" not in str(raised.value)


class TestRefused:
    def test_no_code_of_a_pickle_runs(self, tmp_path: Path) -> None:
        class Offender:
            def __reduce__(self) -> Any:
                return (Path(tmp_path / "ran").write_text, ("yes",))

        torch.save(Offender(), tmp_path / "bad.pt")
        with pytest.raises(UsageError, match="cannot be read"):
            read_rows(tmp_path / "bad.pt")
        assert not (tmp_path / "ran").exists()

    def test_several_arrays_need_a_name(self, tmp_path: Path) -> None:
        save_file({"a": ROWS, "b": ROWS.clone()}, tmp_path / "two.safetensors")
        with pytest.raises(UsageError, match="2 arrays, none of them called 'activations'"):
            read_rows(tmp_path / "two.safetensors")
        save_file({"a": ROWS, "activations": 2 * ROWS}, tmp_path / "named.safetensors")
        assert torch.equal(read_rows(tmp_path / "named.safetensors"), 2 * ROWS)

    @pytest.mark.parametrize("name", ["none.npy", "mine.csv", "mine"])
    def test_what_is_not_there_or_of_another_kind(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"activations .*give a"):
            read_rows(tmp_path / name)

    @pytest.mark.parametrize("suffix", [".npy", ".zarr"])
    def test_what_takes_more_memory_than_it_says(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"large{suffix}"
        if suffix == ".npy":
            np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(2**25, 32)).flush()
        else:
            zarr.create_array(str(path), shape=(2**25, 32), chunks=(2**20, 32), dtype="f8")
        with pytest.raises(UsageError, match="8,589,934,592 bytes, and 4,294,967,296 are the most"):
            read_rows(path)

    def test_a_name_that_is_taken(self, tmp_path: Path) -> None:
        write(tmp_path / "mine.npy")
        targets = TargetConfig(types=("real",), files={"random": FileConfig(path=str(tmp_path / "mine.npy"))})
        with pytest.raises(UsageError, match=r"targets\.files\.random has the name of an activation type"):
            registry.create_all(targets, has_sae=False)
        with pytest.raises(ValueError, match=r"files\.real has the name of another type"):
            TargetConfig(types=("real",), files={"real": FileConfig(path="x.npy")})


class TestRows:
    def test_a_pool_is_drawn_from_by_sample_and_name(self, tmp_path: Path) -> None:
        mine = FileType.read("mine", FileConfig(path=str(write(tmp_path / "mine.npy"))))
        bases = context().bases(context().pool.activation[:5], range(5), list(range(5)))
        first, again = draw(mine, bases, context()), draw(mine, bases, context())
        assert torch.equal(first.activation, again.activation)
        assert all(any(torch.equal(row, known) for known in ROWS) for row in first.activation)
        alone = draw(mine, bases[3:4], context())
        assert torch.equal(alone.activation[0], first.activation[3])

    @pytest.mark.parametrize(("rows", "expected"), [("sample", [0, 1, 2]), ("prompt", [4, 2, 0])])
    def test_a_row_for_each(self, rows: Any, expected: list[int], tmp_path: Path) -> None:
        mine = FileType.read("mine", FileConfig(path=str(write(tmp_path / "mine.npy")), rows=rows))
        bases = context().bases(context().pool.activation[[4, 2, 0]], range(3), [4, 2, 0])
        assert torch.equal(draw(mine, bases, context()).activation, ROWS[expected])

    def test_too_few_rows(self, tmp_path: Path) -> None:
        mine = FileType.read("mine", FileConfig(path=str(write(tmp_path / "mine.npy")), rows="prompt"))
        mine.check(WIDTH, samples=9, prompts=6)
        with pytest.raises(UsageError, match="have 6 rows for 9 prompts; give one for each"):
            mine.check(WIDTH, samples=2, prompts=9)
        by_sample = FileType("mine", ROWS, FileConfig(path="mine.npy", rows="sample"))
        with pytest.raises(UsageError, match="have 6 rows for 7 samples"):
            by_sample.check(WIDTH, samples=7, prompts=2)

    def test_another_width(self, tmp_path: Path) -> None:
        mine = FileType.read("mine", FileConfig(path=str(write(tmp_path / "mine.npy", torch.zeros((3, 5))))))
        with pytest.raises(UsageError, match="are 5 wide, and the write site is 4 wide"):
            mine.check(WIDTH, samples=1, prompts=1)

    def test_the_identity_is_that_of_the_rows(self, tmp_path: Path) -> None:
        made = [
            FileType.read("mine", FileConfig(path=str(write(tmp_path / f"mine{suffix}", rows))))
            for suffix, rows in ((".npy", ROWS), (".pt", ROWS), (".safetensors", ROWS + 1))
        ]
        digests = [kind.identity["sha256"] for kind in made]
        assert digests[0] == digests[1] != digests[2]
        assert registry.identity(made[:1]) == {"mine": {"file": "mine.npy", "sha256": digests[0]}}
