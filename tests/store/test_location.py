import sys
from pathlib import Path

import pytest

from plateaulens.errors import UsageError
from plateaulens.store.local import LocalPlace
from plateaulens.store.location import locate


def test_a_string_a_path_and_a_file_url_are_the_same(tmp_path: Path) -> None:
    places = [locate(tmp_path / "run.zarr"), locate(str(tmp_path / "run.zarr")), locate(f"file://{tmp_path}/run.zarr")]
    assert all(isinstance(place, LocalPlace) for place in places)
    assert {str(place) for place in places} == {f"{tmp_path}/run.zarr"}
    assert locate(places[0]) is places[0]


def test_what_lies_in_what(tmp_path: Path) -> None:
    run, inside = locate(tmp_path / "run.zarr"), locate(tmp_path / "run.zarr" / "summary.zarr")
    url, url_inside = locate("memory://runs/run.zarr/"), locate("memory://runs/run.zarr/summary.zarr")
    assert inside.lies_in(run)
    assert url_inside.lies_in(url)
    assert not run.lies_in(run)
    assert not locate("memory://runs/run.zarr.copy").lies_in(url)
    assert not inside.lies_in(url)


def test_a_url_whose_driver_an_extra_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UsageError, match=r"^s3://bucket/run\.zarr needs s3fs: run `pip install 'plateaulens\[s3\]'`$"):
        locate("s3://bucket/run.zarr")


@pytest.mark.parametrize("address", ["zip://x::{file}", "reference://x"])
def test_whatever_a_driver_raises_about_an_address_is_one_line(address: str, tmp_path: Path) -> None:
    (tmp_path / "brief.toml").write_text("name = 'no archive'")
    with pytest.raises(UsageError, match="cannot be used") as raised:
        locate(address.format(file=tmp_path / "brief.toml"))
    assert "\n" not in str(raised.value)


def test_a_url_without_a_driver() -> None:
    with pytest.raises(UsageError, match=r"^gs://bucket/run\.zarr needs a package that is not installed: .*gcsfs"):
        locate("gs://bucket/run.zarr")
    with pytest.raises(UsageError, match=r"^nowhere://run\.zarr cannot be used \(Protocol not known: nowhere\)"):
        locate("nowhere://run.zarr")


def test_from_within_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.zarr/group").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run.zarr")
    for text in (".", "./", "group/..", f"file:{tmp_path}/run.zarr/group/.."):
        place = locate(text)
        assert (place.name, place.absolute()) == ("run.zarr", str(tmp_path.resolve() / "run.zarr"))
        place.lock().release()
    assert str(locate("group")) == "group"


def test_the_root_is_no_place() -> None:
    for text in ("/", "file:///", "/run.zarr/.."):
        with pytest.raises(UsageError, match="is the root of the file system, which is no place for a store"):
            locate(text)
