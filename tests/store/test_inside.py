from pathlib import Path

import pytest

from plateaulens.errors import UsageError
from plateaulens.store.inside import LONGEST, check_inside, is_inside, linked_folder

OUTSIDE = [
    "",
    "/etc/passwd",
    "..",
    "a/../../b",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\0b",
    "a" * (LONGEST + 1),
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_may_be_outside_a_store(name: str) -> None:
    assert not is_inside(name)
    with pytest.raises(UsageError, match=r"^run\.zarr names the file .*, which is none of a store") as caught:
        check_inside("run.zarr", name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["zarr.json", "plateau/curve/c/0/1/0/0", "a..b/.c", "my_metric+x/é", "a\n\x1b[31mred", "a\udcff"]
)
def test_what_is_inside(name: str) -> None:
    assert is_inside(name)
    check_inside("run.zarr", name)


def test_links_among_the_folders(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run/a").mkdir(parents=True)
    (tmp_path / "run/a/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other").symlink_to(tmp_path / "run")
    assert linked_folder(tmp_path / "run", "a/link/b/c") == tmp_path / "run/a/link"
    assert linked_folder(tmp_path / "run", "a/link") is None
    assert linked_folder(tmp_path / "other", "a/b/c") is None
