from pathlib import Path

import pytest

from plateaulens.errors import UsageError
from plateaulens.store.location import local


def test_a_string_and_a_path_are_the_same() -> None:
    assert local("data/run.zarr") == local(Path("data/run.zarr")) == Path("data/run.zarr")


def test_a_url_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"s3://bucket/run\.zarr is a URL"):
        local("s3://bucket/run.zarr")
