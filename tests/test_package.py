"""What `import plateaulens` offers, and what it does not load before it is asked."""

from pathlib import Path

import pytest
from tests.processes import run_code

import plateaulens

LIGHT = """
import sys

import plateaulens

assert plateaulens.__version__
heavy = {"xarray", "zarr", "torch", "pandas", "matplotlib", "statsmodels"} & set(sys.modules)
assert not heavy, heavy
assert set(plateaulens.__all__) <= set(dir(plateaulens))
"""


def test_importing_it_loads_nothing_heavy(tmp_path: Path) -> None:
    done = run_code(LIGHT, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", plateaulens.__all__)
def test_everything_it_offers_is_there(name: str) -> None:
    if name in {"Subject", "walk"}:
        pytest.importorskip("torch")
    assert getattr(plateaulens, name)


def test_what_it_does_not_offer_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'open_everything'"):
        plateaulens.open_everything  # noqa: B018
